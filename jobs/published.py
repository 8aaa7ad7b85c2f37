"""Corrections that went out in earlier runs: what the next run has to expect, and what it can settle.

`published/<system>/<run_id>.json` in the workspace says which runs sent something to a system; the receipts
are with the run. They become events of the system (PUBLISH), so that the tool does not chase its own tail.
Runs of long ago are read no more: what they did is added up in `published/<system>/carried/`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines import filesystem, snapshots
from pipelines.publish import read_receipts, read_waves, write_receipts
from pipelines.reconcile import read_parts
from pipelines.snapshots import Manifest, Snapshot
from reconcilers import published
from reconcilers.corrections import Status
from reconcilers.profiles import EffectProfile
from reconcilers.schemas import events_schema, receipts_schema

if TYPE_CHECKING:
    from jobs.publication import Publication
    from jobs.workspace import Workspace

DATASET = "published"

#: How long after the last of its corrections expired a run is still looked at by itself: as long as feeds
#: reach back. No snapshot that is judged is older, but in a replay.
SETTLES = timedelta(days=30)


@dataclass(frozen=True)
class Carried:
    """What runs of long ago did to the numbers of a system: one posting a key (`events_schema`).

    It stands for all of `runs`, and for numbers that are younger than `through`.
    """

    runs: frozenset[str]
    through: datetime | None
    postings: pa.Table


def remember(workspace: Workspace, system: str, run_id: str, until: datetime) -> None:
    """Note, before anything is sent, that a run sends something to a system, and when the last of it expires."""
    path = filesystem.join(_directory(workspace, system), f"{run_id}.json")
    if not filesystem.exists(path):
        filesystem.write_atomic(path, json.dumps({"until": until.isoformat()}).encode())


def carry(workspace: Workspace, system: str, scale: int, now: datetime) -> None:
    """Add up what the runs did of which nothing more will be heard, so that nobody has to read them again.

    The sum is one file that names its runs: whoever writes it last, no run is lost or counted twice.
    """
    carried = carried_of(workspace, system, scale)
    closed = [
        run for run, until in _open(workspace, system, carried).items() if until is not None and until + SETTLES < now
    ]
    if not closed:
        return
    fates = [_fate(workspace, run, system, scale) for run in closed]
    posted = pa.concat_tables([carried.postings, *(published.postings(fate, scale) for fate in fates)])
    through = max(filter(None, (carried.through, pc.max(posted["posted_at"]).as_py())), default=None)
    told = {"runs": json.dumps(sorted({*carried.runs, *closed})), "through": through.isoformat() if through else ""}
    sums = published.summed(posted).replace_schema_metadata(told)
    write_receipts(filesystem.join(_directory(workspace, system), "carried", "postings.parquet"), sums)


def carried_of(workspace: Workspace, system: str, scale: int) -> Carried:
    """What was added up so far."""
    path = filesystem.join(_directory(workspace, system), "carried", "postings.parquet")
    if not filesystem.exists(path):
        return Carried(frozenset(), None, events_schema(scale).empty_table())
    with filesystem.open_read(path) as file:
        table = pq.read_table(file)
    runs, through = (table.schema.metadata[name].decode() for name in (b"runs", b"through"))
    return Carried(
        frozenset(json.loads(runs)),
        datetime.fromisoformat(through) if through else None,
        table.replace_schema_metadata().cast(events_schema(scale)),
    )


def open_runs(workspace: Workspace, system: str, scale: int) -> Collection[str]:
    """The runs that sent something to a system and are still read by themselves."""
    return _open(workspace, system, carried_of(workspace, system, scale))


def fates_of(
    workspace: Workspace, system: str, scale: int, *, carried: Carried | None = None, after: datetime | None = None
) -> Iterator[tuple[str, pa.Table]]:
    """For every run that sent something to a system, and is not carried: the run, and what became of each correction.

    With `after`, only runs that sent what expires later.
    """
    for run_id, until in _open(workspace, system, carried or carried_of(workspace, system, scale)).items():
        if after is None or until is None or until > after:
            yield run_id, _fate(workspace, run_id, system, scale)


def unsettled(publication: Publication, system: str, now: datetime) -> pa.Table:
    """Corrections of other runs that were handed over, and neither seen nor expired.

    A rollback may take back what is still on its way.
    """
    scale = publication.config.decimals
    own = (publication.run_id, publication.origin.get("rollback_of"))
    others = [fate for run, fate in fates_of(publication.workspace, system, scale, after=now) if run not in own]
    every = pa.concat_tables([receipts_schema(scale).empty_table(), *others])
    alive = pc.greater(every["expires_at"], pa.scalar(now, every["expires_at"].type))
    return every.filter(pc.and_(pc.equal(every["status"], Status.SENT), alive))


def events_of(workspace: Workspace, system: str, profile: EffectProfile, scale: int, as_of: datetime) -> pa.Table:
    """What published corrections did to the number of a system as of an instant and later (`events_schema`)."""
    carried = carried_of(workspace, system, scale)
    if carried.through is not None and carried.through >= as_of:
        # a replay of a night of long ago: run by run
        carried = Carried(frozenset(), None, carried.postings.slice(0, 0))
    fates = [fate for _, fate in fates_of(workspace, system, scale, carried=carried)]
    every = pa.concat_tables([receipts_schema(scale).empty_table(), *fates])
    posted = pa.concat_tables([carried.postings, published.postings(every, scale)])
    return published.events(posted, profile, scale)


def events_snapshot(
    workspace: Workspace, system: str, profile: EffectProfile, scale: int, stock: Snapshot
) -> tuple[Snapshot, ...]:
    """The same as a snapshot, as the system's `stock` needs it; none where nothing was published."""
    buckets = stock.manifest.buckets
    events = events_of(workspace, system, profile, scale, stock.manifest.as_of)
    if not len(events):
        return ()
    digest = hashlib.sha256(f"{buckets}\n{events.to_pylist()}".encode()).hexdigest()[:16]
    path = snapshots.directory_of(workspace.root, system, DATASET, digest)
    if filesystem.exists(filesystem.join(path, snapshots.MANIFEST)):
        return (snapshots.load(workspace.root, system, DATASET, digest),)
    return (_written(path, digest, system, events, scale, buckets),)


def settle(workspace: Workspace, run_id: str, pair: str, scale: int) -> int:
    """Let the numbers of a finished run say what became of earlier corrections; returns how many it settled."""
    count = 0
    for earlier, fate in fates_of(workspace, pair.split("~")[0], scale):
        mine = fate.filter(pc.equal(fate["pair"], pair))
        keys = mine.filter(pc.is_in(mine["status"], pa.array([Status.SENT, Status.APPLIED], pa.string())))
        if not len(keys):
            continue
        levels = read_parts(workspace.run_directory(run_id), "levels", pair)
        for number, part in enumerate(levels):
            found = published.settled(keys, part)
            if len(found):
                name = f"{pair}.settled-by-{run_id}-{number:05d}.parquet"
                place = filesystem.join(workspace.run_directory(earlier), "publish")
                write_receipts(filesystem.join(place, "receipts", name), found)
                count += len(found)
    return count


def _directory(workspace: Workspace, system: str) -> str:
    return filesystem.join(workspace.root, "published", system)


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


def _fate(workspace: Workspace, run_id: str, system: str, scale: int) -> pa.Table:
    place = filesystem.join(workspace.run_directory(run_id), "publish")
    fate = published.fates(read_waves(place, scale), read_receipts(place, scale))
    return fate.filter(pc.equal(fate["target"], system))


def _written(path: str, digest: str, system: str, events: pa.Table, scale: int, buckets: int) -> Snapshot:
    schema = events_schema(scale)
    now = datetime.now(UTC)
    files = snapshots.write_parts(path, 0, [events], schema, buckets)
    rows = sum(part.rows for part in files)
    manifest = Manifest(
        snapshot_id=digest,
        system=system,
        dataset=DATASET,
        profile=None,
        as_of=pc.max(events["posted_at"]).as_py(),
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
        sum_quantity=snapshots.sum_of(events["quantity"]),
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
