"""`recon schedule suggest`: when do customers order least? Learnt from the orders that were captured.

Evidence are the order lines placed, by weekday and hour of the merchant's local time. The proposal is
the start, the same every day, from which a run of the given length meets the fewest of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from jobs import plan
from jobs.config import Config, load
from jobs.workspace import Workspace
from pipelines import filesystem, snapshots
from pipelines.snapshots import Snapshot
from reconcilers.durations import format_duration, parse_duration
from reconcilers.errors import ConfigError
from reports import quiet_hours as chart

#: A start may be at so many minutes past the hour; off the full hour, when everybody's jobs begin.
_PAST = 15

_COLUMNS = ["kind", "ref", "sku", "location", "posted_at"]


@dataclass(frozen=True)
class Suggestion:
    """The quiet hours of a job, and the evidence.

    `lines[weekday][hour]` are order lines placed a day on average, Monday first.
    """

    job: str
    timezone: str
    systems: tuple[str, ...]
    days: int
    total: int
    lines: tuple[tuple[float, ...], ...]
    start: int
    duration: timedelta
    chart: str | None = None

    @property
    def cron(self) -> str:
        """The proposed cron line."""
        return f"{_PAST} {self.start} * * *"

    @property
    def window(self) -> str:
        """The proposed window: the run, and a quarter of an hour before and after."""
        end = timedelta(hours=self.start, minutes=2 * _PAST) + self.duration
        hours, minutes = divmod(int(end.total_seconds()) // 60, 60)
        return f"{self.start:02d}:00-{hours % 24:02d}:{minutes:02d}"

    def met(self, weekday: int) -> float:
        """Order lines that a run meets on this weekday, on average."""
        return _met(self.lines[weekday], self.start, self.duration)

    def document(self) -> dict[str, Any]:
        """The suggestion as data."""
        return {
            "job": self.job,
            "timezone": self.timezone,
            "systems": self.systems,
            "days": self.days,
            "order_lines": self.total,
            "cron": self.cron,
            "window": self.window,
            "weekdays": {
                name: {
                    "quietest_start": quietest(self.lines[day : day + 1], self.duration),
                    "met_by_the_run": round(self.met(day), 2),
                    "a_day": round(sum(self.lines[day]), 2),
                    "by_hour": [round(each, 2) for each in self.lines[day]],
                }
                for day, name in enumerate(chart.WEEKDAYS)
            },
            "chart": self.chart,
        }

    def text(self) -> str:
        """The evidence as bars, and what to write into the configuration."""
        share = sum(self.met(day) for day in range(7)) / (sum(map(sum, self.lines)) or 1)
        lines = [
            f"{self.total:,} order lines of {', '.join(self.systems)} on {self.days} days, {self.timezone}",
            "",
            chart.bars(self.lines, self.start, self.duration),
            "",
            f"A run of {format_duration(self.duration)} from {self.start:02d}:{_PAST} meets {share:.1%} of the orders.",
            "",
            "schedule:",
            f'  cron: "{self.cron}"',
            f"  timezone: {self.timezone}",
            f'  window: "{self.window}"',
        ]
        return "\n".join([*lines, *(["", f"chart: {self.chart}"] if self.chart else [])])


def suggest(path: Path, job: str, duration: str, output: Path | None) -> Suggestion:
    """Learn the quiet hours of a job from every stored snapshot of its targets' events.

    Raises:
        ConfigError: no orders were captured, or of fewer than seven days.
    """
    config = load(path)
    length = _length(duration)
    systems = tuple(dict.fromkeys(pair.split("~")[0] for pair in config.job(job).pairs))
    zone = _zone(config, job, systems)
    counts, days = _placed(config, systems, zone)
    if not all(days):
        raise ConfigError(
            f"orders of {', '.join(systems)} span {sum(days)} days; seven, one of each weekday, are the least "
            f"(`recon snapshot {systems[0]}` captures them)"
        )
    lines = tuple(tuple(count / days[day] for count in counts[day]) for day in range(7))
    start = quietest(lines, length)
    place = None if output is None else str(output)
    found = Suggestion(job, zone, systems, sum(days), sum(map(sum, counts)), lines, start, length, place)
    if output is not None:
        filesystem.write_atomic(str(output), chart.html(found.document(), lines, start, length).encode())
    return found


def quietest(lines: tuple[tuple[float, ...], ...], duration: timedelta) -> int:
    """The hour from which a run meets the fewest orders; of several, the middle of the longest quiet spell."""
    met = [round(sum(_met(day, hour, duration) for day in lines), 9) for hour in range(24)]
    best = [hour for hour in range(24) if met[hour] == min(met)]
    spells: list[list[int]] = []
    for hour in best:
        if spells and spells[-1][-1] == hour - 1:
            spells[-1].append(hour)
        else:
            spells.append([hour])
    if len(spells) > 1 and spells[0][0] == 0 and spells[-1][-1] == 23:
        spells[0] = spells.pop() + spells[0]
    longest = max(spells, key=len)
    return longest[(len(longest) - 1) // 2]


def _met(day: tuple[float, ...], start: int, duration: timedelta) -> float:
    """Orders between the start and the end of a run, those of an hour spread evenly over it."""
    begin = start + _PAST / 60
    end = begin + duration / timedelta(hours=1)
    hours = range(start, int(end) + 1)
    return sum(day[hour % 24] * max(0.0, min(end, hour + 1) - max(begin, hour)) for hour in hours)


def _placed(config: Config, systems: tuple[str, ...], zone: str) -> tuple[list[list[int]], list[int]]:
    """Order lines by weekday and hour, and how many of each weekday their dates span."""
    lines = [[0] * 24 for _ in range(7)]
    dates: set[date] = set()
    workspace = Workspace(str(config.workspace))
    for system in systems:
        for dataset in plan.dataset_names(config.system(system)):
            if dataset != "stock":
                for table in _by_hour(snapshots.list_snapshots(workspace.root, system, dataset), zone):
                    for row in table.to_pylist():
                        lines[row["weekday"]][row["hour"]] += row["lines"]
                        dates.add(row["date"])
    span = (max(dates) - min(dates)).days + 1 if dates else 0
    spanned = [(min(dates) + timedelta(days=day)).weekday() for day in range(span)]
    return lines, [spanned.count(day) for day in range(7)]


def _by_hour(found: list[Snapshot], zone: str) -> Any:
    """Tables `weekday, hour, date, lines`, one a bucket: a line that several snapshots have counts once.

    All rows of a SKU are in one bucket, so that a bucket alone knows which of its lines are the same.
    """
    if not found:
        return
    of = max(snapshot.manifest.buckets for snapshot in found)
    for bucket in range(of):
        rows = pa.concat_tables([snapshot.read_bucket(bucket, of, _COLUMNS) for snapshot in found])
        placed = rows.filter(pc.equal(rows["kind"].cast(pa.string()), "PLACE")).drop_columns(["kind"])
        if not len(placed):
            continue
        names = ["ref", "sku", "location", "posted_at"]
        once = placed.unify_dictionaries().group_by(names).aggregate([])
        local = pc.local_timestamp(
            once["posted_at"].cast(pa.timestamp("us", tz="UTC")).cast(pa.timestamp("us", tz=zone))
        )
        hours = pa.table({"weekday": pc.day_of_week(local), "hour": pc.hour(local), "date": local.cast(pa.date32())})
        yield (
            hours.group_by(["weekday", "hour", "date"])
            .aggregate([([], "count_all")])
            .rename_columns(["weekday", "hour", "date", "lines"])
        )


def _length(text: str) -> timedelta:
    try:
        length = parse_duration(text)
    except ValueError as error:
        raise ConfigError(f"--duration: {error}") from error
    if not timedelta(0) < length <= timedelta(hours=12):
        raise ConfigError(f"--duration {text}: longer than nothing, at most PT12H")
    return length


def _zone(config: Config, job: str, systems: tuple[str, ...]) -> str:
    """Of the schedule, if the job has one already; else of the system that customers order from."""
    schedule = config.job(job).schedule
    return schedule.timezone if schedule is not None else config.system(systems[0]).timezone
