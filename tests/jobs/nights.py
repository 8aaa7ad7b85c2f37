"""Runs and schedulers as real processes that live by a faster clock, and can be killed where it hurts."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from jobs import fires, lifecycle, service, steps
from jobs.config import load
from jobs.run_state import PLAN, SUMMARY
from jobs.workspace import Workspace
from reconcilers.errors import ReconError


@dataclass(frozen=True)
class SetClock:
    """Begins at an instant and goes on from there, for every process that has it; `set` puts it right or wrong."""

    begin: datetime
    started: float
    ahead: Path

    @staticmethod
    def at(begin: datetime, ahead: Path) -> SetClock:
        ahead.write_text("0")
        return SetClock(begin, time.monotonic(), ahead)

    def now(self) -> datetime:
        gone = time.monotonic() - self.started
        return self.begin + timedelta(seconds=gone + float(self.ahead.read_text()))

    def wait(self, until: threading.Event, seconds: float) -> bool:
        """At most a moment: the clock may be set while it waits."""
        return until.wait(min(0.05, max(0.01, seconds)))

    def set(self, to: datetime) -> None:
        by = (to - self.now()).total_seconds() + float(self.ahead.read_text())
        self.ahead.with_suffix(".new").write_text(str(by))
        self.ahead.with_suffix(".new").replace(self.ahead)


def until(condition, timeout=300.0):
    """Wait for something that another process brings about."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


@contextmanager
def killed(point: str | None):
    """`before X` or `after X`: the process is killed where a run writes its output X."""
    write = Workspace.write_json

    def write_json(self, run_id, name, document):
        if point == f"before {name}":
            os.kill(os.getpid(), signal.SIGKILL)
        path = write(self, run_id, name, document)
        if point == f"after {name}":
            os.kill(os.getpid(), signal.SIGKILL)
        return path

    Workspace.write_json = write_json
    try:
        yield
    finally:
        Workspace.write_json = write


def run(config: Path, job: str, resume: bool, point: str | None) -> None:
    """`recon run`, killed at a point."""
    code = 0
    try:
        with killed(point):
            lifecycle.run_job(load(config), job, resume=resume)
    except ReconError as error:
        config.with_name("told").write_text(str(error))
        code = error.exit_code
    os._exit(code)


def fire(config: Path, job: str, at: str, clock, seconds: float | None = None, point: str | None = None) -> None:
    """The run of a fire; with `seconds` one that does nothing for so long."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if seconds is not None:
        steps.STEPS = (steps.Step("capture", SUMMARY, lambda run, _: _idle(run, seconds)),)
    code = 0
    try:
        with killed(point):
            fires.run_fire(load(config), job, datetime.fromisoformat(at), clock=clock)
    except KeyboardInterrupt:
        code = 130
    except ReconError as error:
        code = error.exit_code
    os._exit(code)


def _idle(run, seconds):
    """A run that leaves a mark that it took place, and concludes nothing."""
    marks = Path(run.workspace.root) / "marks"
    marks.mkdir(exist_ok=True)
    with (marks / f"{run.run_id}-{os.getpid()}").open("w") as mark:
        mark.write(str(run.workspace.read_json(run.run_id, PLAN)["fire"]))
    time.sleep(seconds)
    now = datetime.now(UTC).isoformat()
    summary = {"run_id": run.run_id, "job": run.job, "started_at": now, "finished_at": now, "now": run.now.isoformat()}
    summary |= {"verdict": "", "pairs": {}, "snapshots": [], "validation": [], "gates": [], "timings": {}}
    run.workspace.write_json(run.run_id, SUMMARY, summary)


class Forked:
    """A run forked from the scheduler, with the verbs of `subprocess.Popen`."""

    def __init__(self, *arguments):
        self.process = multiprocessing.get_context("fork").Process(target=fire, args=arguments)
        self.process.start()

    def poll(self):
        return self.process.exitcode

    def terminate(self):
        self.process.terminate()

    def kill(self):
        self.process.kill()

    def wait(self, timeout=None):
        self.process.join(timeout)
        if self.process.exitcode is None:
            raise subprocess.TimeoutExpired("run", timeout)
        return self.process.exitcode


def scheduler(config: Path, clock, seconds: float | None = None, points: dict[str, str] | None = None) -> None:
    """`recon schedule start` with a clock of its own; `points` says where which fire's first run is killed."""
    loaded = load(config)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    left = dict(points or {})
    service.BACKOFF = timedelta(seconds=0.2)

    def launch(each):
        return Forked(config, each.job, each.at.isoformat(), clock, seconds, left.pop(each.at.isoformat(), None))

    jobs = [name for name, job in loaded.jobs.items() if job.schedule is not None]
    with lifecycle.opened(loaded) as ledger:
        service.Service(ledger, [fires.timetable_of(loaded, job) for job in jobs], launch, clock).run(stop)
