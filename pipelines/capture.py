"""The capture pipeline: from sources to snapshots, one task a split.

A task reads its split as batches, makes them canonical and writes a part file bucketed by SKU; its
counts are written last. The driver adds the counts of all splits up, checks that they close, and
writes the manifest. Whatever happens before that leaves nothing that counts as a snapshot.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from importlib.metadata import version
from itertools import chain
from typing import Any, cast
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines import filesystem, snapshots
from pipelines.connectors import Context, Held, Plan, Settling, Source, Tap, open_source
from pipelines.execution import Engine, call_each
from pipelines.snapshots import Manifest, Snapshot, SplitResult
from reconcilers.buckets import buckets_for
from reconcilers.canonical import Canonical, canonicalise
from reconcilers.errors import ConfigError, ReconError, Unreachable
from reconcilers.keyed import BUCKET_KEY, RecordsMapping, keyed
from reconcilers.mapping import Mapping, check_columns

Progress = Callable[[Snapshot], None]

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class CaptureRequest:
    """One dataset to capture: where it comes from, and what it means."""

    system: str
    dataset: str
    connector: str
    options: dict[str, Any]
    context: Context
    mapping: Mapping | RecordsMapping
    profile: str | None = None
    config_hash: str = ""
    buckets: int | None = None

    @property
    def name(self) -> str:
        """The dataset as people write it."""
        return f"{self.system}/{self.dataset}"


@dataclass(frozen=True)
class CaptureTask:
    """One split of one dataset, and where its parts go."""

    request: CaptureRequest
    number: int
    split: Any
    buckets: int
    directory: str


@dataclass
class _Taken:
    """A capture under way."""

    request: CaptureRequest
    source: Source
    plan: Plan
    snapshot_id: str
    directory: str
    buckets: int
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def tasks(self) -> Iterator[CaptureTask]:
        """A task a split."""
        for number, split in enumerate(self.plan.splits):
            yield CaptureTask(self.request, number, split, self.buckets, self.directory)


def capture(
    requests: Iterable[CaptureRequest],
    workspace: str,
    now: datetime,
    engine: Engine = (),
    progress: Progress = lambda snapshot: None,
    counters: dict[str, int] | None = None,
) -> list[Snapshot]:
    """Capture datasets, each at its own instant, in one pipeline, whose counts go to `counters`.

    Returns:
        The snapshots, in the order of the requests.

    Raises:
        Unreachable: a source cannot be read, or a snapshot cannot be written.
        ConfigError: a source does not have the columns that its mapping names.
    """
    with Held() as held:
        planned = [_planned(request, now, held) for request in requests]
        # As many buckets for all of them as the largest needs: then no bucket is read twice.
        largest = max((plan.estimated_rows for _, _, plan in planned), default=0)
        taken = [_begun(*each, workspace, now, buckets_for(largest)) for each in planned]
        _read([each for each in taken if not isinstance(each.source, Tap)], engine, counters)
    found = []
    with _taps(taken) as taps:
        _read(taps, engine, counters)
        for each in taken:
            found.append(_finished(each, now))
            progress(found[-1])
    return found


@contextmanager
def _taps(taken: list[_Taken]) -> Iterator[list[_Taken]]:
    """The captures that empty what they read from; what is not captured in the end is given back."""
    taps = [each for each in taken if isinstance(each.source, Tap)]
    try:
        yield taps
    finally:
        for each in taps:
            cast(Tap, each.source).close()


def _read(taken: list[_Taken], engine: Engine, counters: dict[str, int] | None) -> None:
    """Read every split: here where only the source that planned it can, else in a pipeline."""
    for each in taken:
        if each.plan.local:
            for task in each.tasks():
                capture_split(task, each.source)
    calls = [(task,) for each in taken if not each.plan.local for task in each.tasks()]
    if calls:
        call_each(capture_split, calls, engine, counters=counters)


def capture_split(task: CaptureTask, source: Source | None = None) -> dict[str, int]:
    """Read one split, write its parts and rejects, and last of all its counts; returns what to count."""
    request = task.request
    counts = _Counts(task, source or open_source(request.connector, request.options, request.context))
    files = _written(task, counts.rows())
    if counts.rejects:
        path = filesystem.join(task.directory, "rejects", f"part-{task.number:05d}.parquet")
        with filesystem.create(path) as file:
            pq.write_table(pa.concat_tables(counts.rejects), file, compression="zstd")
    result = SplitResult(
        rows_read=counts.read,
        rows_kept=counts.kept,
        reject_reasons=counts.reasons(),
        sum_quantity=str(counts.total),
        files=files,
        as_of_lo=counts.lowest.isoformat() if counts.lowest else None,
        as_of_hi=counts.highest.isoformat() if counts.highest else None,
    )
    filesystem.write_atomic(_result_path(task.directory, task.number), result.to_json().encode())
    return {
        "splits": 1,
        "rows_read": counts.read,
        "rows_rejected": counts.read - counts.kept,
        "bytes_written": sum(part.bytes for part in files),
    }


def _written(task: CaptureTask, rows: Iterator[pa.Table]) -> tuple[snapshots.PartFile, ...]:
    """The parts of a split; records have the types of their first batch, which every source gives."""
    if not isinstance(task.request.mapping, RecordsMapping):
        schema = snapshots.dataset_schema(task.request.dataset, task.request.mapping.scale)
        return snapshots.write_parts(task.directory, task.number, rows, schema, task.buckets)
    first = next(rows, None)
    if first is None:
        raise Unreachable(f"{task.request.name}: not a row, so nothing says of which types its columns are")
    same = (table.cast(first.schema) for table in chain([first], rows))
    return snapshots.write_parts(task.directory, task.number, same, first.schema, task.buckets, BUCKET_KEY)


class _Counts:
    """What goes through a split: rows, rejects, sums."""

    def __init__(self, task: CaptureTask, source: Source) -> None:
        self.task = task
        self.source = source
        self.read = self.kept = 0
        self.total = Decimal(0)
        self.rejects: list[pa.Table] = []
        self.lowest: datetime | None = None
        self.highest: datetime | None = None

    def rows(self) -> Iterator[pa.Table]:
        """The canonical rows of the split, batch by batch."""
        request = self.task.request
        names: dict[str, None] = {}
        for batch in self.source.read(self.task.split):
            names |= dict.fromkeys(batch.rows.column_names)
            if batch.rejects is not None:
                self.rejects.append(batch.rejects)
                self.read += len(batch.rejects)
            if len(batch.rows) or isinstance(request.mapping, RecordsMapping):
                canonical = _canonical(_completed(batch.rows, request.mapping), request.mapping)
                self._count(canonical)
                yield canonical.rows
        if names:
            with _named(request):
                check_columns(list(names), request.mapping)

    def reasons(self) -> dict[str, int]:
        """How often each reason rejected a row."""
        if not self.rejects:
            return {}
        counts = pc.value_counts(pa.concat_tables(self.rejects)["reason"]).to_pylist()
        return {row["values"]: row["counts"] for row in sorted(counts, key=lambda row: -row["counts"])}

    def _count(self, canonical: Canonical) -> None:
        self.read += canonical.rows_read
        self.kept += canonical.rows_kept
        if len(canonical.rejects):
            self.rejects.append(canonical.rejects)
        if isinstance(self.task.request.mapping, RecordsMapping):
            return
        self.total += Decimal(snapshots.sum_of(canonical.rows["quantity"]))
        if "as_of" in canonical.rows.column_names:
            found = [pc.min_max(canonical.rows[name]).as_py() for name in ("as_of", "as_of_hi")]
            self.lowest = min(filter(None, (self.lowest, *(each["min"] for each in found))), default=None)
            self.highest = max(filter(None, (self.highest, *(each["max"] for each in found))), default=None)


class _named:  # noqa: N801
    """Says whose columns are missing."""

    def __init__(self, request: CaptureRequest) -> None:
        self.request = request

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: Any, error: BaseException | None, __: Any) -> None:
        if isinstance(error, ConfigError):
            raise ConfigError(f"{self.request.name}: {error}") from error


def _canonical(raw: pa.Table, mapping: Mapping | RecordsMapping) -> Canonical:
    return keyed(raw, mapping) if isinstance(mapping, RecordsMapping) else canonicalise(raw, mapping)


def _completed(raw: pa.Table, mapping: Mapping | RecordsMapping) -> pa.Table:
    """A batch of a source whose rows leave fields out has them as nulls; the split checks them all."""
    for name in sorted(set(mapping.wanted) - set(raw.column_names)):
        raw = raw.append_column(name, pa.nulls(len(raw), pa.string()))
    return raw


def _planned(request: CaptureRequest, now: datetime, held: Held) -> tuple[CaptureRequest, Source, Plan]:
    try:
        source = open_source(request.connector, request.options, replace(request.context, held=held))
        plan = source.plan(now)
    except ReconError as error:
        raise type(error)(f"{request.name}: {error}") from error
    if plan.columns is not None:
        with _named(request):
            check_columns(list(plan.columns), request.mapping)
    if isinstance(request.mapping, RecordsMapping):
        _as_of_one_instant(request, plan)
        return request, source, plan
    mapping = request.mapping
    if plan.as_of_column is not None:
        columns = {**mapping.columns, "as_of": plan.as_of_column}
        if plan.as_of_hi_column is not None:
            columns["as_of_hi"] = plan.as_of_hi_column
        mapping = replace(mapping, columns=columns)
    if plan.event_id is not None:
        mapping = _known_again(request.name, mapping, plan.event_id)
    return replace(request, mapping=mapping), source, plan


def _as_of_one_instant(request: CaptureRequest, plan: Plan) -> None:
    if plan.as_of_column is not None or plan.event_id is not None:
        what = "gives events one by one" if plan.event_id is not None else "has an as-of in each row"
        raise ConfigError(f"{request.name}: records are as of one instant; this source {what}")


def _known_again(name: str, mapping: Mapping, event_id: str) -> Mapping:
    """The mapping of a feed that may give an event twice: each has an id, of its own or its message's."""
    if mapping.lines:
        raise ConfigError(f"{name}: lines need whole exports of order lines; this source gives events one by one")
    if mapping.raw_columns("event_id") or "event_id" in mapping.constants:
        return mapping
    return replace(mapping, columns={**mapping.columns, "event_id": event_id})


def _begun(request: CaptureRequest, source: Source, plan: Plan, workspace: str, now: datetime, buckets: int) -> _Taken:
    snapshot_id = f"{now:%Y%m%dT%H%M%SZ}-{uuid4().hex[:8]}"
    directory = snapshots.directory_of(workspace, request.system, request.dataset, snapshot_id)
    filesystem.makedirs(directory)
    return _Taken(request, source, plan, snapshot_id, directory, request.buckets or buckets)


def _finished(taken: _Taken, now: datetime) -> Snapshot:
    """Write the manifest, and only then let the source forget what it gave."""
    request, source = taken.request, taken.source
    plan = source.settled(taken.plan) if isinstance(source, Settling) else taken.plan
    manifest = _manifest(taken, plan, now)
    shape = snapshots.fingerprint(Snapshot(taken.directory, manifest).schema)
    snapshot = snapshots.write_manifest(taken.directory, replace(manifest, schema_fingerprint=shape))
    if isinstance(source, Tap):
        try:
            source.captured()
        except Unreachable as error:
            _LOG.warning("%s: what is captured may come again, and will be known by its id: %s", request.name, error)
    return snapshot


def _manifest(taken: _Taken, plan: Plan, now: datetime) -> Manifest:
    """The splits added up; what shape their rows have is known only with it."""
    request = taken.request
    results = [_result(taken.directory, number) for number in range(len(plan.splits))]
    reasons: Counter[str] = Counter()
    for result in results:
        reasons.update(result.reject_reasons)
    as_of, as_of_hi = _as_of(request, plan, results, now)
    return Manifest(
        snapshot_id=taken.snapshot_id,
        system=request.system,
        dataset=request.dataset,
        profile=request.profile,
        as_of=as_of,
        as_of_hi=as_of_hi,
        as_of_kind=plan.as_of_kind,
        row_as_of=plan.as_of is None,
        watermark=plan.watermark,
        started_at=taken.started_at,
        finished_at=datetime.now(UTC),
        rows_read=sum(result.rows_read for result in results),
        rows_kept=sum(result.rows_kept for result in results),
        rows=sum(part.rows for result in results for part in result.files),
        rejected=sum(reasons.values()),
        reject_reasons=dict(reasons),
        sum_quantity=str(sum((Decimal(result.sum_quantity) for result in results), Decimal(0))),
        scale=request.mapping.scale,
        buckets=taken.buckets,
        files=tuple(part for result in results for part in result.files),
        sources=plan.sources,
        schema_fingerprint="",
        complete=True,
        config_hash=request.config_hash,
        tool_version=version("recon-toolkit"),
        incremental=plan.incremental,
        bucketed_by=BUCKET_KEY if isinstance(request.mapping, RecordsMapping) else snapshots.SKU,
    )


def _as_of(
    request: CaptureRequest, plan: Plan, results: list[SplitResult], now: datetime
) -> tuple[datetime, datetime | None]:
    """The snapshot's instants: those of its source, or those that its rows span."""
    if plan.as_of is not None:
        return plan.as_of, plan.as_of_hi
    lows = [datetime.fromisoformat(r.as_of_lo) for r in results if r.as_of_lo is not None]
    highs = [datetime.fromisoformat(r.as_of_hi) for r in results if r.as_of_hi is not None]
    if not lows:
        raise Unreachable(f"{request.name}: no row says as of when it is")
    low, high = min(lows), max(highs)
    # What is read page by page is read after the run began; what a row itself says cannot be later.
    if plan.as_of_kind == "event_time" and high > now:
        raise Unreachable(
            f"{request.name}: a row's as-of {high.isoformat()} is in the future (it is {now.isoformat()})"
        )
    return low, high if high > low else None


def _result(directory: str, number: int) -> SplitResult:
    with filesystem.open_read(_result_path(directory, number)) as file:
        return SplitResult.from_json(file.read())


def _result_path(directory: str, number: int) -> str:
    return filesystem.join(directory, "splits", f"split-{number:05d}.json")
