"""What the commands of the `recon` command line do, as functions that return data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jobs import lifecycle, plan, quality, records, run_state
from jobs import run as running
from jobs.config import Config, load
from jobs.lease import living
from jobs.run import Progress
from jobs.validate import validate_snapshots
from jobs.workspace import Workspace
from pipelines import filesystem, snapshots
from pipelines.connectors import REGISTRY
from pipelines.connectors import module as connector_module
from pipelines.execution import Engine
from reconcilers import cases
from reconcilers import profiles as profiles_of
from reconcilers.errors import ConfigError
from reports import comparison, html, orders, text


@dataclass(frozen=True)
class Outcome:
    """A finished run: its summary, and the same in words."""

    summary: dict[str, Any]
    report_path: str
    words: str

    @property
    def within_gates(self) -> bool:
        """Whether no gate tripped."""
        return running.within_gates(self.summary)

    def text(self) -> str:
        """The verdict for a terminal."""
        return f"{self.words}\n\nreport: {self.report_path}\nrun:    {self.summary['run_id']}"


def within_gates(summary: Mapping[str, Any]) -> bool:
    """Whether no gate of a run tripped."""
    return running.within_gates(summary)


def take_snapshots(path: Path, systems: Iterable[str], progress: Progress, engine: Engine = ()) -> list[dict[str, Any]]:
    """Capture systems (all if none are named) and list what was taken."""
    config = load(path)
    names = _systems(config, systems)
    run = running.start(config, "snapshot", progress, engine)
    taken = running.snapshot(run, names)
    more = records.take(run, records.all_of(config, names))
    return [_snapshot(s) for s in [*(s for found in taken.values() for s in found.values()), *more.values()]]


def list_snapshots(path: Path) -> list[dict[str, Any]]:
    """The complete snapshots of the workspace, oldest first."""
    return [_snapshot(s) for s in snapshots.list_snapshots(str(load(path).workspace))]


def diff(
    path: Path,
    pairs: Iterable[str],
    chosen: Iterable[str],
    progress: Progress,
    engine: Engine = (),
) -> Outcome:
    """Reconcile the newest complete snapshots, or those chosen as `system=ID`."""
    config = load(path)
    names = _pairs(config, pairs)
    workspace = Workspace(str(config.workspace))
    sources = plan.newest_snapshots(config, workspace, plan.sides_of(config, names), _chosen(chosen))
    return _outcome(workspace, lifecycle.reconcile_stored(config, "diff", names, sources, progress, engine))


def run_job(
    path: Path,
    job: str,
    progress: Progress,
    engine: Engine = (),
    resume: bool = False,
    as_of: str | None = None,
) -> Outcome:
    """All steps of a job, or those that its last run has left undone."""
    config = load(path)
    summary = lifecycle.run_job(config, job, progress, engine, resume=resume, as_of=instant(as_of, "--as-of"))
    return _outcome(Workspace(str(config.workspace)), summary)


def report(path: Path, run_id: str | None, output: Path | None) -> Outcome:
    """Make the report of a run again, in its place or at `output`."""
    workspace = _workspace(path)
    summary = workspace.resolve(run_id)
    target = str(output) if output else _report_path(workspace, summary)
    rendered = html.render(running.report_of(workspace, summary))
    filesystem.write_atomic(target, rendered.encode())
    return Outcome(summary, target, f"wrote {target}")


def show(path: Path, run_id: str | None) -> Outcome:
    """The verdict of a finished run."""
    workspace = _workspace(path)
    return _outcome(workspace, workspace.resolve(run_id))


def list_runs(path: Path) -> list[dict[str, Any]]:
    """The runs, oldest first, a row each; `running` says whether a process is at it."""
    config = load(path)
    with lifecycle.opened(config) as ledger:
        states = run_state.all_states(Workspace(str(config.workspace)), ledger)
        busy = living(ledger)
    last = {state.job: state.run_id for state in states}
    return [
        {
            **state.document(),
            "running": not state.finished and last[state.job] == state.run_id and f"job {state.job}" in busy,
        }
        for state in states
    ]


def runs_text(found: list[dict[str, Any]]) -> str:
    """The runs as a table, and below it why those failed that did."""
    if not found:
        return "no runs yet"
    rows = [{**run, "state": _state_words(run)} for run in found]
    failed = [f"{run['run_id']}: {run['step']}: {run['error']}" for run in found if run["error"]]
    return "\n".join([text.table(rows, ["run_id", "job", "state", "keys", "faults"]), *failed])


def _state_words(run: Mapping[str, Any]) -> str:
    if run["running"]:
        return f"{run['state']}, at {run['step']}"
    if run["step"] and not run["error"]:
        return f"{run['state']}, left at {run['step']}"
    return str(run["state"])


def instant(value: str | None, option: str) -> datetime | None:
    """An instant of the command line. Raises `ConfigError` where it is none."""
    if value is None:
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        raise ConfigError(f"{option} {value!r} is not an instant such as 2026-03-01T02:00:00Z") from None
    if found.tzinfo is None:
        raise ConfigError(f"{option} {value!r} has no offset; add Z (UTC) or one such as +01:00")
    return found.astimezone(UTC)


def snapshots_text(found: list[dict[str, Any]]) -> str:
    """The snapshots as a table."""
    columns = ["system", "dataset", "snapshot_id", "as_of", "rows", "rejected"]
    return text.table(found, columns) if found else "no snapshots yet"


def _snapshot(snapshot: snapshots.Snapshot) -> dict[str, Any]:
    manifest = snapshot.manifest
    return {
        "system": manifest.system,
        "dataset": manifest.dataset,
        "snapshot_id": manifest.snapshot_id,
        "as_of": manifest.as_of.isoformat(),
        "rows": manifest.rows,
        "rejected": manifest.rejected,
        "sum_quantity": manifest.sum_quantity,
        "path": snapshot.path,
    }


def _outcome(workspace: Workspace, summary: dict[str, Any]) -> Outcome:
    report = running.report_of(workspace, summary)
    parts = [*map(comparison.text, report.comparisons), *map(orders.text, report.orders)]
    words = "\n\n".join([text.verdict(report), *parts])
    return Outcome(summary, _report_path(workspace, summary), words)


def _report_path(workspace: Workspace, summary: Mapping[str, Any]) -> str:
    return filesystem.join(workspace.run_directory(summary["run_id"]), "report.html")


def _workspace(path: Path) -> Workspace:
    return Workspace(str(load(path).workspace))


def _systems(config: Config, names: Iterable[str]) -> list[str]:
    """The systems of these names with their balances, or the balances; all if none are named."""
    wanted = set(names)
    for name in wanted:
        config.system(name)
    owners = {place: place.rpartition(".")[0] for place in config.balances}
    return [place for place in config.places if not wanted or place in wanted or owners.get(place) in wanted]


def _pairs(config: Config, names: Iterable[str]) -> list[str]:
    wanted = list(names) or list(config.pairs)
    for name in wanted:
        config.pair(name)
    return wanted


def _chosen(options: Iterable[str]) -> dict[str, str]:
    chosen = {}
    for option in options:
        system, found, snapshot_id = option.partition("=")
        if not found or not snapshot_id:
            raise ConfigError(f"--snapshot {option!r} is not system=ID")
        chosen[system] = snapshot_id
    return chosen


def run_cases(files: Iterable[Path], config: Path | None) -> list[cases.Outcome]:
    """Run worked cases against the built-in profiles and those of the configuration."""
    directory = load(config).profiles if config else None
    return [
        cases.run_case(case, lambda name: profiles_of.load(name, directory))
        for file in files
        for case in cases.read_cases(file)
    ]


def cases_document(outcomes: list[cases.Outcome]) -> list[dict[str, Any]]:
    """The outcomes as data."""
    return [
        {
            "id": outcome.case_id,
            "title": outcome.title,
            "passed": outcome.passed,
            "differences": {
                name: {"expected": expected, "found": found} for name, (expected, found) in outcome.differences.items()
            },
        }
        for outcome in outcomes
    ]


def cases_text(outcomes: list[cases.Outcome]) -> str:
    """A line a case, and what differs below those that fail."""
    lines = []
    for outcome in outcomes:
        lines.append(f"{'ok  ' if outcome.passed else 'FAIL'} {outcome.case_id}  {outcome.title}")
        lines += [
            f"       {name}: expected {expected}, found {found}"
            for name, (expected, found) in outcome.differences.items()
        ]
    failed = sum(not outcome.passed for outcome in outcomes)
    return "\n".join([*lines, "", f"{len(outcomes) - failed} passed, {failed} failed"])


def profiles(action: str, name: str | None, config: Path | None) -> list[dict[str, Any]]:
    """The profiles, or the one to show, as data with an explanation in words."""
    directory = load(config).profiles if config else None
    if action not in ("list", "show") or (action == "show") != (name is not None):
        raise ConfigError("usage: recon profiles [list] | recon profiles show NAME")
    names = [name] if name is not None else profiles_of.names(directory)
    loaded = [profiles_of.load(each, directory) for each in names]
    return [
        {
            "name": profile.name,
            "version": profile.version,
            "title": profile.title,
            "basis": profile.basis,
            "effects": {str(kind): c for kind, c in profile.effects.items()},
            "words": profiles_of.in_words(profile),
            "source": profile.source,
        }
        for profile in loaded
    ]


def profiles_text(found: list[dict[str, Any]], name: str | None) -> str:
    """The profiles as a table, or one in words."""
    return found[0]["words"] if name else text.table(found, ["name", "version", "title"])


def connectors(name: str | None) -> list[dict[str, Any]]:
    """The connectors with their options and an example."""
    names = [name] if name else sorted(REGISTRY)
    found = []
    for each in names:
        module = connector_module(each)
        sink = getattr(module, "SinkOptions", None)
        found.append(
            {
                "name": each,
                "summary": module.SUMMARY,
                "options": _described(module.Options),
                "sink": None if sink is None else _described(sink),
                "example": module.EXAMPLE,
            }
        )
    return found


def _described(model: Any) -> dict[str, str]:
    return {key: field.description or "" for key, field in model.model_fields.items()}


def connectors_text(found: list[dict[str, Any]]) -> str:
    """The connectors, what they take, and an example each."""
    blocks = []
    for connector in found:
        options = [f"  {key:<13} {words}" for key, words in connector["options"].items()]
        if connector["sink"] is not None:
            options += ["  as a sink:", *(f"    {key:<13} {words}" for key, words in connector["sink"].items())]
        example = [f"    {line}" for line in connector["example"].strip().splitlines()]
        blocks.append("\n".join([f"{connector['name']}: {connector['summary']}", *options, "  example:", *example]))
    return "\n\n".join(blocks)


def validate(path: Path, systems: Iterable[str], progress: Progress, engine: Engine = ()) -> quality.Outcome:
    """Check the newest snapshots of systems (all if none are named) against their expectations."""
    config = load(path)
    run = running.start(config, "validate", progress, engine)
    names = _systems(config, systems)
    wanted = [(name, each) for name in names for each in plan.dataset_names(config.system(name))]
    sources = plan.newest_snapshots(config, run.workspace, wanted, {})
    sides = records.all_of(config, names)
    found = plan.newest_snapshots(config, run.workspace, sides, {})
    results = validate_snapshots(run, sources, {(system, each): found[system][each] for system, each in sides})
    return quality.Outcome(results, filesystem.join(run.directory, "validation", "index.html"))
