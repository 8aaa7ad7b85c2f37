"""Corrections that went out in earlier runs: what the next run has to expect, and what it can settle.

`published/<system>/<run_id>.json` in the workspace says which runs sent something to a system; the receipts
are with the run. They become events of the system (PUBLISH), so that the tool does not chase its own tail.
Runs of long ago are read no more: what they did is added up in `published/<system>/carried/`.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib.metadata import version
from itertools import chain
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines import filesystem, snapshots
from pipelines.publish import add_receipts, show_fates
from pipelines.queries import Queries, of_size, queries, write_rows
from pipelines.reconcile import part_paths
from pipelines.snapshots import Manifest, PartFile, Snapshot
from reconcilers import published
from reconcilers.profiles import EffectProfile
from reconcilers.rules import literal
from reconcilers.schemas import events_schema, levels_schema, receipts_schema

if TYPE_CHECKING:
    from jobs.publication import Publication
    from jobs.workspace import Workspace

DATASET = "published"

#: How long after the last of its corrections expired a run is still looked at by itself: as long as feeds
#: reach back. No snapshot that is judged is older, but in a replay.
SETTLES = timedelta(days=30)

#: Postings in a part of their snapshot: those of a run come all at once, and beside its queries.
PART_ROWS = 200_000


#: The last of the events, what they add up to, and what tells them from others, in whatever order they are.
_CONTENT = """
select
    max(posted_at), sum(quantity),
    sum(md5_number_lower(concat_ws(chr(31), event_id, ref, sku, location, quantity, epoch_us(posted_at)))::hugeint)
from event
"""


@dataclass(frozen=True)
class Carried:
    """What runs of long ago did to the numbers of a system: one posting a key, in files (`events_schema`).

    It stands for all of `runs`, and for numbers that are younger than `through`.
    """

    runs: frozenset[str] = frozenset()
    through: datetime | None = None
    files: tuple[str, ...] = ()


def remember(workspace: Workspace, system: str, run_id: str, until: datetime) -> None:
    """Note, before anything is sent, that a run sends something to a system, and when the last of it expires."""
    path = filesystem.join(_directory(workspace, system), f"{run_id}.json")
    if not filesystem.exists(path):
        filesystem.write_atomic(path, json.dumps({"until": until.isoformat()}).encode())


def carry(workspace: Workspace, system: str, scale: int, now: datetime) -> None:
    """Add up what the runs did of which nothing more will be heard, so that nobody has to read them again.

    The sum is one file that names its runs: whoever writes it last, no run is lost or counted twice.
    """
    carried = carried_of(workspace, system)
    closed = [
        run for run, until in _open(workspace, system, carried).items() if until is not None and until + SETTLES < now
    ]
    if not closed:
        return
    schema = events_schema(scale)
    columns = ", ".join(schema.names)
    with queries() as ask:
        ask.show("carried", carried.files, schema)
        ask.con.execute(f"create temp table posted as select {columns} from carried")
        for run in closed:
            _show_postings(ask, workspace, run, scale)
            ask.con.execute(f"insert into posted select {columns} from published_event where source_file = ?", [system])
        ((last,),) = ask.con.sql("select max(posted_at) from posted").fetchall()
        through = max(filter(None, (carried.through, last)), default=None)
        told = {"runs": json.dumps(sorted({*carried.runs, *closed})), "through": through.isoformat() if through else ""}
        published.summed(ask.con)
        sums = ask.pieces("from sum_of_postings", schema)
        write_rows(_carried(workspace, system), chain([schema.empty_table()], sums), told)


def carried_of(workspace: Workspace, system: str) -> Carried:
    """What was added up so far."""
    path = _carried(workspace, system)
    if not filesystem.exists(path):
        return Carried()
    with filesystem.open_read(path) as file:
        told = pq.read_schema(file).metadata
    runs, through = (told[name].decode() for name in (b"runs", b"through"))
    return Carried(frozenset(json.loads(runs)), datetime.fromisoformat(through) if through else None, (path,))


def open_runs(workspace: Workspace, system: str, *, after: datetime | None = None) -> list[str]:
    """The runs that sent something to a system and are still read by themselves.

    With `after`, only those that sent what expires later.
    """
    runs = _open(workspace, system, carried_of(workspace, system))
    return [run for run, until in runs.items() if after is None or until is None or until > after]


def unsettled(publication: Publication, ask: Queries, system: str, now: datetime) -> None:
    """Make the keys of corrections of other runs that were handed over, neither seen nor expired, `unsettled`.

    Columns `sku, location`. A rollback may take back what is still on its way.
    """
    own = (publication.run_id, publication.origin.get("rollback_of"))
    ask.con.execute("create or replace temp table unsettled (sku varchar, location varchar)")
    for run in open_runs(publication.workspace, system, after=now):
        if run not in own:
            show_fates(ask, _place(publication.workspace, run), publication.config.decimals)
            ask.con.execute(
                "insert into unsettled select sku, location from fate "
                "where target = ? and status = 'SENT' and expires_at > ?",
                [system, now],
            )


def events_of(
    workspace: Workspace, system: str, profile: EffectProfile, scale: int, as_of: datetime
) -> Iterator[pa.Table]:
    """What published corrections did to the number of a system as of an instant and later (`events_schema`)."""
    schema = events_schema(scale)
    carried = carried_of(workspace, system)
    if carried.through is not None and carried.through >= as_of:
        # a replay of a night of long ago: run by run
        carried = Carried()
    with queries() as ask:
        ask.show("carried", carried.files, schema)
        for posted in ask.pieces("from carried", schema):
            yield published.events(posted, profile, scale)
        for run in _open(workspace, system, carried):
            _show_postings(ask, workspace, run, scale)
            for posted in ask.pieces(f"from published_event where source_file = {literal(system)}", schema):
                yield published.events(posted, profile, scale)


def events_snapshot(
    workspace: Workspace, system: str, profile: EffectProfile, scale: int, stock: Snapshot
) -> tuple[Snapshot, ...]:
    """The same as a snapshot, as the system's `stock` needs it; none where nothing was published.

    Its id says what is in it: the same postings are the same snapshot.
    """
    buckets, schema = stock.manifest.buckets, events_schema(scale)
    events = events_of(workspace, system, profile, scale, stock.manifest.as_of)
    with tempfile.TemporaryDirectory(prefix="recon-published-") as scratch, queries() as ask:
        files = tuple(
            part
            for number, rows in enumerate(of_size(events, PART_ROWS))
            for part in snapshots.write_parts(scratch, number, [rows], schema, buckets)
        )
        if not files:
            return ()
        ask.show("event", [filesystem.join(scratch, part.path) for part in files], schema)
        ((last, moved, digest),) = ask.con.sql(_CONTENT).fetchall()
        digest = hashlib.sha256(f"{buckets}\n{digest}".encode()).hexdigest()[:16]
        path = snapshots.directory_of(workspace.root, system, DATASET, digest)
        if filesystem.exists(filesystem.join(path, snapshots.MANIFEST)):
            return (snapshots.load(workspace.root, system, DATASET, digest),)
        for part in files:
            filesystem.copy(filesystem.join(scratch, part.path), filesystem.join(path, part.path))
        return (_exists(path, digest, system, files, last, moved, scale, buckets),)


def refused_of(workspace: Workspace, pair: str, scale: int, now: datetime) -> pa.Table:
    """The keys of a pair whose last correction its target has refused by now (`refused_schema`)."""
    columns = "sku, location, unexplained, status, message, answered_at, correction_id"
    with queries() as ask:
        ask.show("no_answer", [], receipts_schema(scale))
        ask.con.execute(f"create temp table answered as select {columns} from no_answer")
        for run in open_runs(workspace, pair.split("~")[0]):
            show_fates(ask, _place(workspace, run), scale)
            ask.con.execute(
                f"insert into answered select {columns} from fate where pair = ? and answered_at <= ?", [pair, now]
            )
        return published.refused(ask.con, scale)


def settle(workspace: Workspace, run_id: str, pair: str, scale: int) -> int:
    """Let the numbers of a finished run say what became of earlier corrections; returns how many it settled."""
    count = 0
    with queries() as ask:
        ask.show("level", part_paths(workspace.run_directory(run_id), "levels", pair), levels_schema(scale))
        for earlier in open_runs(workspace, pair.split("~")[0]):
            place = _place(workspace, earlier)
            show_fates(ask, place, scale)
            mine = f"pair = {literal(pair)}"
            if not ask.number(f"select count(*) from fate where {mine} and status in ('SENT', 'APPLIED')"):
                continue
            published.settled(ask.con)
            found = ask.pieces(f"from settled where {mine}", receipts_schema(scale))
            count += add_receipts(place, f"{pair}.settled-by-{run_id}", found)
    return count


def _directory(workspace: Workspace, system: str) -> str:
    return filesystem.join(workspace.root, "published", system)


def _carried(workspace: Workspace, system: str) -> str:
    return filesystem.join(_directory(workspace, system), "carried", "postings.parquet")


def _place(workspace: Workspace, run_id: str) -> str:
    return filesystem.join(workspace.run_directory(run_id), "publish")


def _show_postings(ask: Queries, workspace: Workspace, run_id: str, scale: int) -> None:
    """Make what the corrections of a run did the view `published_event`."""
    show_fates(ask, _place(workspace, run_id), scale)
    published.postings(ask.con)


def _open(workspace: Workspace, system: str, carried: Carried) -> dict[str, datetime | None]:
    """The runs that sent something and are not carried, and when the last of it expires, where that is noted."""
    found: dict[str, datetime | None] = {}
    for path in filesystem.list_files(_directory(workspace, system)):
        run_id = path.rsplit("/", 1)[-1].removesuffix(".json")
        if run_id not in carried.runs:
            with filesystem.open_read(path) as file:
                until = json.loads(file.read()).get("until")
            found[run_id] = datetime.fromisoformat(until) if until else None
    return found


def _exists(
    path: str,
    digest: str,
    system: str,
    files: tuple[PartFile, ...],
    last: datetime,
    moved: Decimal,
    scale: int,
    buckets: int,
) -> Snapshot:
    """Make the snapshot exist whose parts are there."""
    schema = events_schema(scale)
    now = datetime.now(UTC)
    rows = sum(part.rows for part in files)
    manifest = Manifest(
        snapshot_id=digest,
        system=system,
        dataset=DATASET,
        profile=None,
        as_of=last,
        as_of_hi=None,
        as_of_kind="published",
        row_as_of=False,
        watermark=None,
        started_at=now,
        finished_at=now,
        rows_read=rows,
        rows_kept=rows,
        rows=rows,
        rejected=0,
        reject_reasons={},
        sum_quantity=str(moved),
        scale=scale,
        buckets=buckets,
        files=files,
        sources=("corrections published from this workspace",),
        schema_fingerprint=snapshots.fingerprint(schema),
        complete=True,
        config_hash="",
        tool_version=version("recon-toolkit"),
    )
    return snapshots.write_manifest(path, manifest)
