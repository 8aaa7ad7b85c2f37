"""When a job is to run: cron in a merchant's time zone, windows, blackout dates, jitter; nothing but time.

Both nights on which the clocks change are as in Debian's cron (through cronsim): a run at 02:30 takes
place once, at 03:00 where there is no 02:30, and at the first of two.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError


@dataclass(frozen=True)
class Hours:
    """A daily window of local time, `begin` inside, `end` not; it may go past midnight."""

    begin: time
    end: time

    @staticmethod
    def parse(text: str) -> Hours:
        """Such as `22:00-04:00`."""
        begin, _, end = text.partition("-")
        return Hours(time.fromisoformat(begin), time.fromisoformat(end))

    def __str__(self) -> str:
        return f"{self.begin:%H:%M}-{self.end:%H:%M}"

    def __contains__(self, moment: time) -> bool:
        if self.begin < self.end:
            return self.begin <= moment < self.end
        return moment >= self.begin or moment < self.end

    def ends_after(self, local: datetime) -> datetime:
        """The end, on the local clock, of the window that `local` is in."""
        day = local.date() + timedelta(days=1 if local.time() >= self.end else 0)
        return datetime.combine(day, self.end, local.tzinfo)


@dataclass(frozen=True)
class Fire:
    """A run that a schedule calls for: when, from when on (jitter), and until when.

    `skip` says why it does not take place, `outside` whether that is for its window.
    """

    job: str
    at: datetime
    start: datetime
    deadline: datetime | None
    latest_start: datetime
    longest: timedelta | None
    skip: str | None = None
    outside: bool = False


@dataclass(frozen=True)
class Timetable:
    """The schedule of one job."""

    job: str
    cron: str
    timezone: str
    window: Hours | None = None
    blackout: frozenset[date] = frozenset()
    jitter: timedelta = timedelta(0)
    catch_up: timedelta = timedelta(hours=1)
    max_duration: timedelta | None = None

    @property
    def zone(self) -> ZoneInfo:
        """The time zone."""
        return ZoneInfo(self.timezone)

    def fires(self, after: datetime) -> Iterator[Fire]:
        """The fires after an instant in their order, those included that are skipped."""
        for local in CronSim(self.cron, after.astimezone(self.zone)):
            if local.astimezone(UTC) > after:
                yield self._fire(local)

    def fire_at(self, at: datetime) -> Fire | None:
        """The fire of exactly that instant; None where the schedule has none."""
        first = next(self.fires(at - timedelta(seconds=1)), None)
        return first if first is not None and first.at == at.astimezone(UTC) else None

    def _fire(self, local: datetime) -> Fire:
        at = local.astimezone(UTC)
        start = at + self.jitter * _share(self.job, at)
        moved = _skipped_hour(local)
        end = self._window_end(local, moved)
        ends = [each for each in (end, start + self.max_duration if self.max_duration else None) if each is not None]
        outside = self.window is not None and end is None
        skip = None
        if local.date() in self.blackout:
            skip = f"{local.date()} is a blackout date"
        elif outside:
            skip = f"outside of the window {self.window}"
        longest = [each for each in (self.max_duration, end - at if end else None) if each is not None]
        return Fire(
            self.job,
            at,
            start,
            min(ends, default=None),
            start + self.catch_up,
            min(longest) + self.jitter if longest else None,
            skip,
            outside,
        )

    def _window_end(self, local: datetime, moved: bool) -> datetime | None:
        """When the window of a fire is over; None where it is in none.

        A fire that the clocks moved out of an hour that was skipped is in its window if that hour was, and
        has as long as it would have had.
        """
        if self.window is None:
            return None
        if local.time() in self.window:
            return self.window.ends_after(local).astimezone(UTC)
        wall = local.replace(tzinfo=None) - timedelta(seconds=1)
        if moved and wall.time() in self.window:
            before = CronSim(self.cron, wall.replace(hour=wall.hour, minute=0, second=0) - timedelta(seconds=1))
            meant = next(before)
            left = self.window.ends_after(meant) - meant
            return local.astimezone(UTC) + left
        return None


def never(cron: str) -> str | None:
    """Why a cron line cannot be used, or would never fire; None where it is fine."""
    try:
        fires = CronSim(cron, datetime(2024, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        fields = cron.split()
        days = error.args[0] == "Bad day-of-month" and _is_valid_day(fields[2])
        return "never fires: no such day in such a month" if days else f"is no cron line: {str(error).lower()}"
    return None if next(fires, None) is not None else "never fires"


def upcoming(timetable: Timetable, after: datetime, count: int) -> list[Fire]:
    """The next fires, at most so many, skipped ones included."""
    return list(islice(timetable.fires(after), count))


def _is_valid_day(field: str) -> bool:
    """Whether a day of the month is one in some month."""
    try:
        CronSim(f"0 0 {field} 1 *", datetime(2024, 1, 1, tzinfo=UTC))
    except CronSimError:
        return False
    return True


def _share(job: str, at: datetime) -> float:
    """From 0 to 1, always the same for a fire: a service that restarts keeps to its jitter."""
    digest = hashlib.sha256(f"{job} {at.isoformat()}".encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32


def _skipped_hour(local: datetime) -> bool:
    """Whether the clocks were put forward to exactly this moment."""
    before = (local.astimezone(UTC) - timedelta(seconds=1)).astimezone(local.tzinfo)
    return local.utcoffset() != before.utcoffset() and local.replace(tzinfo=None) - before.replace(
        tzinfo=None
    ) > timedelta(seconds=1)
