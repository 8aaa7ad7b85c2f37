"""The scheduler as real processes with a faster clock: nights, kills, two at once, windows that end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import forked
import nights
import pytest
import sqlalchemy as sa

from jobs import fires, lifecycle
from jobs.config import load
from jobs.init import init
from jobs.ledger import fires as table
from jobs.ledger import open_ledger
from jobs.run_state import read_state
from jobs.workspace import Workspace

#: Two hours before the first run: the init's samples are of the night before.
EVENING = datetime(2026, 3, 3, 0, 0, tzinfo=UTC)


@pytest.fixture
def shop(tmp_path):
    """A shop that is scheduled; `now` is left out, so that the clock tells it."""
    init(tmp_path)
    path = tmp_path / "recon.yaml"
    text = "\n".join(line for line in path.read_text().splitlines() if not line.startswith("now:"))

    def write(schedule, begin=EVENING):
        path.write_text(f"{text}\n    schedule: {schedule}\n")
        with lifecycle.opened(load(path)) as ledger:
            fires.settle(ledger, "nightly", begin, "BEGUN")
        return path

    return write


@pytest.fixture
def clock_at(tmp_path):
    """A clock that begins at an instant and can be set."""
    return lambda begin: nights.SetClock.at(begin, tmp_path / "ahead")


@pytest.fixture
def settled():
    """The fires of the ledger in their order: instant and state, without the mark of the beginning."""

    def read(config):
        ledger = open_ledger(load(config))
        rows = ledger.act(lambda c: list(c.execute(sa.select(table).order_by(table.c.fire)).mappings()))
        ledger.close()
        return {row["fire"].isoformat(): row["state"] for row in rows if row["state"] != "BEGUN"}

    return read


def marks(config):
    """The runs that took place: the fires that they were for, one entry a process that did the work."""
    return sorted(path.read_text() for path in (config.parent / ".recon" / "marks").glob("*"))


def hours(begin, count, step=1):
    return [(begin + timedelta(hours=step * n)).isoformat() for n in range(1, count + 1)]


def test_two_nights_with_a_fault_in_the_first_unattended_and_right(shop, clock_at, settled):
    config = shop('{cron: "0 2 * * *", window: "01:00-05:00"}')
    first, second = "2026-03-03T02:00:00+00:00", "2026-03-04T02:00:00+00:00"
    clock = clock_at(EVENING + timedelta(hours=1, minutes=59, seconds=59))
    # The first night's run is killed as it reconciles.
    process = forked.start(nights.scheduler, config, clock, None, {first: "before summary.json"})
    nights.until(lambda: settled(config).get(first) == "DONE", 120)
    clock.set(datetime.fromisoformat(second) - timedelta(seconds=1))
    nights.until(lambda: settled(config).get(second) == "DONE", 120)
    process.terminate()
    assert forked.wait(process) == 0
    assert settled(config) == {first: "DONE", second: "DONE"}
    workspace = Workspace(str(load(config).workspace))
    runs = [read_state(workspace, run_id) for run_id in sorted(workspace.run_ids())]
    assert [(run.state, run.fire.isoformat(), run.keys) for run in runs] == [
        ("RECONCILED", first, 6),
        ("RECONCILED", second, 6),
    ]


def test_schedulers_that_are_killed_neither_miss_nor_double_a_run(shop, clock_at, settled):
    config = shop('{cron: "0 * * * *", catch_up: PT50M}')
    clock = clock_at(EVENING)
    wanted = hours(EVENING, 5)
    for fire in wanted[:3]:
        clock.set(datetime.fromisoformat(fire))
        process = forked.start(nights.scheduler, config, clock, 0.3)
        nights.until(lambda fire=fire: fire in marks(config))
        process.kill()  # while its run is under way
        process.join()
    process = forked.start(nights.scheduler, config, clock, 0.3)
    for fire in wanted[3:]:
        clock.set(datetime.fromisoformat(fire))
        nights.until(lambda fire=fire: settled(config).get(fire) == "DONE")
    process.terminate()
    assert forked.wait(process) == 0
    assert settled(config) == dict.fromkeys(wanted, "DONE")
    assert marks(config) == wanted


def test_two_schedulers_run_everything_once(shop, clock_at, settled):
    config = shop('{cron: "0 * * * *", catch_up: PT50M}')
    clock = clock_at(EVENING)
    both = [forked.start(nights.scheduler, config, clock, 0.2) for _ in range(2)]
    wanted = hours(EVENING, 4)
    for fire in wanted:
        clock.set(datetime.fromisoformat(fire))
        nights.until(lambda fire=fire: settled(config).get(fire) == "DONE")
    # A clock that is put back an hour calls for nothing again.
    clock.set(datetime.fromisoformat(wanted[2]))
    for process in both:
        process.terminate()
    assert [forked.wait(process) for process in both] == [0, 0]
    assert settled(config) == dict.fromkeys(wanted, "DONE")
    assert marks(config) == wanted


def test_after_downtime_the_latest_is_caught_up_and_the_rest_is_told(shop, clock_at, settled):
    config = shop('{cron: "0 * * * *", catch_up: PT59M, blackout: []}')
    clock = clock_at(EVENING + timedelta(hours=5, minutes=1))
    process = forked.start(nights.scheduler, config, clock, 0.01)
    wanted = hours(EVENING, 5)
    nights.until(lambda: settled(config).get(wanted[-1]) == "DONE")
    process.terminate()
    forked.wait(process)
    assert [settled(config)[fire] for fire in wanted] == ["SKIPPED"] * 4 + ["DONE"]
    assert marks(config) == wanted[-1:]


def test_a_window_that_ends_in_the_middle_of_the_capture_leaves_a_run_to_resume(shop, clock_at, settled):
    config = shop('{cron: "0 2 * * *", window: "01:00-05:00"}')
    at = "2026-03-03T02:00:00+00:00"
    clock = clock_at(datetime(2026, 3, 3, 4, 50, tzinfo=UTC))
    process = forked.start(nights.fire, config, "nightly", at, clock, 60)
    nights.until(lambda: marks(config) == [at])
    clock.set(datetime(2026, 3, 3, 5, tzinfo=UTC))
    assert forked.wait(process) == 5
    assert settled(config) == {at: "STOPPED"}
    workspace = Workspace(str(load(config).workspace))
    (run_id,) = workspace.run_ids()
    stopped = read_state(workspace, run_id)
    assert (stopped.state, stopped.step) == ("FAILED", "capture")
    assert stopped.error.startswith("stopped: the time of job nightly was up at 05:00 (UTC)")
    summary = lifecycle.run_job(load(config), "nightly", resume=True, clock=clock)
    assert (summary["run_id"], summary["pairs"]["storefront~erp"]["keys"]) == (run_id, 6)


def test_sigterm_ends_the_run_under_way_and_the_next_start_takes_it_up(shop, clock_at, settled):
    config = shop('{cron: "0 2 * * *", catch_up: PT3H}')
    at = "2026-03-03T02:00:00+00:00"
    clock = clock_at(datetime(2026, 3, 3, 2, tzinfo=UTC))
    process = forked.start(nights.scheduler, config, clock, 60)
    nights.until(lambda: marks(config) == [at])
    process.terminate()
    assert forked.wait(process) == 0
    assert settled(config) == {at: "CLAIMED"}
    again = forked.start(nights.scheduler, config, clock, 0.1)
    nights.until(lambda: settled(config) == {at: "DONE"})
    again.terminate()
    assert forked.wait(again) == 0
    assert len(Workspace(str(load(config).workspace)).run_ids()) == 1
