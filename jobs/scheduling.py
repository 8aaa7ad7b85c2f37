"""What the commands `schedule`, `replay` and `run --dry-run` do, as functions that return data."""

from __future__ import annotations

import signal
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jobs import fires, lifecycle, logs
from jobs.commands import instant
from jobs.config import Config, load
from jobs.run import Progress
from jobs.run_state import faults
from jobs.schedule import upcoming
from jobs.service import Service, as_process
from pipelines.execution import Engine
from reconcilers.errors import ConfigError
from reports import text


def dry_run(path: Path, job: str, resume: bool, as_of: str | None) -> dict[str, Any]:
    """What `recon run` would do."""
    return lifecycle.dry_run(load(path), job, resume, instant(as_of, "--as-of"))


def dry_run_text(found: dict[str, Any]) -> str:
    """The plan in words."""
    lines = [f"job {found['job']}: {', '.join(found['pairs'])}"]
    if "run_id" in found:
        lines.append(f"would resume {found['run_id']}, which is {found['state']}")
    lines += [f"would capture {c['system']}/{c['dataset']} with {c['connector']}" for c in found.get("captures", [])]
    lines += [f"would read {s['system']}/{s['dataset']} {s['snapshot_id']}" for s in found.get("snapshots", [])]
    lines.append(f"steps: {', '.join(found['steps']) or 'none left'}")
    lines.append(f"gates: {', '.join(f'{gate} {bound}' for gate, bound in found['gates'].items()) or 'breaks 0'}")
    return "\n".join([*lines, "nothing was done (--dry-run)"])


def replay(
    path: Path, job: str, since: str | None, until: str | None, progress: Progress, engine: Engine
) -> list[dict[str, Any]]:
    """Run a job again over its stored snapshots."""
    bounds = instant(since, "--from"), instant(until, "--to")
    return lifecycle.replay(load(path), job, *bounds, progress, engine)


def replay_text(summaries: list[dict[str, Any]]) -> str:
    """A line a replayed run."""
    rows = [
        {
            "as of": summary["now"],
            "run_id": summary["run_id"],
            "keys": sum(pair["keys"] for pair in summary["pairs"].values()),
            "faults": faults(summary),
        }
        for summary in summaries
    ]
    return text.table(rows, ["as of", "run_id", "keys", "faults"])


def list_schedules(path: Path) -> list[dict[str, Any]]:
    """The jobs with a schedule: when each runs next, and what became of its last fire."""
    config = load(path)
    now = datetime.now(UTC)
    rows = []
    with lifecycle.opened(config) as ledger:
        for name in _scheduled(config):
            timetable = fires.timetable_of(config, name)
            following = next((fire for fire in upcoming(timetable, now, 1000) if not fire.skip), None)
            last = fires.last(ledger, name)
            rows.append(
                {
                    "job": name,
                    "cron": timetable.cron,
                    "timezone": timetable.timezone,
                    "window": str(timetable.window) if timetable.window else None,
                    "next": following and following.start.astimezone(timetable.zone).isoformat(timespec="seconds"),
                    "last": last and last.fire.astimezone(timetable.zone).isoformat(timespec="seconds"),
                    "last_state": last and last.state,
                    "last_note": last and last.note,
                }
            )
    return rows


def schedules_text(rows: list[dict[str, Any]]) -> str:
    """The schedules as a table."""
    columns = ["job", "cron", "timezone", "window", "next", "last", "last_state"]
    return text.table([{name: row[name] or "" for name in columns} for row in rows], columns)


def next_fires(path: Path, job: str | None, count: int) -> list[dict[str, Any]]:
    """The next fires of a job, or of all, those included that will not run, and why."""
    config = load(path)
    names = [job] if job is not None else _scheduled(config)
    rows = []
    for name in names:
        timetable = fires.timetable_of(config, name)
        for fire in upcoming(timetable, datetime.now(UTC), count):
            until = fire.deadline and fire.deadline.astimezone(timetable.zone).isoformat(timespec="seconds")
            start = fire.start.astimezone(timetable.zone).isoformat(timespec="seconds")
            rows.append({"job": name, "start": start, "until": until, "skipped": fire.skip})
    return sorted(rows, key=lambda row: datetime.fromisoformat(row["start"]))


def next_text(rows: list[dict[str, Any]]) -> str:
    """The fires as a table."""
    columns = ["job", "start", "until", "skipped"]
    return text.table([{name: row[name] or "" for name in columns} for row in rows], columns)


def run_fire(path: Path, job: str, at: str, progress: Progress, engine: Engine) -> dict[str, Any] | None:
    """The run that a fire of a schedule calls for; None if that is settled."""
    when = instant(at, "the instant")
    assert when is not None  # noqa: S101  the argument is required
    return fires.run_fire(load(path), job, when, progress, engine)


def start(path: Path, log_json: bool) -> None:
    """Run jobs by their schedules until a signal ends the service.

    Raises:
        ConfigError: no job has a schedule, `now` is set, or the ledger cannot be shared.
    """
    config = load(path)
    names = _scheduled(config)
    if config.now is not None:
        raise ConfigError(f"{path}: now: fixes the instant of every run; remove it before jobs are scheduled")
    logs.start("json" if log_json else config.observe.logs)
    stop = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: stop.set())
    command = [sys.executable, "-m", "cli.main", "schedule", "fire", "-c", str(path)]
    with lifecycle.opened(config) as ledger:
        if not ledger.shared:
            raise ConfigError(f"{path}: ledger: a workspace in a bucket needs a database for its schedules")
        timetables = [fires.timetable_of(config, name) for name in names]
        launch = as_process((*command, *(["--log-json"] if logs.is_json() else [])))
        Service(ledger, timetables, launch).run(stop)


def _scheduled(config: Config) -> list[str]:
    found = [name for name, job in config.jobs.items() if job.schedule is not None]
    if not found:
        raise ConfigError("no job has a schedule; `recon schedule suggest JOB` proposes one")
    return found
