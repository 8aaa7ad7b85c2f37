"""Corrections that went out in earlier runs: what the next run has to expect, and what it can settle.

`published/<system>/<run_id>.json` in the workspace says which runs sent something to a system; the receipts
are with the run. They become events of the system (PUBLISH), so that the tool does not chase its own tail.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

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


def remember(workspace: Workspace, system: str, run_id: str) -> None:
    """Note, before anything is sent, that a run sends something to a system."""
    path = filesystem.join(workspace.root, "published", system, f"{run_id}.json")
    if not filesystem.exists(path):
        filesystem.write_atomic(path, b"{}\n")


def fates_of(workspace: Workspace, system: str, scale: int) -> Iterator[tuple[str, pa.Table]]:
    """For every run that sent something to a system: the run, and what became of each correction."""
    for path in filesystem.list_files(filesystem.join(workspace.root, "published", system)):
        run_id = path.rsplit("/", 1)[-1].removesuffix(".json")
        place = filesystem.join(workspace.run_directory(run_id), "publish")
        fate = published.fates(read_waves(place, scale), read_receipts(place, scale))
        yield run_id, fate.filter(pc.equal(fate["target"], system))


def unsettled(publication: Publication, system: str, now: datetime) -> pa.Table:
    """Corrections of other runs that were handed over, and neither seen nor expired.

    A rollback may take back what is still on its way.
    """
    scale = publication.config.decimals
    own = (publication.run_id, publication.origin.get("rollback_of"))
    others = [fate for run, fate in fates_of(publication.workspace, system, scale) if run not in own]
    every = pa.concat_tables([receipts_schema(scale).empty_table(), *others])
    alive = pc.greater(every["expires_at"], pa.scalar(now, every["expires_at"].type))
    return every.filter(pc.and_(pc.equal(every["status"], Status.SENT), alive))


def events_of(workspace: Workspace, system: str, profile: EffectProfile, scale: int) -> pa.Table:
    """What published corrections did to the number of a system (`events_schema`)."""
    fates = [fate for _, fate in fates_of(workspace, system, scale)]
    every = pa.concat_tables([receipts_schema(scale).empty_table(), *fates])
    return published.events(every, profile, scale)


def events_snapshot(
    workspace: Workspace, system: str, profile: EffectProfile, scale: int, buckets: int
) -> tuple[Snapshot, ...]:
    """The same as a snapshot, bucketed like the others; none where nothing was published."""
    events = events_of(workspace, system, profile, scale)
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
