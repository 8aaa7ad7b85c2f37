"""The quiet hours of a shop, learnt from order lines that were captured twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs import run as running
from jobs.config import load
from jobs.init import init
from jobs.quiet_hours import quietest, suggest
from reconcilers.errors import ConfigError

BERLIN = ZoneInfo("Europe/Berlin")

#: A Monday; the summer time ends on Sunday the 25th.
MONDAY = datetime(2026, 10, 19, tzinfo=BERLIN)


@pytest.fixture
def shop(tmp_path):
    """A shop whose customers sleep from two to five, local time; on Sundays until seven."""
    init(tmp_path)
    path = tmp_path / "recon.yaml"
    text = path.read_text().replace("now: 2026-03-02T06:00:00Z", "now: 2026-11-02T06:00:00Z")
    path.write_text(text + '    schedule: {cron: "0 0 * * *", timezone: Europe/Berlin}\n')

    def order(days):
        export = next((tmp_path / "exports").glob("storefront-orders-*.csv"))
        rows = [export.read_text().splitlines()[0]]
        columns = rows[0].split(",")
        for day in range(days):
            for hour in range(24):
                at = MONDAY + timedelta(days=day, hours=hour, minutes=30)
                asleep = 2 <= at.hour < (7 if at.weekday() == 6 else 5)
                for number in range(0 if asleep else 3):
                    made = {"name": f"#{day}-{hour}-{number}", "sku": "TEAPOT", "quantity": "1"}
                    made["created_at"] = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                    rows.append(",".join(made.get(column, "") for column in columns))
        export.write_text("\n".join(rows) + "\n")
        config = load(path)
        running.snapshot(running.start(config, "snapshot"), ["storefront"])
        running.snapshot(running.start(config, "snapshot"), ["storefront"])
        return path

    return order


def test_it_proposes_the_hours_in_which_nobody_orders(shop, tmp_path):
    found = suggest(shop(14), "nightly", "PT2H", tmp_path / "chart.html")
    assert (found.cron, found.window, found.timezone) == ("15 2 * * *", "02:00-04:30", "Europe/Berlin")
    # Thirteen days of 24 hours or 21 and 19 awake, one hour of the Sunday of 25 is the second two o'clock.
    assert (found.days, found.total) == (14, 3 * (12 * 21 + 2 * 19))
    assert [found.lines[0][hour] for hour in (1, 2, 4, 5)] == [3, 0, 0, 3]
    assert [found.lines[6][hour] for hour in (1, 2, 6, 7)] == [3, 0, 0, 3]
    assert found.met(0) == 0
    assert found.document()["weekdays"]["Sunday"]["quietest_start"] in (3, 4)
    assert "15 2 * * *" in (tmp_path / "chart.html").read_text()
    assert "<script" not in (tmp_path / "chart.html").read_text()


def test_less_than_a_week_is_no_evidence(shop):
    with pytest.raises(ConfigError, match="orders of storefront span 3 days; seven"):
        suggest(shop(3), "nightly", "PT1H", None)


@pytest.mark.parametrize("duration", ["1h", "PT0S", "P2D"])
def test_a_duration_that_is_none(shop, tmp_path, duration):
    with pytest.raises(ConfigError, match="--duration"):
        suggest(tmp_path / "recon.yaml", "nightly", duration, None)


@given(st.lists(st.integers(0, 20), min_size=24, max_size=24), st.integers(1, 6))
def test_no_other_hour_meets_fewer_orders(day, hours):
    def met(start):
        quarters = [day[(start + (15 + minute) // 60) % 24] for minute in range(0, hours * 60, 15)]
        return sum(quarters)

    start = quietest((tuple(map(float, day)),), timedelta(hours=hours))
    assert met(start) == min(met(hour) for hour in range(24))
