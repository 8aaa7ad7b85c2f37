"""Runs from plan to end: one of a job at a time, seen by the ledger, stopped in time, resumable."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime, timedelta
from typing import Any

from jobs import logs, plan, records, run_state, steps
from jobs.clock import SYSTEM, Clock
from jobs.config import Config
from jobs.lease import Lease, held
from jobs.ledger import Ledger, open_ledger
from jobs.notify import told
from jobs.observe import Observer
from jobs.pause import paused
from jobs.run import Progress, silent
from jobs.run_state import RunState
from jobs.workspace import Workspace
from pipelines import filesystem
from pipelines.execution import Engine
from reconcilers.errors import ConfigError, Refused

Summary = dict[str, Any]

#: The least time there is between two instants.
_MOMENT = timedelta(microseconds=1)

#: How often a deadline looks at the clock, in seconds.
_LOOK = 10.0


def run_job(
    config: Config,
    job: str,
    progress: Progress = silent,
    engine: Engine = (),
    *,
    resume: bool = False,
    as_of: datetime | None = None,
    clock: Clock = SYSTEM,
) -> Summary:
    """All steps of a job, or, with `resume`, those that its last run has left undone.

    With `as_of` it captures nothing: it judges as of that instant, from the snapshots that were the
    newest then.

    Raises:
        Refused: another process is at this job, or at one of its pairs.
        ConfigError: an `as_of` that is in the future or that a resumed run cannot have, nothing to resume.
    """
    if resume and as_of is not None:
        raise ConfigError("--resume and --as-of exclude one another: a run that is resumed has its instant")
    pairs = tuple(config.job(job).pairs)
    sources = _sources_of(config, pairs, as_of) if as_of is not None else None
    with opened(config) as ledger, held(ledger, lease_names(config, job)) as lease:
        if resume:
            run_id = _last(config, ledger, job).run_id
        else:
            run_id = steps.planned(config, job, pairs, sources=sources, now=as_of, clock=clock)
        return lead(config, job, run_id, progress, engine, lease=lease, clock=clock)


def lead(
    config: Config,
    job: str,
    run_id: str,
    progress: Progress,
    engine: Engine,
    *,
    lease: Lease,
    stopping: AbstractContextManager[None] | None = None,
    clock: Clock = SYSTEM,
) -> Summary:
    """Take the steps that a run of a job has left, as the holder of its lease, until `stopping` ends it.

    What the job pauses stands still for the capture; whom it notifies is told how it ended.
    """
    with told(config, job, progress) as telling:
        with stopping or nullcontext():
            summary = go_on(
                config,
                lease.ledger,
                run_id,
                progress,
                engine,
                may_go_on=lease.check,
                capturing=lambda: paused(config, job, config.file, progress),
                clock=clock,
            )
        telling.finished(summary, report_path(config, run_id))
    return summary


def report_path(config: Config, run_id: str) -> str:
    """Where the report of a run is."""
    return filesystem.join(Workspace(str(config.workspace)).run_directory(run_id), "report.html")


def reconcile_stored(
    config: Config, label: str, pairs: list[str], sources: plan.Sources, progress: Progress, engine: Engine
) -> Summary:
    """A run over snapshots that are there already; it has no effect outside, so any number may run."""
    with opened(config) as ledger:
        run_id = steps.planned(config, label, tuple(pairs), sources=sources)
        return go_on(config, ledger, run_id, progress, engine)


def replay(
    config: Config,
    job: str,
    since: datetime | None,
    until: datetime | None,
    progress: Progress = silent,
    engine: Engine = (),
) -> list[Summary]:
    """Run a job again over its stored snapshots, once for every capture, oldest first.

    Each run judges at the instant of its capture, and takes the ages of its breaks from the one before.

    Raises:
        ConfigError: nothing is stored for that time.
    """
    pairs = tuple(config.job(job).pairs)
    workspace = Workspace(str(config.workspace))
    sides = plan.sides_of(config, pairs)
    captures = plan.stored_captures(workspace, sides)
    chosen = [at for at in captures if (since is None or at >= since) and (until is None or at <= until)]
    if not chosen:
        there = f"{captures[0].isoformat()} to {captures[-1].isoformat()}" if captures else "none"
        raise ConfigError(f"no complete set of snapshots of {job!r} in that time; stored: {there}")
    previous: dict[str, str | None] = {pair: workspace.previous(pair, chosen[0] - _MOMENT) for pair in pairs}
    summaries = []
    with opened(config) as ledger:
        for number, at in enumerate(chosen, 1):
            progress(f"replay {number} of {len(chosen)}: {at.isoformat()}", number / len(chosen))
            sources = plan.newest_snapshots(config, workspace, sides, {}, at)
            run_id = steps.planned(config, f"replay-{job}", pairs, sources=sources, now=at, previous=previous)
            summaries.append(go_on(config, ledger, run_id, progress, engine))
            previous = dict.fromkeys(pairs, run_id)
    return summaries


def dry_run(config: Config, job: str, resume: bool, as_of: datetime | None) -> dict[str, Any]:
    """What `run_job` would do, with nothing captured, written or taken hold of."""
    definition = config.job(job)
    pairs = list(definition.pairs)
    workspace = Workspace(str(config.workspace))
    document: dict[str, Any] = {"job": job, "pairs": pairs, "gates": definition.gates}
    last = next(reversed(_of_job(workspace, job)), None) if resume else None
    if resume:
        document |= {"run_id": last.run_id, "state": last.state, "next_step": last.step} if last else {}
    elif as_of is None:
        names = [(request.system, request.dataset, request.connector) for request in _captures(config, pairs)]
        document["captures"] = [{"system": s, "dataset": d, "connector": c} for s, d, c in names]
    else:
        document["snapshots"] = [
            {"system": system, "dataset": dataset, "snapshot_id": snapshot.manifest.snapshot_id}
            for system, found in _sources_of(config, tuple(pairs), as_of).items()
            for dataset, snapshot in found.items()
        ]
    document["steps"] = [step.name for step in steps.STEPS if not (last and workspace.has(last.run_id, step.output))]
    return document


def go_on(
    config: Config,
    ledger: Ledger,
    run_id: str,
    progress: Progress = silent,
    engine: Engine = (),
    *,
    may_go_on: Callable[[], None] = lambda: None,
    capturing: Callable[[], AbstractContextManager[None]] = nullcontext,
    clock: Clock = SYSTEM,
) -> Summary:
    """Take the steps that a run has left, and keep ledger, log, metrics and lineage informed."""
    if config.observe.logs == "json" and not logs.is_json():
        logs.start("json")
    return steps.advance(
        config,
        run_id,
        progress,
        engine,
        may_go_on=may_go_on,
        capturing=capturing,
        observe=Observer(config, ledger).saw,
        clock=clock,
    )


@contextmanager
def stopped_at(deadline: datetime | None, why: str, clock: Clock = SYSTEM) -> Iterator[None]:
    """End what runs in the block when its time is up; what it has finished by then stays.

    Raises:
        Refused: it was ended.
    """
    if deadline is None:
        yield
        return
    done, late = threading.Event(), threading.Event()

    def watch() -> None:
        # In short waits: a clock that is set, or a laptop that slept, is noticed.
        while (left := (deadline - clock.now()).total_seconds()) > 0:
            if clock.wait(done, min(left, _LOOK)):
                return
        late.set()
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=watch, name="deadline", daemon=True)
    thread.start()
    try:
        yield
    except KeyboardInterrupt:
        if not late.is_set():
            raise
        raise Refused(f"stopped: {why}; `recon run JOB --resume` goes on from the last finished step") from None
    finally:
        done.set()
        thread.join()


@contextmanager
def opened(config: Config) -> Iterator[Ledger]:
    """The ledger of a configuration while the block runs."""
    ledger = open_ledger(config)
    try:
        yield ledger
    finally:
        ledger.close()


def lease_names(config: Config, job: str) -> list[str]:
    """What only one process may be at: the job, and each of its pairs."""
    return [f"job {job}", *(f"pair {pair}" for pair in config.job(job).pairs)]


def _last(config: Config, ledger: Ledger, job: str) -> RunState:
    found = [state for state in run_state.all_states(Workspace(str(config.workspace)), ledger) if state.job == job]
    if not found:
        raise ConfigError(f"nothing to resume: job {job!r} has no run yet")
    return found[-1]


def _of_job(workspace: Workspace, job: str) -> list[RunState]:
    states = (run_state.read_state(workspace, run_id) for run_id in workspace.run_ids())
    found = [state for state in states if state is not None and state.job == job]
    return sorted(found, key=lambda state: state.started_at)


def _captures(config: Config, pairs: list[str]) -> list[Any]:
    stock = plan.captures(config, plan.systems_of(config, pairs))
    return [*stock, *(records.request(config, side) for side in records.sides(config, pairs))]


def _sources_of(config: Config, pairs: tuple[str, ...], as_of: datetime) -> plan.Sources:
    now = SYSTEM.now()
    if as_of > now:
        raise ConfigError(f"--as-of {as_of.isoformat()} is in the future (it is {now.isoformat(timespec='seconds')})")
    return plan.newest_snapshots(config, Workspace(str(config.workspace)), plan.sides_of(config, pairs), {}, as_of)
