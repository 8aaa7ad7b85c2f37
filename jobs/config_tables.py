"""Small tables of text beside the configuration: aliases, units, classes of goods."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from reconcilers.errors import ConfigError


def text_table(path: Path | None, columns: tuple[str, ...]) -> pa.Table | None:
    """These columns of a CSV file; None where no file is named.

    Raises:
        ConfigError: it cannot be read, or has not all of the columns.
    """
    if path is None:
        return None
    try:
        options = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(columns, pa.string()))
        table = pyarrow.csv.read_csv(path, convert_options=options)
    except (OSError, pa.ArrowInvalid) as error:
        raise ConfigError(f"{path}: cannot be read as CSV: {error}") from error
    missing = [name for name in columns if name not in table.column_names]
    if missing:
        raise ConfigError(f"{path}: no column {missing[0]!r}; it needs {', '.join(columns)}")
    return table.select(list(columns))
