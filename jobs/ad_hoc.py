"""`recon validate FILE`: any CSV or Parquet file against any suite, without a configuration."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from jobs.quality import Occasion, Outcome
from jobs.validate import Subject, validate
from pipelines.execution import Engine
from pipelines.tables import in_parts
from reconcilers.errors import ConfigError


def validate_file(files: Iterable[str], suite: Path | None, output: Path | None, engine: Engine = ()) -> Outcome:
    """Judge one file; results, pages and failing rows are kept only below `output`.

    Raises:
        ConfigError: not one file and a suite, or the suite cannot be judged of its columns.
        Unreachable: the file cannot be read.
    """
    from expectations import suites

    named = list(files)
    if len(named) != 1 or suite is None:
        raise ConfigError("usage: recon validate FILE --suite SUITE [-o DIRECTORY]")
    path = named[0]
    wanted = suites.load(suite, {})
    now = datetime.now(UTC)
    with ExitStack() as stack:
        parts = stack.enter_context(tempfile.TemporaryDirectory(prefix="recon-validate-"))
        kept = str(output) if output is not None else f"{parts}/results"
        rows = in_parts(path, f"{parts}/rows")
        subject = Subject("file", Path(path).name, rows, wanted, {"path": path})
        occasion = Occasion(f"{now:%Y%m%dT%H%M%SZ}-file", None, now, kept, f"{kept}/dq_results", engine)
        results = validate(occasion, [subject])
    return Outcome(results, f"{kept}/index.html" if output is not None else None)
