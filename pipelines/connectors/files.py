"""Connector `files`: CSV, JSON Lines and Parquet exports, plain, gzip or zstd, local or `gs://`.

A row that cannot be read becomes a reject with its line; a file that cannot be read is one error.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from pipelines import filesystem
from pipelines.connectors import Batch, Context, Plan, csv_text, json_lines
from pipelines.connectors.files_sink import Sink, SinkOptions
from reconcilers.errors import ConfigError, Unreachable

__all__ = ["COMPRESSIONS", "EXAMPLE", "FORMATS", "SUMMARY", "Options", "Sink", "SinkOptions", "Source", "located"]

SUMMARY = "CSV, JSON Lines and Parquet files, plain, gzip or zstd, local or gs://"

EXAMPLE = """\
stock:
  connector: files
  path: exports/stock-*.csv            # the newest, by the instant in its name
  as_of: {from: filename, pattern: "stock-%Y%m%dT%H%M%SZ.csv"}
  delimiter: ";"
  profile: storefront.available
  columns: {sku: item_no, location: whse, quantity: qty}
"""

FORMATS = {
    "csv": "csv",
    "txt": "csv",
    "tsv": "csv",
    "jsonl": "jsonl",
    "ndjson": "jsonl",
    "parquet": "parquet",
}
COMPRESSIONS = {"gz": "gzip", "zst": "zstd"}


class AsOf(BaseModel):
    """As of when the files show their system."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    origin: Literal["manifest", "column", "filename", "mtime", "value"] = Field(alias="from")
    pattern: str | None = None
    column: str | None = None
    value: datetime | None = None

    def model_post_init(self, _: Any) -> None:
        """Each origin has what it needs."""
        needs = {"filename": "pattern", "column": "column", "value": "value"}.get(self.origin)
        if needs and getattr(self, needs) is None:
            raise ValueError(f"as_of from {self.origin} needs {needs}")
        if self.value is not None and self.value.tzinfo is None:
            raise ValueError(f"as_of value {self.value} has no offset; write {self.value.isoformat()}Z")


class Options(BaseModel):
    """What a dataset of files says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Annotated[tuple[str, ...], BeforeValidator(lambda v: (v,) if isinstance(v, str) else v)] = Field(
        description="a file, a glob, or a list of them; relative to the configuration, or gs://…"
    )
    format: Literal["csv", "jsonl", "parquet"] | None = Field(
        None, description="csv, jsonl or parquet; by the file's name if not given"
    )
    as_of: AsOf | None = Field(
        None,
        description="{from: filename, pattern: …}, {from: column, column: …}, {from: value, value: …}, "
        "{from: mtime} or {from: manifest}",
    )
    watermark: datetime | None = Field(
        None, description="events: complete up to this instant; up to the as-of if not given"
    )
    encoding: str = Field("utf-8", description="csv: the text's encoding, such as cp1252")
    delimiter: str = Field(",", min_length=1, max_length=1, description="csv: what separates the columns")
    quote: str = Field('"', max_length=1, description="csv: what quotes a value; empty for nothing")
    header: bool | tuple[str, ...] = Field(
        True, description="csv: whether the first line names the columns, or their names if it does not"
    )


@dataclass(frozen=True)
class Split:
    """A file as it was when it was planned, or some row groups of a Parquet file."""

    path: str
    version: filesystem.Version
    row_groups: tuple[int, ...] = ()
    first_row: int = 0


class Source:
    """One dataset in files."""

    def __init__(self, options: Options, context: Context) -> None:
        self.options = options
        self.context = context

    def plan(self, now: datetime) -> Plan:
        """Find the files, their as-of and splits.

        Raises:
            Unreachable: no file, a file that cannot be read, an as-of in the future.
            ConfigError: nothing says as of when the files are.
        """
        paths = self._paths()
        as_of = self._as_of()
        kind = {"mtime": "file_mtime", "value": "configured", "column": "event_time"}.get(as_of.origin, as_of.origin)
        if as_of.origin == "column":
            plan = self._planned(paths, kind)
            return replace(plan, as_of_column=as_of.column, watermark=self.options.watermark)
        instants = {path: self._instants(path, as_of) for path in paths}
        if as_of.origin == "filename" and self.context.dataset == "stock":
            newest = max(lo for lo, _, _ in instants.values())
            instants = {path: found for path, found in instants.items() if found[0] == newest}
        for path, (_, hi, _) in instants.items():
            if hi > now:
                raise Unreachable(f"{path}: its as-of {hi.isoformat()} is in the future (it is {now.isoformat()})")
        return self._with_instants(self._planned(list(instants), kind), list(instants.values()))

    def read(self, split: Split) -> Iterator[Batch]:
        """Read a split as batches of raw rows. Raises `Unreachable` where the file is not what it was when planned."""
        yield from self._batches(split)
        if filesystem.version(split.path) != split.version:
            raise Unreachable(f"{split.path}: was written while it was read; export it under another name, then rename")

    def _batches(self, split: Split) -> Iterator[Batch]:
        kind = self._format(split.path)
        if kind == "parquet":
            yield from _parquet(split)
            return
        with _opened(split.path) as stream:
            if kind == "csv":
                dialect = csv_text.Dialect(
                    self.options.delimiter, self.options.quote, self.options.encoding, self.options.header
                )
                yield from csv_text.read(stream, split.path, dialect)
            else:
                yield from json_lines.read(stream, split.path)

    def _paths(self) -> list[str]:
        found: list[str] = []
        for pattern in self.options.path:
            path = pattern if filesystem.is_remote(pattern) else filesystem.absolute(self.context.base, pattern)
            matches = filesystem.glob(path)
            if not matches:
                raise Unreachable(f"{path}: no such file" if not _is_glob(pattern) else f"{path}: no file matches")
            found += [match for match in matches if not match.endswith(".manifest.json")]
        return list(dict.fromkeys(found))

    def _as_of(self) -> AsOf:
        if self.options.as_of is None:
            raise ConfigError(
                f"{', '.join(self.options.path)}: as of when? set as_of, such as {{from: filename, pattern: …}}"
            )
        return self.options.as_of

    def _format(self, path: str) -> str:
        if self.options.format is not None:
            return self.options.format
        name = path.rsplit("/", 1)[-1].lower().split(".")
        extension = name[-2] if name[-1] in COMPRESSIONS and len(name) > 2 else name[-1]
        if extension not in FORMATS:
            raise ConfigError(f"{path}: format? set it to csv, jsonl or parquet")
        return FORMATS[extension]

    def _instants(self, path: str, as_of: AsOf) -> tuple[datetime, datetime, datetime | None]:
        """As-of, its upper bound, and the watermark if the file's own manifest tells it."""
        if as_of.origin == "manifest":
            return _from_manifest(path)
        if as_of.origin == "filename":
            instant = _from_name(path, str(as_of.pattern), self.context.timezone)
        elif as_of.origin == "mtime":
            instant = filesystem.modified_at(path)
        else:
            instant = _configured(as_of)
        return instant, instant, None

    def _with_instants(self, plan: Plan, instants: list[tuple[datetime, datetime, datetime | None]]) -> Plan:
        """A feed reaches as far as its newest file; stock is as old as its oldest one."""
        lows, highs = [lo for lo, _, _ in instants], [hi for _, hi, _ in instants]
        if self.context.dataset != "stock":
            told = [watermark for _, _, watermark in instants if watermark is not None]
            watermark = self.options.watermark or max(told, default=max(lows))
            return replace(plan, as_of=max(lows), watermark=watermark)
        hi = max(highs)
        return replace(plan, as_of=min(lows), as_of_hi=hi if hi > min(lows) else None)

    def _planned(self, paths: list[str], kind: str) -> Plan:
        splits: list[Split] = []
        rows = 0
        for path in paths:
            version = filesystem.version(path)
            if self._format(path) == "parquet":
                found, count = _parquet_splits(path, version)
                splits += found
                rows += count
            else:
                splits.append(Split(path, version))
                packed = path.rsplit(".", 1)[-1].lower() in COMPRESSIONS
                rows += version.size // (10 if packed else 50)
        return Plan(tuple(splits), None, kind, rows, tuple(paths))


#: Row groups of a Parquet file that are read together: enough rows for a part, few enough for memory.
_SPLIT_ROWS = 2_000_000


def _parquet_splits(path: str, version: filesystem.Version) -> tuple[list[Split], int]:
    with filesystem.open_read(path) as file:
        try:
            metadata = pq.ParquetFile(file).metadata
        except (pa.ArrowInvalid, OSError) as error:
            raise Unreachable(f"{path}: not a whole Parquet file: {_line(error)}") from error
    splits: list[Split] = []
    groups: list[int] = []
    first = rows = 0
    for group in range(metadata.num_row_groups):
        groups.append(group)
        rows += metadata.row_group(group).num_rows
        if rows >= _SPLIT_ROWS or group == metadata.num_row_groups - 1:
            splits.append(Split(path, version, tuple(groups), first))
            first, rows, groups = first + rows, 0, []
    return splits or [Split(path, version)], metadata.num_rows


def _parquet(split: Split) -> Iterator[Batch]:
    with filesystem.open_read(split.path) as file:
        try:
            reader = pq.ParquetFile(file)
            line = split.first_row + 1
            groups = list(split.row_groups)
            empty = reader.schema_arrow.empty_table().to_batches(max_chunksize=1)
            yield Batch(located(pa.Table.from_batches(empty, reader.schema_arrow), split.path, 1))
            for batch in reader.iter_batches(131_072, row_groups=groups, use_threads=False):
                yield Batch(located(pa.Table.from_batches([batch]), split.path, line))
                line += len(batch)
        except (pa.ArrowInvalid, OSError) as error:
            raise Unreachable(f"{split.path}: damaged: {_line(error)}") from error


def located(table: pa.Table, path: str, line: int) -> pa.Table:
    """Raw rows with the file and the line (or row) that each came from."""
    lines = pa.array(range(line, line + len(table)), pa.int64())
    return csv_text.with_origin(table, path, lines)


def _opened(path: str) -> Any:
    """The bytes of a file, unpacked where its name says so."""
    compression = COMPRESSIONS.get(path.rsplit(".", 1)[-1].lower())
    return filesystem.open_unpacked(path, compression)


def _configured(as_of: AsOf) -> datetime:
    if as_of.value is None:
        raise ConfigError("as_of from value needs value")
    return as_of.value.astimezone(UTC)


def _is_glob(pattern: str) -> bool:
    return any(sign in pattern for sign in "*?[")


_DIRECTIVES = {"Y": r"\d{4}", "m": r"\d{2}", "d": r"\d{2}", "H": r"\d{2}", "M": r"\d{2}", "S": r"\d{2}",
               "y": r"\d{2}", "j": r"\d{3}", "f": r"\d{1,6}", "z": r"(?:Z|[+-]\d{2}:?\d{2})", "b": r"[A-Za-z]{3}",
               "s": r"\d{9,11}"}  # fmt: skip


def _from_name(path: str, pattern: str, timezone: str) -> datetime:
    """The instant in a file's name; `*` in the pattern stands for anything, a Z after it for UTC."""
    name = path.rsplit("/", 1)[-1]
    parts = re.split(r"(%[A-Za-z]|\*)", pattern)
    expression, directives = "", []
    for part in parts:
        if part == "*":
            expression += ".*?"
        elif part.startswith("%") and part[1:] in _DIRECTIVES:
            expression += f"({_DIRECTIVES[part[1:]]})"
            directives.append(part)
        else:
            expression += re.escape(part)
    match = re.fullmatch(expression + r"(?:\.gz|\.zst)?", name)
    if match is None:
        raise Unreachable(f"{path}: its name is not like {pattern!r}, so nothing says as of when it is")
    if directives == ["%s"]:
        return datetime.fromtimestamp(int(match[1]), UTC)
    try:
        instant = datetime.strptime(" ".join(match.groups()), " ".join(directives))  # noqa: DTZ007
    except ValueError as error:
        raise Unreachable(f"{path}: no instant in its name: {error}") from error
    if instant.tzinfo is not None:
        return instant.astimezone(UTC)
    last = parts.index(directives[-1], len(parts) - 1 - parts[::-1].index(directives[-1]))
    if parts[last + 1].startswith("Z"):
        return instant.replace(tzinfo=UTC)
    return _local(instant, timezone, path)


def _local(instant: datetime, timezone: str, path: str) -> datetime:
    """A wall clock as an instant; one that comes twice or never is an error, not a guess."""
    zone = ZoneInfo(timezone)
    first, second = (instant.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if first != second:
        raise Unreachable(f"{path}: {instant} comes twice or never in {timezone}; name its files in UTC")
    return first


def _from_manifest(path: str) -> tuple[datetime, datetime, datetime | None]:
    """A sidecar `<file>.manifest.json`, or `manifest.json` beside it: as_of, and what else it promises."""
    beside = path.rsplit("/", 1)[0] + "/manifest.json"
    place = next((each for each in (f"{path}.manifest.json", beside) if filesystem.exists(each)), None)
    if place is None:
        raise Unreachable(f"{path}: no {path.rsplit('/', 1)[-1]}.manifest.json beside it")
    with filesystem.open_read(place) as file:
        text = file.read()
    try:
        told = json.loads(text)
        as_of, hi, watermark = (_told(told.get(name), place) for name in ("as_of", "as_of_hi", "watermark"))
    except (ValueError, AttributeError) as error:
        raise Unreachable(f"{place}: not a manifest: {_line(error)}") from error
    if as_of is None:
        raise Unreachable(f"{place}: no as_of in it")
    _verify(path, told, place)
    return as_of, hi or as_of, watermark


def _told(text: str | None, place: str) -> datetime | None:
    if text is None:
        return None
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise Unreachable(f"{place}: {text} has no offset")
    return instant.astimezone(UTC)


def _verify(path: str, told: dict[str, Any], place: str) -> None:
    """The bytes and checksum that a manifest promises are those of the file."""
    if "bytes" in told and told["bytes"] != filesystem.size(path):
        raise Unreachable(f"{path}: truncated? {filesystem.size(path)} bytes, {place} says {told['bytes']}")
    if "sha256" in told:
        with filesystem.open_read(path) as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
        if digest != told["sha256"]:
            raise Unreachable(f"{path}: its checksum is not the one in {place}; was it cut off?")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
