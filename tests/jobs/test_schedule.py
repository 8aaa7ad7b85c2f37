"""When jobs run: cron, zones, both nights of the clocks, windows, blackout dates, jitter; bad schedules."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.config import load
from jobs.init import init
from jobs.schedule import Hours, Timetable
from reconcilers.errors import ConfigError

BERLIN = ZoneInfo("Europe/Berlin")


def timetable(cron="30 2 * * *", window=None, **options):
    return Timetable("nightly", cron, "Europe/Berlin", window and Hours.parse(window), **options)


def local(fire):
    return fire.at.astimezone(BERLIN).isoformat()


@pytest.mark.parametrize(
    ("night", "at"),
    [(date(2026, 3, 29), "2026-03-29T03:00:00+02:00"), (date(2026, 10, 25), "2026-10-25T02:30:00+02:00")],
)  # fmt: skip
@pytest.mark.parametrize("window", [None, "01:00-05:00", "22:00-04:00", "02:00-03:00"])
def test_half_past_two_comes_once_in_both_nights(night, at, window):
    before = datetime.combine(night - timedelta(days=1), datetime.min.time(), UTC)
    found = [fire for fire in islice(timetable(window=window).fires(before), 4) if fire.at.date() == night]
    assert [(local(fire), fire.skip) for fire in found] == [(at, None)]
    # Half an hour, or what the window has left: never nothing.
    assert found[0].deadline is None or found[0].deadline - found[0].at >= timedelta(minutes=30)


@given(
    st.integers(0, 59), st.integers(0, 23), st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"]),
)  # fmt: skip
def test_a_time_of_day_comes_once_on_every_day(minute, hour, begin, zone):
    table = Timetable("j", f"{minute} {hour} * * *", zone)
    dates = [fire.at.astimezone(ZoneInfo(zone)).date() for fire in islice(table.fires(begin.replace(tzinfo=UTC)), 400)]
    assert dates == [dates[0] + timedelta(days=day) for day in range(400)]


@given(st.datetimes(datetime(2025, 1, 1), datetime(2027, 1, 1)), st.timedeltas(timedelta(0), timedelta(hours=2)))
def test_jitter_stays_within_its_bound_and_is_the_same_again(begin, jitter):
    first, again = (next(timetable(jitter=jitter).fires(begin.replace(tzinfo=UTC))) for _ in range(2))
    assert first == again
    assert timedelta(0) <= first.start - first.at <= jitter


@given(st.datetimes(datetime(2025, 1, 1), datetime(2027, 1, 1)), st.sampled_from(["30 2 * * *", "*/20 1-3 * * *"]))
def test_a_fire_is_found_by_its_instant(begin, cron):
    table = timetable(cron)
    for fire in islice(table.fires(begin.replace(tzinfo=UTC)), 5):
        assert table.fire_at(fire.at) == fire
        assert table.fire_at(fire.at + timedelta(seconds=1)) is None


def test_windows_blackouts_and_durations():
    table = timetable(
        "0 */6 * * *", "22:00-04:00", blackout=frozenset([date(2026, 11, 27)]), max_duration=timedelta(hours=5)
    )
    fires = list(islice(table.fires(datetime(2026, 11, 25, 22, tzinfo=UTC)), 6))
    assert [(local(fire)[:16], fire.skip) for fire in fires] == [
        ("2026-11-26T00:00", None),
        ("2026-11-26T06:00", "outside of the window 22:00-04:00"),
        ("2026-11-26T12:00", "outside of the window 22:00-04:00"),
        ("2026-11-26T18:00", "outside of the window 22:00-04:00"),
        ("2026-11-27T00:00", "2026-11-27 is a blackout date"),
        ("2026-11-27T06:00", "2026-11-27 is a blackout date"),
    ]
    assert fires[0].deadline.astimezone(BERLIN).isoformat() == "2026-11-26T04:00:00+01:00"


@pytest.fixture
def problems(tmp_path, monkeypatch):
    init(tmp_path)
    monkeypatch.chdir(tmp_path)
    path = Path("recon.yaml")

    def told(*schedules):
        jobs = "".join(f"  j{n}:\n    pairs: [storefront~erp]\n    schedule: {s}\n" for n, s in enumerate(schedules))
        path.write_text(path.read_text().split("jobs:\n")[0] + "jobs:\n" + jobs)
        with pytest.raises(ConfigError) as found:
            load(path)
        return [problem.partition(": ")[2] for problem in found.value.problems]

    return told


BAD = {
    '{cron: "0 2 30 2 *"}': "schedule.cron: '0 2 30 2 *' never fires: no such day in such a month",
    '{cron: "61 2 * * *"}': "schedule.cron: '61 2 * * *' is no cron line: bad minute",
    '{cron: "15 2 * * *", window: "03:00-05:00"}': (
        "schedule.window: no run fits in: '15 2 * * *' fires at 02:15, outside of 03:00-05:00"
    ),
    '{cron: "15 2 * * *", window: "03:00-03:00"}': "schedule.window: '03:00-03:00' is empty: no run fits in",
    '{cron: "15 2 * * *", max_duration: PT0S}': "schedule.max_duration: is no time at all: no run fits in",
    '{cron: "15 2 * * *", window: "02:00-03:00", jitter: PT1H}': (
        "schedule.jitter: PT1H reaches beyond the end of the window"
    ),
    '{cron: "15 2 * * *", timezone: Europe/Berlim}': (
        "schedule.timezone: 'Europe/Berlim' is not a time zone; did you mean 'Europe/Berlin'?"
    ),
    '{cron: "15 2 * * *", blackout: [2026-02-30]}': (
        "schedule.blackout: '2026-02-30' is not a date such as 2026-11-27, or a range 2026-11-23..2026-11-30"
    ),
    '{cron: "15 2 * * *", blackout: ["2026-12-01..2026-11-01"]}': (
        "schedule.blackout: '2026-12-01..2026-11-01' ends before it begins"
    ),
    '{cron: "15 2 * * *", blackout: ["2020-01-01..2040-01-01"]}': (
        "schedule.cron: '15 2 * * *' never fires outside of blackout dates"
    ),
}


@pytest.mark.parametrize("schedule", BAD)
def test_a_schedule_that_cannot_be_kept_is_refused_with_its_place(problems, schedule):
    assert problems(schedule) == [f"jobs.j0.{BAD[schedule]}"]


def test_a_calendar_file_names_the_line_that_is_wrong(problems):
    Path("peaks.txt").write_text("# peak days\n2026-11-27 Black Friday\n\n2026-11-31 no such day\n")
    (told,) = problems('{cron: "15 2 * * *", calendar: peaks.txt}')
    assert told.startswith("jobs.j0.schedule.calendar: ")
    assert "peaks.txt:4: '2026-11-31' is not a date" in told


def test_a_calendar_file_blacks_its_dates_out(tmp_path):
    init(tmp_path)
    (tmp_path / "peaks.txt").write_text("2026-11-27..2026-11-30 Black Friday to Cyber Monday\n2026-12-24 # closed\n")
    path = tmp_path / "recon.yaml"
    path.write_text(
        path.read_text() + '    schedule: {cron: "15 2 * * *", timezone: Europe/Berlin, calendar: peaks.txt}\n'
    )
    table = load(path).job("nightly").schedule.timetable("nightly")
    fires = islice(table.fires(datetime(2026, 11, 25, tzinfo=UTC)), 32)
    assert [fire.at.day for fire in fires if fire.skip] == [27, 28, 29, 30, 24]


def test_jobs_at_one_pair_at_the_same_time_are_refused(problems):
    (told,) = problems('{cron: "15 2 * * *"}', '{cron: "*/15 * * * *"}')
    assert told.startswith("jobs.j1.schedule: is at storefront~erp at the same time as job 'j0', first on ")
    (told,) = problems('{cron: "15 2 * * *", max_duration: PT2H}', '{cron: "0 4 * * *"}')
    assert "at the same time" in told


def test_jobs_one_after_the_other_are_fine(tmp_path):
    init(tmp_path)
    path = tmp_path / "recon.yaml"
    late = '  late:\n    pairs: [storefront~erp]\n    schedule: {cron: "15 4 * * *"}\n'
    path.write_text(path.read_text() + '    schedule: {cron: "15 2 * * *", max_duration: PT2H}\n' + late)
    assert set(load(path).jobs) == {"nightly", "late"}
