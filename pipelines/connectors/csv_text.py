"""CSV as the world writes it: any line ends, byte order marks, quoted newlines, code pages.

Arrow parses; what it cannot say (the physical line of each row, whether the file was cut off) is
added here. A row with the wrong number of fields is a reject; a cut-off file is an error.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from pipelines.connectors import Batch
from reconcilers.errors import ConfigError, Unreachable
from reconcilers.schemas import ORIGIN, rejects_schema

BLOCK = 8 << 20
HEAD = 1 << 16


@dataclass(frozen=True)
class Dialect:
    """How a CSV file is written."""

    delimiter: str = ","
    quote: str = '"'
    encoding: str = "utf-8"
    header: bool | tuple[str, ...] = True


def with_origin(table: pa.Table, path: str, lines: pa.Array) -> pa.Table:
    """Raw rows with `source_file` and `source_line`."""
    indices = pa.array(np.zeros(len(table), np.int32))
    file = pa.DictionaryArray.from_arrays(indices, pa.array([path]))
    return table.append_column(ORIGIN[0], file).append_column(ORIGIN[1], lines)


def read(stream: IO[bytes], path: str, dialect: Dialect) -> Iterator[Batch]:
    """Read CSV text as batches of text columns with their physical lines.

    Raises:
        Unreachable: empty, binary, cut off, or not in the encoding that it should be in.
    """
    watched = _Watched(stream, dialect.quote)
    names = _names(watched.peek(path), path, dialect)
    lines = _Lines(record=2 if dialect.header is True else 1)
    yield Batch(with_origin(_empty(names), path, pa.array([], pa.int64())))
    try:
        for batch in _open(watched, names, dialect, lines):
            table = pa.Table.from_batches([batch]).rename_columns([name.strip() for name in names])
            filled = lines.place(table)
            yield Batch(with_origin(table.filter(filled.mask), path, filled.lines), lines.rejects(path))
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise Unreachable(_explained(error, path, dialect)) from error
    except (OSError, EOFError) as error:
        raise Unreachable(f"{path}: cut off or damaged: {_line(error)}") from error
    lines.finish()
    if watched.quotes % 2 and (lines.ends_in_break or not watched.ends_line):
        raise Unreachable(f"{path}: cut off: a quoted value at its end is never closed")
    left = lines.rejects(path)
    if lines.cut_off and not watched.ends_line:
        raise Unreachable(f"{path}: cut off: its last line {lines.last_bad} has too few fields")
    if left is not None:
        yield Batch(with_origin(_empty(names), path, pa.array([], pa.int64())), left)


def _open(watched: _Watched, names: list[str], dialect: Dialect, lines: _Lines) -> Any:
    return pyarrow.csv.open_csv(
        pa.PythonFile(watched, "r"),
        read_options=pyarrow.csv.ReadOptions(
            use_threads=False,
            block_size=BLOCK,
            encoding=dialect.encoding,
            column_names=None if dialect.header is True else names,
        ),
        parse_options=pyarrow.csv.ParseOptions(
            delimiter=dialect.delimiter,
            quote_char=dialect.quote or False,
            newlines_in_values=True,
            ignore_empty_lines=False,
            invalid_row_handler=lines.bad,
        ),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
        ),
    )


def _names(head: bytes, path: str, dialect: Dialect) -> list[str]:
    """The column names as the file writes them."""
    if not head:
        raise Unreachable(f"{path}: empty")
    if b"\0" in head and not dialect.encoding.lower().startswith(("utf-16", "utf-32", "utf16", "utf32")):
        raise Unreachable(f"{path}: binary, not CSV text")
    if isinstance(dialect.header, tuple):
        return list(dialect.header)
    try:
        text = head.decode(dialect.encoding, errors="ignore").removeprefix("\ufeff")
    except LookupError as error:
        raise ConfigError(f"{path}: no encoding {dialect.encoding!r}") from error
    lines = io.StringIO(text, newline=None)
    if dialect.quote:
        rows = csv.reader(lines, delimiter=dialect.delimiter, quotechar=dialect.quote)
    else:
        rows = csv.reader(lines, delimiter=dialect.delimiter, quoting=csv.QUOTE_NONE)
    first = next(rows, [])
    if dialect.header is False:
        return [f"column_{number}" for number in range(1, len(first) + 1)]
    stripped = [name.strip() for name in first]
    twice = sorted({name for name in stripped if stripped.count(name) > 1})
    if twice:
        raise Unreachable(f"{path}: two columns are called {twice[0]!r}")
    if not any(stripped):
        raise Unreachable(f"{path}: its first line names no columns")
    return first


def _empty(names: list[str]) -> pa.Table:
    return pa.table({name.strip(): pa.array([], pa.string()) for name in names})


class _Watched(io.RawIOBase):
    """A byte stream that remembers how it ends, and can show its beginning first."""

    def __init__(self, stream: IO[bytes], quote: str) -> None:
        super().__init__()
        self._stream = stream
        self._quote = quote.encode()
        self._head = b""
        self.quotes = 0
        self._last = b""

    @property
    def ends_line(self) -> bool:
        return self._last in (b"\n", b"\r")

    def peek(self, path: str) -> bytes:
        try:
            self._head = self._stream.read(HEAD)
        except (OSError, EOFError) as error:
            raise Unreachable(f"{path}: cut off or damaged: {_line(error)}") from error
        return self._head

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if self._head:
            data, self._head = self._head, b""
        else:
            data = self._stream.read(size)
        if data:
            self.quotes += data.count(self._quote) if self._quote else 0
            self._last = data[-1:]
        return data


@dataclass(frozen=True)
class _Placed:
    mask: pa.Array
    lines: pa.Array


@dataclass
class _Lines:
    """The physical line of each row: rejected rows and newlines inside values shift what follows."""

    record: int
    cut_off: bool = False
    last_bad: int = 0
    ends_in_break: bool = False
    _shift: int = 0
    _bad: list[tuple[int, str, int, int]] = field(default_factory=list)
    _told: list[tuple[int, str, str]] = field(default_factory=list)

    def bad(self, row: Any) -> str:
        """Arrow met a row with the wrong number of fields."""
        self._bad.append((int(row.number), row.text, row.expected_columns, row.actual_columns))
        return "skip"

    def place(self, table: pa.Table) -> _Placed:
        """The lines of a batch's rows, and which of them are more than a blank line."""
        breaks = _line_breaks(table)
        offsets = self._shift + np.concatenate([[0], np.cumsum(breaks)])
        met = self._met(len(table))
        bad = np.array([number for number, *_ in met], np.int64) - self.record
        for position, (at, (_, text, expected, actual)) in enumerate(zip(bad, met, strict=True)):
            self._tell(self.record + int(at + offsets[at - position]), text, expected, actual)
            offsets[at - position :] += text.count("\n") if "\n" in text else 0
        records = np.delete(np.arange(len(table) + len(met)), bad) + self.record
        self.record += len(table) + len(met)
        self._shift = int(offsets[-1])
        self.ends_in_break = bool(len(breaks) and breaks[-1])
        blank = _blank(table)
        return _Placed(pa.array(~blank), pa.array((records + offsets[:-1])[~blank], pa.int64()))

    def rejects(self, path: str) -> pa.Table | None:
        """The bad rows met since the last call."""
        if not self._told:
            return None
        rows = [
            {
                "source_file": path,
                "source_line": line,
                "column": "",
                "reason": reason,
                "raw": json.dumps(text),
            }
            for line, reason, text in self._told
        ]
        self._told = []
        return pa.Table.from_pylist(rows, schema=rejects_schema())

    def finish(self) -> None:
        """Bad rows after the last good one."""
        for number, text, expected, actual in self._bad:
            self._tell(number + self._shift, text, expected, actual)
            self.ends_in_break = "\n" in text
        self._bad = []

    def _met(self, count: int) -> list[tuple[int, str, int, int]]:
        """The bad rows before or among the next `count` good ones."""
        met = 0
        while met < len(self._bad) and self._bad[met][0] < self.record + count + met:
            met += 1
        taken, self._bad = self._bad[:met], self._bad[met:]
        return taken

    def _tell(self, line: int, text: str, expected: int, actual: int) -> None:
        if text.strip():
            self._told.append((line, f"{'too few' if actual < expected else 'too many'} fields", text))
            self.cut_off, self.last_bad = actual < expected, line
        else:
            self.cut_off = False


def _line_breaks(table: pa.Table) -> np.ndarray:
    """How many line breaks each row has inside its values; zeros at once where there is none."""
    total = np.zeros(len(table), np.int64)
    for column in table.columns:
        if pc.any(pc.match_substring(column, "\n")).as_py():
            total += pc.count_substring(column, "\n").to_numpy().astype(np.int64)
    return total


def _blank(table: pa.Table) -> np.ndarray:
    """Rows of a blank line: every field is empty."""
    blank = np.ones(len(table), bool)
    for column in table.columns:
        if not blank.any():
            break
        empty = pc.fill_null(pc.equal(pc.utf8_length(column), 0), True)
        blank &= empty.to_numpy()
    return blank


def _explained(error: Exception, path: str, dialect: Dialect) -> str:
    text = _line(error)
    if isinstance(error, UnicodeDecodeError) or "UTF8" in text or "utf-8" in text.lower():
        return f"{path}: not {dialect.encoding} text; set encoding, such as cp1252"
    return f"{path}: not readable as CSV: {text}"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
