"""`recon schedule start`: a foreground service that runs jobs when their schedules say.

It keeps nothing to itself: which fires are settled is in the ledger, and every run is a process of its
own that claims its fire. Two services, or one that was killed and started again, neither miss a run nor
double one.
"""

from __future__ import annotations

import logging
import subprocess
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Protocol

from jobs import fires, logs
from jobs.clock import SYSTEM, Clock
from jobs.lease import living
from jobs.ledger import Ledger
from jobs.schedule import Fire, Timetable
from reconcilers.errors import Unreachable

#: How often to look, in seconds: where nothing is under way, and where a run is.
IDLE, BUSY = 30.0, 1.0

#: Beyond its deadline, how long a run may take to stop before it is ended.
GRACE = timedelta(minutes=2)

#: How often a run that was ended from outside is taken up again, and how long to wait before that.
ATTEMPTS = 5
BACKOFF = timedelta(seconds=15)

#: So many missed fires are written down one by one.
_MISSED = 1000


class Running(Protocol):
    """A run under way, as `subprocess.Popen` has it."""

    def poll(self) -> int | None:
        """Its exit code, once it has ended."""
        ...

    def terminate(self) -> None:
        """Ask it to end."""
        ...

    def kill(self) -> None:
        """End it."""
        ...

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, when it has ended; `subprocess.TimeoutExpired` where that takes longer."""
        ...


def as_process(command: tuple[str, ...]) -> Callable[[Fire], Running]:
    """What runs a fire in a process of its own: the command, with its job and instant added."""

    def launch(fire: Fire) -> Running:
        line = [*command, fire.job, fire.at.isoformat()]
        return subprocess.Popen(line, stdin=subprocess.DEVNULL)  # noqa: S603  our own command

    return launch


@dataclass
class _Job:
    """A job that is looked after: its timetable, and the run under way."""

    timetable: Timetable
    fire: Fire | None = None
    process: Running | None = None
    attempts: int = 0
    not_before: datetime | None = None


@dataclass
class Service:
    """The service; `launch` begins the run of a fire."""

    ledger: Ledger
    timetables: Iterable[Timetable]
    launch: Callable[[Fire], Running]
    clock: Clock = SYSTEM
    _jobs: dict[str, _Job] = field(default_factory=dict)

    def run(self, stop: threading.Event) -> None:
        """Look after the jobs until `stop` is set; then end the runs under way, which stay resumable."""
        self._jobs = {timetable.job: _Job(timetable) for timetable in self.timetables}
        logs.tell("scheduler started", jobs=",".join(self._jobs), ledger=self.ledger.address.shown)
        while not stop.is_set():
            try:
                for job in self._jobs.values():
                    self._look_after(job)
            except Unreachable as error:
                logs.tell(str(error), logging.WARNING)
            self.clock.wait(stop, self._patience())
        self._end_all()
        logs.tell("scheduler stopped")

    def _look_after(self, job: _Job) -> None:
        if job.process is not None and not self._reaped(job):
            return
        now = self.clock.now()
        fire = self._due(job, now)
        if fire is None or now < fire.start or (job.not_before is not None and now < job.not_before):
            return
        if fire != job.fire:
            job.fire, job.attempts = fire, 0
        job.attempts += 1
        logs.tell("run begins", job=fire.job, fire=fire.at.isoformat(), attempt=job.attempts)
        job.process = self.launch(fire)

    def _due(self, job: _Job, now: datetime) -> Fire | None:
        """The fire that is to run now, or is under way; what was missed is settled."""
        name = job.timetable.job
        last = fires.last(self.ledger, name)
        if last is None:
            fires.settle(self.ledger, name, now, "BEGUN")
            return None
        if last.state == fires.OPEN and f"job {name}" in living(self.ledger):
            # Its run goes on without the scheduler that began it.
            return None
        pending = list(takewhile(lambda fire: fire.at <= now, job.timetable.fires(last.fire)))[-_MISSED:]
        if last.state == fires.OPEN:
            claimed = job.timetable.fire_at(last.fire)
            pending = [*([claimed] if claimed else []), *pending]
        chosen = None
        for fire in reversed(pending):
            reason = self._reason(job, fire, last, now)
            if reason is None and chosen is None:
                chosen = fire
                continue
            reason = reason or ("SKIPPED", f"overtaken by {chosen.at.isoformat() if chosen else ''}")
            fires.settle(self.ledger, name, fire.at, *reason)
            logs.tell(f"run {reason[0].lower()}", job=name, fire=fire.at.isoformat(), why=reason[1])
        return chosen

    def _reason(self, job: _Job, fire: Fire, last: fires.Settled, now: datetime) -> tuple[str, str] | None:
        """Why a fire is not to run any more, as state and note; None where it is."""
        claimed = last.state == fires.OPEN and last.fire == fire.at
        if fire.skip:
            return "SKIPPED", fire.skip
        if fire.deadline is not None and now >= fire.deadline:
            return ("STOPPED" if claimed else "SKIPPED"), "its time was up"
        if not claimed and now > fire.latest_start:
            return "SKIPPED", f"missed: it is {now.isoformat(timespec='seconds')}, too late to catch up"
        if fire == job.fire and job.attempts >= ATTEMPTS:
            return "FAILED", f"ended from outside {ATTEMPTS} times"
        return None

    def _reaped(self, job: _Job) -> bool:
        """Whether the run of a job has ended; one that ignores its deadline is ended."""
        process, fire = job.process, job.fire
        if process is None or fire is None:
            return True
        code = process.poll()
        if code is None:
            if fire.deadline is not None and self.clock.now() > fire.deadline + GRACE:
                logs.tell("run does not stop: killed", logging.ERROR, job=fire.job, fire=fire.at.isoformat())
                process.kill()
            return False
        job.process = None
        job.not_before = self.clock.now() + BACKOFF * job.attempts
        level = logging.INFO if code in (0, 1) else logging.ERROR
        logs.tell("run ended", level, job=fire.job, fire=fire.at.isoformat(), exit_code=code)
        return True

    def _patience(self) -> float:
        """How long nothing will happen, in seconds."""
        if any(job.process is not None for job in self._jobs.values()):
            return BUSY
        now = self.clock.now()
        starts = (next(job.timetable.fires(now), None) for job in self._jobs.values())
        soonest = min((fire.at for fire in starts if fire is not None), default=now + timedelta(seconds=IDLE))
        return max(0.0, min(IDLE, (soonest - now).total_seconds()))

    def _end_all(self) -> None:
        running = [job.process for job in self._jobs.values() if job.process is not None]
        for process in running:
            process.terminate()
        for process in running:
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
