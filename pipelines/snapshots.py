"""Snapshots: immutable, bucketed once, joined everywhere without a shuffle (docs/design.md).

A snapshot is a directory `snapshots/<system>/<dataset>/<snapshot_id>/`. Row group k of each of its
part files holds the rows of bucket k. The manifest is written last: without it there is no snapshot.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import cached_property, lru_cache

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines import filesystem
from reconcilers.buckets import bucket_of, partition
from reconcilers.errors import ConfigError, Unreachable
from reconcilers.schemas import events_schema, stock_schema

FORMAT = 1
MANIFEST = "manifest.json"

#: What the rows of stock and events are bucketed by.
SKU = "sku"

#: Rows of a split held in memory before they are written as a part file: more where there are many buckets,
#: of which each is read from every part, up to a few hundred megabytes.
PART_ROWS, MOST_PART_ROWS = 1_000_000, 4_000_000

#: Rows that a bucket should have in a part.
GROUP_ROWS = 16_000

#: Columns with few different values: they stay encoded in memory, as dictionaries.
_FEW_VALUES = ("location", "kind")

#: Columns whose values hardly recur: to look for a dictionary of them takes longer than to write them.
_MANY_VALUES = frozenset({"sku", "event_id", "ref", "doc", "posted_at", "source_line"})

_INSTANTS = ("as_of", "as_of_hi", "watermark", "started_at", "finished_at")


@dataclass(frozen=True)
class PartFile:
    """One part file: its path below the snapshot, its rows and bytes, and their checksum."""

    path: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a snapshot is (docs/design.md has the meaning of each field).

    `rows_read = rows_kept + rejected`; `rows` are the canonical rows that the kept ones became (an
    order line becomes an event for each thing that happened to it). `sum_quantity` is decimal text.
    An `incremental` feed goes on where the snapshots before end. `bucketed_by` is the column that says
    which bucket a row is in.
    """

    snapshot_id: str
    system: str
    dataset: str
    profile: str | None
    as_of: datetime
    as_of_hi: datetime | None
    as_of_kind: str
    row_as_of: bool
    watermark: datetime | None
    started_at: datetime
    finished_at: datetime
    rows_read: int
    rows_kept: int
    rows: int
    rejected: int
    reject_reasons: Mapping[str, int]
    sum_quantity: str
    scale: int
    buckets: int
    files: tuple[PartFile, ...]
    sources: tuple[str, ...]
    schema_fingerprint: str
    complete: bool
    config_hash: str
    tool_version: str
    format: int = field(default=FORMAT)
    incremental: bool = False
    bucketed_by: str = SKU

    def __post_init__(self) -> None:
        if self.rows_read != self.rows_kept + self.rejected:
            raise ValueError(f"{self.rows_read} rows read, {self.rows_kept} kept, {self.rejected} rejected")
        if self.rows != sum(part.rows for part in self.files):
            raise ValueError(f"{self.rows} rows, but the parts hold {sum(p.rows for p in self.files)}")
        if self.rejected != sum(self.reject_reasons.values()):
            raise ValueError(f"{self.rejected} rejected, but the reasons count {dict(self.reject_reasons)}")

    def to_json(self) -> str:
        """The text of `manifest.json`."""
        fields = asdict(self)
        for name in _INSTANTS:
            fields[name] = None if fields[name] is None else fields[name].isoformat()
        return json.dumps(fields, indent=2, ensure_ascii=False)

    @property
    def told(self) -> str:
        """What was captured, and what was not, in a line."""
        kept = f"{self.system}/{self.dataset}: {self.rows:,} rows"
        if not self.rejected:
            return kept
        reason, count = max(self.reject_reasons.items(), key=lambda item: item[1])
        which = reason if count == self.rejected else f"{count:,} of them {reason}"
        return f"{kept}, {self.rejected:,} rejected ({which})"

    @staticmethod
    def from_json(text: str | bytes) -> Manifest:
        """The manifest that `to_json` wrote. Raises `ValueError`, `KeyError` or `TypeError` otherwise."""
        fields = json.loads(text)
        if fields["format"] != FORMAT:
            raise ValueError(f"format {fields['format']}, this version reads {FORMAT}")
        for name in _INSTANTS:
            fields[name] = None if fields[name] is None else datetime.fromisoformat(fields[name])
        fields["files"] = tuple(PartFile(**part) for part in fields["files"])
        fields["sources"] = tuple(fields["sources"])
        return Manifest(**fields)


@dataclass(frozen=True)
class Snapshot:
    """A complete snapshot: where it is, and its manifest."""

    path: str
    manifest: Manifest

    @cached_property
    def schema(self) -> pa.Schema:
        """The Arrow schema of its rows; records have that of their files. Raises `Unreachable`."""
        if self.manifest.bucketed_by == SKU:
            return dataset_schema(self.manifest.dataset, self.manifest.scale)
        if not self.manifest.files:
            return pa.schema([])
        path = filesystem.join(self.path, self.manifest.files[0].path)
        with filesystem.open_read(path) as file:
            try:
                return pq.read_schema(file)
            except (pa.ArrowInvalid, OSError) as error:
                raise Unreachable(f"{path}: damaged: {_line(error)}") from error

    def read_bucket(self, bucket: int, of: int, columns: list[str] | None = None) -> pa.Table:
        """The rows of bucket `bucket` of `of`, whatever number of buckets the snapshot has.

        Raises:
            Unreachable: a part file is missing or damaged.
        """
        have = self.manifest.buckets
        wanted = self.schema.names if columns is None else columns
        groups = list(range(bucket, have, of)) if of <= have else [bucket % have]
        needed = wanted if of <= have else list(dict.fromkeys([*wanted, self.manifest.bucketed_by]))
        tables = [self._read_groups(part, groups, needed) for part in self.manifest.files]
        table = pa.concat_tables(tables) if tables else self.schema.empty_table().select(needed)
        if of > have:
            inside = bucket_of(table.column(self.manifest.bucketed_by), of) == bucket
            table = table.filter(pa.array(inside)).select(wanted)
        return table

    def read(self, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """All rows, bucket by bucket."""
        for bucket in range(self.manifest.buckets):
            yield self.read_bucket(bucket, self.manifest.buckets, columns)

    def verify(self) -> None:
        """Check every part file against its checksum. Raises `Unreachable` naming the first bad one."""
        for part in self.manifest.files:
            path = filesystem.join(self.path, part.path)
            with filesystem.open_read(path) as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
            if digest != part.sha256:
                raise Unreachable(f"{path}: checksum {digest[:12]}…, the manifest says {part.sha256[:12]}…")

    def _read_groups(self, part: PartFile, groups: list[int], columns: list[str]) -> pa.Table:
        path = filesystem.join(self.path, part.path)
        few = [name for name in _FEW_VALUES if name in self.schema.names]
        with filesystem.open_read(path) as file:
            try:
                part_file = pq.ParquetFile(file, read_dictionary=few, metadata=_footer(path, part.sha256))
                return part_file.read_row_groups(groups, columns=columns, use_threads=False)
            except (pa.ArrowInvalid, OSError) as error:
                raise Unreachable(f"{path}: damaged: {_line(error)}") from error


@lru_cache(maxsize=512)
def _footer(path: str, sha256: str) -> pq.FileMetaData:
    """The footer of a part, which says where each of its buckets is: read once, not for every bucket.

    That of a large part takes two megabytes. The checksum tells contents apart that were there one after another.
    """
    with filesystem.open_read(path) as file:
        return pq.read_metadata(file)


@dataclass(frozen=True)
class SplitResult:
    """What the capture of one split wrote; the sums of all splits close the manifest."""

    rows_read: int
    rows_kept: int
    reject_reasons: Mapping[str, int]
    sum_quantity: str
    files: tuple[PartFile, ...]
    as_of_lo: str | None = None
    as_of_hi: str | None = None

    def to_json(self) -> str:
        """One JSON document."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str | bytes) -> SplitResult:
        """What `to_json` wrote."""
        fields = json.loads(text)
        return SplitResult(**{**fields, "files": tuple(PartFile(**part) for part in fields["files"])})


def dataset_schema(dataset: str, scale: int) -> pa.Schema:
    """The schema of a dataset's rows: `stock`, or a feed of events (`events`, `events-2`, …)."""
    return stock_schema(scale) if dataset == "stock" else events_schema(scale)


def fingerprint(schema: pa.Schema) -> str:
    """A short checksum of names and types, to notice that a dataset changed its shape."""
    text = ",".join(f"{field.name}:{field.type}" for field in schema)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write_parts(
    directory: str, split: int, tables: Iterable[pa.Table], schema: pa.Schema, buckets: int, key: str = SKU
) -> tuple[PartFile, ...]:
    """Write the rows of one split as part files of bounded size.

    One split writes `part-00000.parquet`, and goes on in `part-00000-001.parquet` where it is too
    large for memory.
    """
    files: list[PartFile] = []
    # Batches are put into buckets one by one: they are in the processor's cache, the part would not be.
    pending: list[list[pa.Table]] = []
    enough = min(max(PART_ROWS, GROUP_ROWS * buckets), MOST_PART_ROWS)
    rows = 0
    for table in tables:
        pending.append(partition(table, buckets, key))
        rows += len(table)
        if rows >= enough:
            files.append(_write_part(directory, _part_name(split, len(files)), pending, schema))
            pending, rows = [], 0
    if pending or not files:
        pending = pending or [[schema.empty_table()] * buckets]
        files.append(_write_part(directory, _part_name(split, len(files)), pending, schema))
    return tuple(files)


def write_manifest(path: str, manifest: Manifest) -> Snapshot:
    """Make the snapshot exist: its manifest is written last, and atomically."""
    filesystem.write_atomic(filesystem.join(path, MANIFEST), manifest.to_json().encode())
    return Snapshot(path, manifest)


def directory_of(workspace: str, system: str, dataset: str, snapshot_id: str) -> str:
    """Where a snapshot is."""
    return filesystem.join(workspace, "snapshots", system, dataset, snapshot_id)


def list_snapshots(workspace: str, system: str | None = None, dataset: str | None = None) -> list[Snapshot]:
    """The complete snapshots of a workspace, oldest capture first."""
    root = filesystem.join(workspace, "snapshots")
    systems = [system] if system else _names(root)
    found = [
        Snapshot(path, _manifest(path))
        for each in systems
        for kind in ([dataset] if dataset else _names(filesystem.join(root, each)))
        for path in filesystem.list_dirs(filesystem.join(root, each, kind))
        if filesystem.exists(filesystem.join(path, MANIFEST))
    ]
    return sorted(found, key=lambda s: (s.manifest.finished_at, s.manifest.snapshot_id))


def newest(workspace: str, system: str, dataset: str) -> Snapshot | None:
    """The snapshot that was captured last; None if there is none."""
    found = list_snapshots(workspace, system, dataset)
    return found[-1] if found else None


def up_to(snapshot: Snapshot) -> list[Snapshot]:
    """The complete snapshots of the same dataset up to this one, oldest capture first."""
    workspace = snapshot.path.rstrip("/").rsplit("/", 4)[0]
    manifest = snapshot.manifest
    found = list_snapshots(workspace, manifest.system, manifest.dataset)
    last = (manifest.finished_at, manifest.snapshot_id)
    return [each for each in found if (each.manifest.finished_at, each.manifest.snapshot_id) <= last]


def load(workspace: str, system: str, dataset: str, snapshot_id: str) -> Snapshot:
    """One snapshot. Raises `ConfigError` if there is no complete one with this id."""
    path = directory_of(workspace, system, dataset, snapshot_id)
    if not filesystem.exists(filesystem.join(path, MANIFEST)):
        raise ConfigError(f"no snapshot {snapshot_id!r} of {system}/{dataset}; see `recon snapshot list`")
    return Snapshot(path, _manifest(path))


def sum_of(column: pa.ChunkedArray | pa.Array) -> str:
    """Σ of a quantity column as exact decimal text."""
    total = pc.sum(column.cast(pa.decimal128(38, column.type.scale))).as_py()
    return "0" if total is None else str(total)


def _manifest(path: str) -> Manifest:
    file_path = filesystem.join(path, MANIFEST)
    with filesystem.open_read(file_path) as file:
        text = file.read()
    try:
        return Manifest.from_json(text)
    except (ValueError, KeyError, TypeError) as error:
        raise Unreachable(f"{file_path}: not a manifest: {_line(error)}") from error


def _names(directory: str) -> list[str]:
    return [path.rstrip("/").rsplit("/", 1)[-1] for path in filesystem.list_dirs(directory)]


def _part_name(split: int, number: int) -> str:
    return f"part-{split:05d}.parquet" if number == 0 else f"part-{split:05d}-{number:03d}.parquet"


def _write_part(directory: str, name: str, batches: list[list[pa.Table]], schema: pa.Schema) -> PartFile:
    """Write a part: `batches` are tables by bucket."""
    buffer = pa.BufferOutputStream()
    # decimals as integers are read several times faster than as bytes
    with pq.ParquetWriter(
        buffer,
        schema,
        compression="zstd",
        compression_level=1,
        store_decimal_as_integer=True,
        use_dictionary=[name for name in schema.names if name not in _MANY_VALUES],
        column_encoding={"source_line": "DELTA_BINARY_PACKED"},
    ) as writer:
        for pieces in zip(*batches, strict=True):
            rows = pa.concat_tables(pieces).unify_dictionaries()
            writer.write_table(rows, row_group_size=max(1, len(rows)))
    data = buffer.getvalue()
    filesystem.write_atomic(filesystem.join(directory, name), data)
    count = sum(len(piece) for pieces in batches for piece in pieces)
    return PartFile(name, count, data.size, hashlib.sha256(data).hexdigest())


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
