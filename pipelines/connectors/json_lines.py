"""JSON Lines with exact numbers: what a file says as 0.1 is never a binary float.

Arrow parses a block at once, with fractions as decimals; a block that it cannot take (a bad line, a
column of several types) is parsed line by line, and a bad line becomes a reject.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from pipelines.connectors import Batch
from pipelines.connectors.csv_text import with_origin
from reconcilers.errors import Unreachable
from reconcilers.schemas import TEXT, rejects_schema

BLOCK = 8 << 20

#: Wide enough for any quantity that can be kept, and any fraction that can be told apart.
_EXACT = pa.decimal128(38, 14)


def read(stream: IO[bytes], path: str) -> Iterator[Batch]:
    """Read JSON Lines as batches of text columns; a nested field `a: {b: 1}` is the column `a.b`.

    Raises:
        Unreachable: empty, binary, or cut off.
    """
    line = 1
    for block in _blocks(stream, path):
        table, numbers, rejects = _parsed(block, line, path)
        yield Batch(with_origin(table, path, pa.array(numbers, pa.int64())), rejects)
        line += block.count(b"\n")


def _blocks(stream: IO[bytes], path: str) -> Iterator[bytes]:
    """The file in blocks of whole lines."""
    rest = b""
    first = True
    try:
        while data := stream.read(BLOCK):
            if first and b"\0" in data[:4096]:
                raise Unreachable(f"{path}: binary, not JSON Lines")
            data = data.removeprefix(b"\xef\xbb\xbf") if first else data
            first = False
            rest += data
            cut = rest.rfind(b"\n") + 1
            if cut:
                yield rest[:cut]
                rest = rest[cut:]
    except (OSError, EOFError) as error:
        raise Unreachable(f"{path}: cut off or damaged: {' '.join(str(error).split())}") from error
    if first:
        raise Unreachable(f"{path}: empty")
    if rest.strip():
        _whole(rest, path)
        yield rest + b"\n"


def _whole(line: bytes, path: str) -> None:
    """A last line without its end must at least be whole."""
    try:
        json.loads(line)
    except ValueError as error:
        raise Unreachable(f"{path}: cut off: its last line is not whole JSON") from error


def _parsed(block: bytes, line: int, path: str) -> tuple[pa.Table, np.ndarray, pa.Table | None]:
    lines = block.count(b"\n")
    try:
        table = _at_once(block)
        if len(table) == lines:
            return table, np.arange(line, line + lines), None
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowKeyError, KeyError):
        pass
    return _one_by_one(block, line, path)


def _at_once(block: bytes) -> pa.Table:
    options = pyarrow.json.ReadOptions(use_threads=False, block_size=len(block) + 1)
    table = pyarrow.json.read_json(io.BytesIO(block), read_options=options)
    if any(pa.types.is_nested(field.type) for field in table.schema):
        raise pa.ArrowNotImplementedError("nested")
    # Read again what Arrow would make a float or an instant: told the type, it keeps every digit.
    told = [(field.name, _EXACT) for field in table.schema if pa.types.is_floating(field.type)]
    told += [(field.name, TEXT) for field in table.schema if pa.types.is_temporal(field.type)]
    if told:
        parse = pyarrow.json.ParseOptions(explicit_schema=pa.schema(told))
        table = pyarrow.json.read_json(io.BytesIO(block), read_options=options, parse_options=parse)
    return pa.table({name: _as_text(table.column(name)) for name in table.column_names})


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    plain = column.cast(TEXT)
    return pc.replace_substring_regex(plain, r"\.?0+$", "") if pa.types.is_decimal(column.type) else plain


def _one_by_one(block: bytes, line: int, path: str) -> tuple[pa.Table, np.ndarray, pa.Table | None]:
    rows: list[dict[str, str | None]] = []
    numbers: list[int] = []
    rejects: list[dict[str, Any]] = []
    for number, raw in enumerate(block.split(b"\n")[:-1], line):
        if not raw.strip():
            continue
        try:
            value = json.loads(raw, parse_float=str, parse_int=str, parse_constant=str)
            if not isinstance(value, dict):
                raise ValueError("not an object")
        except ValueError as error:
            reason = "not an object" if str(error) == "not an object" else "not JSON"
            text = raw.decode("utf-8", "replace")
            rejects.append(
                {
                    "source_file": path,
                    "source_line": number,
                    "column": "",
                    "reason": reason,
                    "raw": json.dumps(text),
                }
            )
            continue
        rows.append(flat(value))
        numbers.append(number)
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = pa.table({name: pa.array([row.get(name) for row in rows], TEXT) for name in names})
    if not names:
        table = pa.table({"_": pa.array([None] * len(rows), TEXT)})
    told = pa.Table.from_pylist(rejects, schema=rejects_schema()) if rejects else None
    return table, np.array(numbers, np.int64), told


def flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested objects as dotted columns; lists stay JSON text."""
    columns: dict[str, Any] = {}
    for name, item in value.items():
        if isinstance(item, dict):
            columns |= flat(item, f"{prefix}{name}.")
        elif isinstance(item, list):
            columns[prefix + name] = json.dumps(item, default=str)
        elif isinstance(item, bool):
            columns[prefix + name] = "true" if item else "false"
        else:
            columns[prefix + name] = item
    return columns
