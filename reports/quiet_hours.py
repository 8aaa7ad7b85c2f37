"""The orders of a week by weekday and hour, as bars for a terminal and as a chart in one HTML file."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from html import escape
from typing import Any

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

Lines = tuple[tuple[float, ...], ...]

_BLOCKS = " ▁▂▃▄▅▆▇█"
_CELL, _LEFT, _TOP = 26, 96, 28

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Quiet hours of {job}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #1b1f24; }}
svg {{ max-width: 100%; height: auto; }} text {{ font: 12px system-ui, sans-serif; fill: #57606a; }}
pre {{ background: #f3f4f6; padding: 1rem; border-radius: 6px; }}
</style></head><body>
<h1>Quiet hours of {job}</h1>
<p>{total:,} order lines of {systems} on {days} days, by local hour ({timezone}). The darker a cell, the more
orders; the outline is the proposed run.</p>
{svg}
<pre>schedule:
  cron: "{cron}"
  timezone: {timezone}
  window: "{window}"</pre>
</body></html>
"""


def bars(lines: Lines, start: int, duration: timedelta) -> str:
    """A row of 24 bars a weekday, high where there are many orders, and a line below that marks the run."""
    most = max(max(day) for day in lines) or 1
    rows = [f"{'':10} {''.join(f'{hour:<6}' for hour in range(0, 24, 3))}"]
    for name, day in zip(WEEKDAYS, lines, strict=True):
        rows.append(f"{name:10} {''.join(_bar(each, most) * 2 for each in day)}  {sum(day):,.0f} a day")
    marks = _hours(start, duration)
    rows.append(f"{'the run':10} {''.join('^^' if hour in marks else '  ' for hour in range(24))}".rstrip())
    return "\n".join(rows)


def html(document: Mapping[str, Any], lines: Lines, start: int, duration: timedelta) -> str:
    """One self-contained page: the chart, and the lines for the configuration."""
    words = {name: escape(str(document[name])) for name in ("job", "timezone", "cron", "window")}
    return _PAGE.format(
        **words,
        total=document["order_lines"],
        days=document["days"],
        systems=escape(", ".join(document["systems"])),
        svg=svg(lines, start, duration),
    )


def svg(lines: Lines, start: int, duration: timedelta) -> str:
    """A grid of weekdays and hours; each cell says its number when pointed at."""
    most = max(max(day) for day in lines) or 1
    width, height = _LEFT + 24 * _CELL + 4, _TOP + 7 * _CELL + 4
    cells = [f'<text x="{_LEFT + hour * _CELL}" y="{_TOP - 10}">{hour:02d}</text>' for hour in range(0, 24, 3)]
    for row, (name, day) in enumerate(zip(WEEKDAYS, lines, strict=True)):
        y = _TOP + row * _CELL
        cells.append(f'<text x="{_LEFT - 10}" y="{y + 17}" text-anchor="end">{name}</text>')
        cells += [
            f'<rect x="{_LEFT + hour * _CELL}" y="{y}" width="{_CELL - 2}" height="{_CELL - 2}" rx="3" '
            f'fill="hsl(212 70% {97 - 62 * each / most:.0f}%)">'
            f"<title>{name} {hour:02d}:00, {each:,.1f} order lines</title></rect>"
            for hour, each in enumerate(day)
        ]
    cells += [
        f'<rect x="{_LEFT + hour * _CELL - 2}" y="{_TOP - 3}" width="{_CELL + 2}" height="{7 * _CELL + 4}" '
        'fill="none" stroke="#1a7f37" stroke-width="2"/>'
        for hour in _hours(start, duration)
    ]
    label = "Order lines by weekday and hour"
    return f'<svg viewBox="0 0 {width} {height}" width="{width}" role="img" aria-label="{label}">{"".join(cells)}</svg>'


def _bar(value: float, most: float) -> str:
    """A block of eight heights; anything at all is seen."""
    return _BLOCKS[0 if value <= 0 else max(1, round(value / most * 8))]


def _hours(start: int, duration: timedelta) -> list[int]:
    """The hours of the day that a run from a quarter past touches."""
    end = start * 60 + 15 + duration.total_seconds() / 60
    return [hour % 24 for hour in range(start, start + 25) if hour * 60 < end]
