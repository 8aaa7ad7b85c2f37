"""The steps of a run in their order; each leaves a durable output, which says that it need not be done again.

Whatever ends a run in the middle, `advance` goes on from the last output that is there. The instant of
judgement is fixed when the snapshots are: a run that is resumed before that judges at the later present.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from typing import Any

from jobs import plan, records
from jobs import run as running
from jobs.clock import SYSTEM, Clock
from jobs.config import Config
from jobs.outputs import deliver
from jobs.run import Progress, Run, Sources, silent
from jobs.run_state import CAPTURED, DELIVERED, FAILED, PLAN, SUMMARY, VALIDATED
from jobs.validate import check_suites, validate_snapshots
from jobs.workspace import Workspace
from pipelines import filesystem
from pipelines.execution import Engine
from pipelines.snapshots import Snapshot
from reconcilers.errors import ConfigError, ExpectationsFailed, Unreachable

Document = dict[str, Any]

#: Told which step has begun, ended or failed, and why.
Observe = Callable[[Run, str, str, str | None], None]


@dataclass(frozen=True)
class Step:
    """A step: its name, the file that says that it is done, and what does it and writes that file."""

    name: str
    output: str
    do: Callable[[Run, Document], None]


def planned(
    config: Config,
    job: str,
    pairs: tuple[str, ...],
    *,
    sources: Sources | None = None,
    now: datetime | None = None,
    fire: datetime | None = None,
    previous: Mapping[str, str | None] | None = None,
    clock: Clock = SYSTEM,
) -> str:
    """Write down what a new run is to do, which makes it exist; returns its id.

    With `sources` it captures nothing. `previous` is the run that each pair goes on from, if it is not
    the last one before `now`.
    """
    workspace = Workspace(str(config.workspace))
    started = clock.now()
    run_id = workspace.new_run_id(now or config.now or started, job)
    document = {
        "format": 1,
        "run_id": run_id,
        "job": job,
        "pairs": pairs,
        "snapshots": None if sources is None else _ids(sources),
        "previous": previous,
        "now": _text(now or config.now),
        "fire": _text(fire),
        "started_at": started.isoformat(),
        "config_hash": config.config_hash,
        "tool_version": version("recon-toolkit"),
    }
    workspace.write_json(run_id, PLAN, document)
    return run_id


def advance(
    config: Config,
    run_id: str,
    progress: Progress = silent,
    engine: Engine = (),
    *,
    may_go_on: Callable[[], None] = lambda: None,
    capturing: Callable[[], AbstractContextManager[None]] = nullcontext,
    observe: Observe = lambda run, step, what, error: None,
    clock: Clock = SYSTEM,
) -> Document:
    """Take every step of a run that is not done yet; returns its summary.

    Before each step `may_go_on` raises where the run must not. What it captures, it captures in the
    block that `capturing` makes.

    Raises:
        ConfigError: the configuration is another one than that of the plan.
        ExpectationsFailed: a snapshot failed a critical expectation, now or in an attempt before.
    """
    run, document = _loaded(config, run_id, progress, engine, clock)
    run.capturing = capturing
    for step in STEPS:
        if run.workspace.has(run_id, step.output):
            continue
        with _watched(run, step.name, observe):
            may_go_on()
            step.do(run, document)
    summary = run.workspace.summary(run_id)
    critical = [message for result in summary["validation"] for message in result.get("critical", [])]
    if critical:
        raise ExpectationsFailed(f"{critical[0]} ({len(critical)} critical; run {run_id})")
    return summary


def _loaded(config: Config, run_id: str, progress: Progress, engine: Engine, clock: Clock) -> tuple[Run, Document]:
    """A run as far as it got, and its plan."""
    workspace = Workspace(str(config.workspace))
    document = workspace.read_json(run_id, PLAN)
    if document is None:
        raise ConfigError(f"no run {run_id!r} in {workspace.root}; `recon runs` lists them")
    if document["config_hash"] != config.config_hash and not workspace.has(run_id, SUMMARY):
        raise ConfigError(
            f"the configuration has changed since run {run_id} began; start a new run, or undo the change to resume"
        )
    run = Run(
        config,
        workspace,
        run_id,
        _instant(document["now"]) or clock.now(),
        document["job"],
        progress,
        engine,
        tuple(document["pairs"]),
        started_at=datetime.fromisoformat(document["started_at"]),
    )
    for name in (CAPTURED, VALIDATED):
        _remember(run, workspace.read_json(run_id, name) or {})
    return run, document


def _remember(run: Run, output: Document) -> None:
    """Take up what the output of a step says about the run."""
    run.now = _instant(output.get("now")) or run.now
    run.previous = output.get("previous", run.previous)
    run.timings |= output.get("timings", {})
    run.counters |= output.get("counters", {})


def _capture(run: Run, document: Document) -> None:
    ids = document["snapshots"]
    if ids is None:
        systems, sides = plan.systems_of(run.config, run.pairs), records.sides(run.config, run.pairs)
        check_suites(run.config, systems, sides)
        with run.capturing():
            ids = _ids(running.snapshot(run, systems))
            for (system, dataset), taken in records.take(run, sides).items():
                ids.setdefault(system, {})[dataset] = taken.manifest.snapshot_id
    previous = document["previous"] or {pair: run.workspace.previous(pair, run.now) for pair in run.pairs}
    output = {"now": run.now.isoformat(), "snapshots": ids, "previous": previous, **_counted(run)}
    run.workspace.write_json(run.run_id, CAPTURED, output)
    run.previous = previous


def _validate(run: Run, _: Document) -> None:
    with run.step("validate"):
        results = validate_snapshots(run, *_stored(run))
    run.workspace.write_json(run.run_id, VALIDATED, {"results": results, **_counted(run)})


def _reconcile(run: Run, _: Document) -> None:
    output = run.workspace.read_json(run.run_id, VALIDATED) or {}
    running.reconcile(run, *_stored(run), output["results"])


def _deliver(run: Run, _: Document) -> None:
    summary = run.workspace.summary(run.run_id)
    sent = deliver(run.config, summary) if run.job in run.config.jobs else {}
    run.workspace.write_json(run.run_id, DELIVERED, sent)


STEPS = (
    Step("capture", CAPTURED, _capture),
    Step("validate", VALIDATED, _validate),
    Step("reconcile", SUMMARY, _reconcile),
    Step("deliver", DELIVERED, _deliver),
)


@contextmanager
def _watched(run: Run, step: str, observe: Observe) -> Iterator[None]:
    """Tell how a step goes, and keep why it failed; a run that is taken up again has not failed."""
    if run.workspace.has(run.run_id, FAILED):
        filesystem.delete(filesystem.join(run.directory, FAILED))
    observe(run, step, "began", None)
    try:
        yield
    except BaseException as error:
        why = str(error) if isinstance(error, Exception) else "interrupted"
        if not isinstance(error, ExpectationsFailed):
            # A disk that is full has no place for the reason either.
            with suppress(Unreachable):
                run.workspace.write_json(run.run_id, FAILED, {"step": step, "error": why or type(error).__name__})
        observe(run, step, "failed", why)
        raise
    observe(run, step, "done", None)


def _stored(run: Run) -> tuple[Sources, dict[records.Side, Snapshot]]:
    """The snapshots that the run is about: of stock and events, and of records."""
    output = run.workspace.read_json(run.run_id, CAPTURED) or {}
    sources: Sources = {}
    taken: dict[records.Side, Snapshot] = {}
    for system, found in plan.stored_snapshots(run.workspace, output["snapshots"]).items():
        for dataset, snapshot in found.items():
            if dataset in run.config.system(system).keyed:
                taken[system, dataset] = snapshot
            else:
                sources.setdefault(system, {})[dataset] = snapshot
    return sources, taken


def _ids(sources: Sources) -> dict[str, dict[str, str]]:
    return {
        system: {dataset: snapshot.manifest.snapshot_id for dataset, snapshot in found.items()}
        for system, found in sources.items()
    }


def _counted(run: Run) -> Document:
    return {"timings": run.timings, "counters": run.counters}


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _text(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat()
