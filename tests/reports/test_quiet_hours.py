"""The chart of a week's orders."""

from __future__ import annotations

from datetime import timedelta
from xml.etree import ElementTree

from reports.quiet_hours import bars, svg

#: Ten orders an hour by day, none from one to four, one at other hours of the night.
DAY = tuple(0.0 if 1 <= hour < 4 else 10.0 if 8 <= hour < 22 else 1.0 for hour in range(24))


def test_bars_mark_the_run():
    lines = bars((DAY,) * 7, 1, timedelta(hours=2)).splitlines()
    assert lines[1] == "Monday     ▁▁      ▁▁▁▁▁▁▁▁" + "██" * 14 + "▁▁▁▁  147 a day"
    assert lines[8] == "the run      ^^^^^^"


def test_the_chart_is_well_formed_with_a_cell_an_hour():
    root = ElementTree.fromstring(svg((DAY,) * 7, 1, timedelta(hours=2)))
    titles = [title.text for title in root.iter("title")]
    assert len(titles) == 7 * 24
    assert "Sunday 02:00, 0.0 order lines" in titles
    assert sum(rect.get("fill") == "none" for rect in root.iter("rect")) == 3
