"""Fires of schedules in the ledger: each is settled once, whoever looks after it.

A fire is CLAIMED by the run that it called for, and settled as DONE, FAILED, STOPPED (its time was up)
or SKIPPED. BEGUN marks the instant since when a job has been looked after: nothing before it was missed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from jobs import lifecycle, run_state, steps
from jobs.clock import SYSTEM, Clock
from jobs.config import Config
from jobs.lease import held
from jobs.ledger import Ledger, fires
from jobs.run import Progress, silent
from jobs.schedule import Timetable
from jobs.workspace import Workspace
from pipelines.execution import Engine
from reconcilers.errors import ConfigError, ReconError, Refused

OPEN = "CLAIMED"


@dataclass(frozen=True)
class Settled:
    """What became of a fire."""

    job: str
    fire: datetime
    state: str
    run_id: str | None
    note: str | None
    at: datetime


def last(ledger: Ledger, job: str) -> Settled | None:
    """The latest fire of a job that the ledger knows."""
    query = sa.select(fires).where(fires.c.job == job).order_by(fires.c.fire.desc()).limit(1)
    row = ledger.act(lambda connection: connection.execute(query).mappings().first())
    return None if row is None else Settled(**row)


def find(ledger: Ledger, job: str, fire: datetime) -> Settled | None:
    """What is known of one fire."""
    query = sa.select(fires).where(fires.c.job == job, fires.c.fire == fire)
    row = ledger.act(lambda connection: connection.execute(query).mappings().first())
    return None if row is None else Settled(**row)


def settle(ledger: Ledger, job: str, fire: datetime, state: str, note: str | None = None) -> None:
    """Say what became of a fire, unless that is settled already."""

    def write(connection: Connection) -> None:
        done = connection.execute(
            sa.update(fires)
            .where(fires.c.job == job, fires.c.fire == fire, fires.c.state == OPEN)
            .values(state=state, note=note, at=datetime.now(UTC))
        )
        if not done.rowcount:
            _insert(connection, job, fire, state, None, note)

    ledger.act(write)


def run_fire(
    config: Config,
    job: str,
    at: datetime,
    progress: Progress = silent,
    engine: Engine = (),
    clock: Clock = SYSTEM,
) -> lifecycle.Summary | None:
    """The run that a fire calls for: a new one, or the one that was begun for it; None if it is settled.

    Raises:
        Refused: another process is at this job; or its time was up, and it was stopped.
        ConfigError: the job has no such fire.
    """
    timetable = timetable_of(config, job)
    fire = timetable.fire_at(at)
    if fire is None or fire.skip:
        raise ConfigError(f"job {job!r} is not to run at {at.isoformat()}: {fire.skip if fire else 'no such fire'}")
    with lifecycle.opened(config) as ledger, held(ledger, lifecycle.lease_names(config, job)) as lease:
        known = find(ledger, job, fire.at)
        if known is not None and known.state != OPEN:
            return None
        run_id = _begun(config, ledger, job, fire.at)
        if run_id is None:
            run_id = steps.planned(config, job, tuple(config.job(job).pairs), fire=fire.at, clock=clock)
        _claim(ledger, job, fire.at, run_id)
        why = _why(timetable, fire.deadline)
        try:
            stopping = lifecycle.stopped_at(fire.deadline, why, clock)
            summary = lifecycle.lead(config, job, run_id, progress, engine, lease=lease, stopping=stopping, clock=clock)
        except ReconError as error:
            stopped = isinstance(error, Refused) and fire.deadline is not None and clock.now() >= fire.deadline
            if stopped:
                run_state.failed_for(Workspace(str(config.workspace)), run_id, str(error))
            settle(ledger, job, fire.at, "STOPPED" if stopped else "FAILED", str(error))
            raise
        except Exception as error:
            settle(ledger, job, fire.at, "FAILED", f"a bug: {error!r}"[:500])
            raise
        settle(ledger, job, fire.at, "DONE")
        return summary


def timetable_of(config: Config, job: str) -> Timetable:
    """The timetable of a job. Raises `ConfigError` where it has no schedule."""
    schedule = config.job(job).schedule
    if schedule is None:
        raise ConfigError(f"job {job!r} has no schedule; `recon schedule suggest {job}` proposes one")
    return schedule.timetable(job)


def _begun(config: Config, ledger: Ledger, job: str, fire: datetime) -> str | None:
    """The run that was planned for a fire: its directory is the truth, whatever the ledger says."""
    states = run_state.all_states(Workspace(str(config.workspace)), ledger)
    return next((state.run_id for state in states if state.job == job and state.fire == fire), None)


def _claim(ledger: Ledger, job: str, fire: datetime, run_id: str) -> None:
    """Write the fire down as this run's. Raises `Refused` where it is another one's."""

    def write(connection: Connection) -> str | None:
        _insert(connection, job, fire, OPEN, run_id, None)
        query = sa.select(fires.c.run_id).where(fires.c.job == job, fires.c.fire == fire, fires.c.state == OPEN)
        return connection.execute(query).scalar()

    if ledger.act(write) != run_id:
        raise Refused(f"job {job}: another process has claimed the run of {fire.isoformat()}")


def _insert(connection: Connection, job: str, fire: datetime, state: str, run_id: str | None, note: str | None) -> None:
    """A row, unless the key is there: the key is what keeps a fire from running twice."""
    values = {"job": job, "fire": fire, "state": state, "run_id": run_id, "note": note, "at": datetime.now(UTC)}
    try:
        with connection.begin_nested():
            connection.execute(sa.insert(fires).values(**values))
    except IntegrityError:
        return


def _why(timetable: Timetable, deadline: datetime | None) -> str:
    if deadline is None:
        return ""
    local = deadline.astimezone(timetable.zone)
    return f"the time of job {timetable.job} was up at {local:%H:%M} ({timetable.timezone})"
