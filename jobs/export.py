"""One output of a run as one file that other tools read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from jobs.config import load
from jobs.outputs import deliver
from jobs.workspace import Workspace
from pipelines.reconcile import SCHEMAS, read_parts
from reconcilers.errors import ConfigError, Unreachable
from reconcilers.formulas import defused

EXPORTS = ("levels", "breaks", "in_flight", "corrections", "differences")
FORMATS = ("csv", "parquet", "jsonl")


def export(
    config: Path, run_id: str, what: str, format: str, output: Path | None, stdout: BinaryIO, pair: str | None = None
) -> int:
    """Write an output of a run, of all pairs or one, to a file (or stdout), part by part; returns the number of rows.

    Raises:
        ConfigError: no such run, output or format.
        Unreachable: the file cannot be written; nothing half-written is left.
    """
    if what not in EXPORTS:
        raise ConfigError(f"nothing called {what!r} to export; there are: {', '.join(EXPORTS)}, outputs")
    if format not in FORMATS:
        raise ConfigError(f"no format {format!r}; there are: {', '.join(FORMATS)}")
    workspace = Workspace(str(load(config).workspace))
    summary = workspace.resolve(None if run_id == "latest" else run_id)
    directory = workspace.run_directory(summary["run_id"])
    if pair is not None and pair not in {**summary["pairs"], **summary.get("records", {})}:
        raise ConfigError(f"run {summary['run_id']} has no pair {pair!r}")
    schema = _differences(directory, pair, summary) if what == "differences" else SCHEMAS[what]()
    parts = read_parts(directory, what, pair)
    if output is None:
        return _write(parts, schema, format, stdout)
    partial = output.with_name(f".{output.name}.partial")
    try:
        with partial.open("wb") as file:
            rows = _write(parts, schema, format, file)
        partial.replace(output)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise Unreachable(f"{output}: {error.strerror or error}") from error
    return rows


def send(config: Path, run_id: str) -> dict[str, dict[str, int]]:
    """Send a run to the outputs of the configuration, as its job did.

    Raises:
        ConfigError: no such run, or no outputs.
        Unreachable: an output does not answer.
    """
    loaded = load(config)
    summary = Workspace(str(loaded.workspace)).resolve(None if run_id == "latest" else run_id)
    sent = deliver(loaded, summary)
    if not sent:
        raise ConfigError("the configuration has no outputs")
    return sent


def _differences(directory: str, pair: str | None, summary: Mapping[str, Any]) -> pa.Schema:
    """The schema of differences, which is that of the key of their pair."""
    pairs = list(summary.get("records", {}))
    if not pairs:
        raise ConfigError(f"run {summary['run_id']} compared no records")
    if pair is None and len(pairs) > 1:
        raise ConfigError(f"differences of which pair? --pair {' or '.join(pairs)}")
    return next(read_parts(directory, "differences", pair or pairs[0])).schema


def _write(parts: Iterator[pa.Table], schema: pa.Schema, format: str, file: BinaryIO) -> int:
    rows = 0
    if format == "parquet":
        with pq.ParquetWriter(file, schema) as writer:
            for part in parts:
                writer.write_table(part.cast(schema))
                rows += len(part)
    elif format == "csv":
        texts = pa.schema([(name, pa.string()) for name in schema.names])
        with pyarrow.csv.CSVWriter(file, texts) as writer:
            for part in parts:
                writer.write_table(_defused(part, texts))
                rows += len(part)
    else:
        for part in parts:
            for row in part.to_pylist():
                file.write(json.dumps(row, default=str, ensure_ascii=False).encode() + b"\n")
            rows += len(part)
    return rows


def _defused(part: pa.Table, schema: pa.Schema) -> pa.Table:
    """The part as text, with cells that a spreadsheet would run as formulas made plain text."""
    columns = []
    for field in part.schema:
        column = part.column(field.name)
        if pa.types.is_string(field.type):
            column = defused(column)
        elif pa.types.is_timestamp(field.type):
            column = pc.strftime(column, format="%Y-%m-%dT%H:%M:%SZ")
        columns.append(column.cast(pa.string()))
    return pa.table(columns, schema=schema)
