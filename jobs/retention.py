"""`recon gc`: delete runs and snapshots that are past their retention and that nothing needs.

Needed are: what is pinned; the last runs of every job; the newest run of every pair, whose breaks the
next one goes on from, and the runs in which its open breaks were first seen; runs that wait for an
approval or are not published to the end; the last unfinished run of a job; and the snapshots of all of
these. The newest snapshot of every dataset stays. A run that is there only for its age lives on without
its snapshots, whose retention may be shorter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from jobs import lifecycle, plan, published, run_state
from jobs.config import Config, load
from jobs.lease import held, living
from jobs.run_state import CAPTURED, FAULTS, PLAN, SUMMARY, RunState
from jobs.workspace import Workspace
from pipelines import filesystem, snapshots
from pipelines.reconcile import read_parts
from pipelines.snapshots import MANIFEST, Snapshot
from reports import text

PINNED = "pinned.json"

#: What a capture or run that was ended has left behind is deleted after so long.
LEFTOVER = timedelta(days=1)

SnapshotKey = tuple[str, str, str]


@dataclass(frozen=True)
class Item:
    """A run, a snapshot or a leftover: where it is, and why it goes or stays."""

    kind: str
    name: str
    path: str
    why: str


@dataclass(frozen=True)
class Collected:
    """What a collection deletes, and what it keeps though it is past its retention."""

    applied: bool
    deleted: tuple[Item, ...]
    kept: tuple[Item, ...]

    def document(self) -> dict[str, Any]:
        """The collection as data."""
        lists = {name: [asdict(item) for item in getattr(self, name)] for name in ("deleted", "kept")}
        return {"applied": self.applied, **lists}

    def text(self) -> str:
        """The collection as a table and a sentence."""
        rows = [asdict(item) for item in (*self.deleted, *self.kept)]
        fates = ["delete"] * len(self.deleted) + ["keep"] * len(self.kept)
        table = [{"": fate, **row} for fate, row in zip(fates, rows, strict=True)]
        lines = [text.table(table, ["", "kind", "name", "why"]), ""] if table else []
        done = "deleted" if self.applied else "to delete; nothing was deleted, `recon gc --apply` does it"
        return "\n".join([*lines, f"{len(self.deleted)} {done}"])


def gc(path: Path, apply: bool, pin: str | None = None, unpin: str | None = None) -> Collected:
    """Say what is past its retention, or delete it.

    Raises:
        ConfigError: the run to pin does not exist.
        Refused: another collection is at it.
    """
    config = load(path)
    workspace = Workspace(str(config.workspace))
    _pin(workspace, pin, unpin)
    with lifecycle.opened(config) as ledger:
        states = run_state.all_states(workspace, ledger)
        busy = bool(living(ledger))
        if not apply:
            return _plan(config, workspace, states, busy, applied=False)
        with held(ledger, ["gc"]):
            found = _plan(config, workspace, states, busy, applied=True)
            for item in found.deleted:
                _remove(item.path)
                if item.kind == "run":
                    run_state.forget(ledger, item.name)
    return found


def _pin(workspace: Workspace, pin: str | None, unpin: str | None) -> None:
    if pin is not None:
        workspace.summary(pin)
        workspace.write_json(pin, PINNED, {"at": datetime.now(UTC).isoformat()})
    if unpin is not None and workspace.has(unpin, PINNED):
        filesystem.delete(filesystem.join(workspace.run_directory(unpin), PINNED))


def _plan(config: Config, workspace: Workspace, states: list[RunState], busy: bool, applied: bool) -> Collected:
    now = datetime.now(UTC)
    rules = config.retention
    needed = _needed(config, workspace, states)
    deleted: list[Item] = []
    kept: list[Item] = []
    for state in states:
        age = now - (state.finished_at or state.started_at)
        if age <= rules.runs:
            continue
        why = needed.get(state.run_id)
        item = Item("run", state.run_id, workspace.run_directory(state.run_id), why or f"{age.days} days old")
        (deleted if why is None else kept).append(item)
    found = snapshots.list_snapshots(workspace.root)
    uses = {**_newest(found), **_uses(workspace, needed)}
    uses = {**_feeds(config, found, uses), **uses}
    for snapshot in found:
        age = now - snapshot.manifest.finished_at
        if age <= rules.snapshots:
            continue
        key = _key(snapshot)
        why = uses.get(key)
        item = Item("snapshot", "/".join(key), snapshot.path, why or f"{age.days} days old")
        (deleted if why is None else kept).append(item)
    leftovers = () if busy else _leftovers(workspace, now)
    return Collected(applied, (*deleted, *leftovers), tuple(kept))


def _needed(config: Config, workspace: Workspace, states: list[RunState]) -> dict[str, str]:
    """Why each run that is needed is, whatever its age."""
    keep_last = config.retention.keep_last
    why: dict[str, str] = {}
    by_job: dict[str | None, list[RunState]] = {}
    newest: dict[str, tuple[tuple[datetime, datetime], str]] = {}
    for state in states:
        by_job.setdefault(state.job, []).append(state)
        if workspace.has(state.run_id, PINNED):
            why.setdefault(state.run_id, "pinned")
        if state.step == "publish":
            why.setdefault(state.run_id, f"its corrections are {state.state}, not published")
        if state.finished:
            summary = workspace.summary(state.run_id)
            judged = (datetime.fromisoformat(summary["now"]), state.started_at)
            for pair in summary["pairs"]:
                newest[pair] = max(newest.get(pair, (judged, state.run_id)), (judged, state.run_id))
    for run_id in _sent(config, workspace):
        why.setdefault(run_id, "the next runs expect what it has published")
    for found in by_job.values():
        for state in [each for each in found if each.finished][-keep_last:]:
            why.setdefault(state.run_id, f"one of the last {keep_last} of its job")
        if not found[-1].finished:
            why.setdefault(found[-1].run_id, "can be resumed")
    for pair, (_, run_id) in newest.items():
        why.setdefault(run_id, f"the newest of {pair}")
        for first in _first_seen(workspace.run_directory(run_id), pair):
            why.setdefault(first, f"an open break of {pair} was first seen in it")
    return why


def _sent(config: Config, workspace: Workspace) -> set[str]:
    """The runs whose receipts still say what was sent to a system (`jobs.published`)."""
    systems = [path.rstrip("/").rsplit("/", 1)[-1] for path in filesystem.list_dirs(f"{workspace.root}/published")]
    return {run for system in systems for run in published.open_runs(workspace, system)}


def _first_seen(directory: str, pair: str) -> set[str]:
    """The runs in which the breaks of a run were seen first."""
    runs: set[str] = set()
    for part in read_parts(directory, "breaks", pair, ["class", "first_seen_run"]):
        classes = part["class"].cast("string")
        runs |= set(part.filter(pc.is_in(classes, value_set=pa.array(FAULTS)))["first_seen_run"].to_pylist())
    return runs


def _uses(workspace: Workspace, needed: Mapping[str, str]) -> dict[SnapshotKey, str]:
    """The snapshots of the runs that are needed, and which run that is."""
    found: dict[SnapshotKey, str] = {}
    for run_id in needed:
        captured = workspace.read_json(run_id, CAPTURED)
        if captured is not None:
            ids = captured["snapshots"]
        else:
            summary = workspace.read_json(run_id, SUMMARY) or {"snapshots": []}
            ids = {}
            for each in summary["snapshots"]:
                ids.setdefault(each["system"], {})[each["dataset"]] = each["snapshot_id"]
        for system, datasets in ids.items():
            for dataset, snapshot_id in datasets.items():
                found.setdefault((system, dataset, snapshot_id), f"needed by run {run_id}")
    return found


def _newest(found: Iterable[Snapshot]) -> dict[SnapshotKey, str]:
    """The newest snapshot of every dataset; they come oldest first."""
    newest = {(each.manifest.system, each.manifest.dataset): _key(each) for each in found}
    return dict.fromkeys(newest.values(), "the newest of its dataset")


def _feeds(config: Config, found: Iterable[Snapshot], uses: Mapping[SnapshotKey, str]) -> dict[SnapshotKey, str]:
    """The earlier snapshots that a needed one of an incremental feed goes on from."""
    needed: dict[SnapshotKey, str] = {}
    for snapshot in found:
        system, dataset, snapshot_id = _key(snapshot)
        known = plan.dataset_names(config.places[system]) if system in config.places else {}
        if snapshot.manifest.incremental and (system, dataset, snapshot_id) in uses and dataset in known:
            for earlier in plan.feed(snapshot, known[dataset].look_back):
                needed.setdefault(_key(earlier), f"{snapshot_id} goes on from it")
    return needed


def _key(snapshot: Snapshot) -> SnapshotKey:
    return snapshot.manifest.system, snapshot.manifest.dataset, snapshot.manifest.snapshot_id


def _leftovers(workspace: Workspace, now: datetime) -> Iterator[Item]:
    """Directories of captures and runs that never came to exist."""
    root = filesystem.join(workspace.root, "snapshots")
    for system in filesystem.list_dirs(root):
        for dataset in filesystem.list_dirs(system):
            for path in filesystem.list_dirs(dataset):
                if not filesystem.exists(filesystem.join(path, MANIFEST)) and _untouched(path, now):
                    yield Item("leftover", path.removeprefix(root + "/"), path, "a capture that was not finished")
    for run_id in workspace.run_ids():
        path = workspace.run_directory(run_id)
        if not (workspace.has(run_id, PLAN) or workspace.has(run_id, SUMMARY)) and _untouched(path, now):
            yield Item("leftover", f"runs/{run_id}", path, "not a run")


def _untouched(directory: str, now: datetime) -> bool:
    files = filesystem.glob(filesystem.join(directory, "**"))
    if not filesystem.is_remote(directory):
        files.append(directory)
    return all(now - filesystem.modified_at(path) > LEFTOVER for path in files)


def _remove(directory: str) -> None:
    """Delete a directory so that whatever ends this in the middle leaves a leftover, never half a run."""
    for marker in (SUMMARY, PLAN, MANIFEST):
        path = filesystem.join(directory, marker)
        if filesystem.exists(path):
            filesystem.delete(path)
    if not filesystem.is_remote(directory):
        filesystem.delete(directory)
        return
    for path in filesystem.glob(filesystem.join(directory, "**")):
        filesystem.delete(path)
