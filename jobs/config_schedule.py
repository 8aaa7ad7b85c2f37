"""The section `schedule` of a job: when it runs, when it must not, and when it has to be done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, ValidationInfo, field_validator, model_validator

from jobs.config_text import kind_of
from jobs.config_values import Cron, Duration, File, Strict, TimeZone, Window, listed, wrong, wrong_at
from jobs.schedule import Fire, Hours, Timetable, never
from reconcilers.durations import format_duration

#: How far ahead a schedule is tried out before it is believed: time, and fires.
_AHEAD = timedelta(days=400)
_FIRES = 500


def _dates(value: Any) -> tuple[date, ...]:
    """A date, or the dates of a range such as `2026-11-23..2026-11-30`."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return (value,)
    first, _, last = str(value).partition("..")
    try:
        begin = date.fromisoformat(first.strip())
        end = date.fromisoformat(last.strip()) if last else begin
    except ValueError as error:
        raise wrong(f"{kind_of(value)} is not a date such as 2026-11-27, or a range 2026-11-23..2026-11-30") from error
    if end < begin:
        raise wrong(f"{kind_of(value)} ends before it begins")
    return tuple(begin + timedelta(days=days) for days in range((end - begin).days + 1))


def _calendar(path: Path) -> tuple[date, ...]:
    """The dates of a calendar file: one date or range a line, a reason behind it, `#` begins a comment."""
    found: list[date] = []
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise wrong(f"{path}: cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split(maxsplit=1)
        if words:
            try:
                found += _dates(words[0])
            except Exception as error:
                raise wrong(f"{path}:{number}: {error}") from error
    return tuple(found)


class Schedule(Strict):
    """When a job runs: cron in a time zone, only inside a window, never on a blackout date.

    `jitter` spreads the starts of several installations, `catch_up` is how late a missed run may still
    begin, `max_duration` ends a run that takes longer.
    """

    cron: Cron
    timezone: TimeZone = "UTC"
    window: Window | None = None
    blackout: Annotated[tuple[Any, ...], BeforeValidator(listed)] = ()
    calendar: File | None = None
    jitter: Duration = timedelta(0)
    catch_up: Duration = timedelta(hours=1)
    max_duration: Duration | None = None

    @field_validator("cron")
    @classmethod
    def _fires(cls, cron: str) -> str:
        why = never(cron)
        if why is not None:
            raise wrong(f"{cron!r} {why}")
        return cron

    @field_validator("window")
    @classmethod
    def _wide(cls, window: str | None) -> str | None:
        if window is not None and len(set(window.split("-"))) == 1:
            raise wrong(f"{window!r} is empty: no run fits in")
        return window

    @field_validator("blackout")
    @classmethod
    def _days(cls, blackout: tuple[Any, ...]) -> tuple[date, ...]:
        return tuple(each for value in blackout for each in _dates(value))

    @field_validator("calendar")
    @classmethod
    def _peaks(cls, calendar: Path | None, _: ValidationInfo) -> Path | None:
        if calendar is not None:
            _calendar(calendar)
        return calendar

    @model_validator(mode="after")
    def _fits(self) -> Self:
        """Whether any run would ever take place."""
        if self.max_duration is not None and not self.max_duration:
            raise wrong_at({"max_duration": "is no time at all: no run fits in"})
        fires = list(islice(self.timetable("").fires(datetime.now(UTC)), 60))
        if self.window is not None and all(fire.outside for fire in fires):
            at = fires[0].at.astimezone(self.timetable("").zone).strftime("%H:%M")
            raise wrong_at({"window": f"no run fits in: {self.cron!r} fires at {at}, outside of {self.window}"})
        if fires and all(fire.skip for fire in fires):
            raise wrong_at({"cron": f"{self.cron!r} never fires outside of blackout dates"})
        short = [fire for fire in fires if fire.deadline and not fire.skip and fire.at + self.jitter >= fire.deadline]
        if self.jitter and short:
            raise wrong_at({"jitter": f"{format_duration(self.jitter)} reaches beyond the end of the window"})
        return self

    @property
    def dates(self) -> frozenset[date]:
        """The blackout dates, those of the calendar file included."""
        return frozenset(self.blackout + (() if self.calendar is None else _calendar(self.calendar)))

    def timetable(self, job: str) -> Timetable:
        """The schedule of a job as something that tells instants."""
        hours = None if self.window is None else Hours.parse(self.window)
        return Timetable(
            job, self.cron, self.timezone, hours, self.dates, self.jitter, self.catch_up, self.max_duration
        )


def overlaps(schedules: Mapping[str, Schedule], pairs: Mapping[str, tuple[str, ...]]) -> Iterator[tuple[str, str]]:
    """Jobs that would be at one pair at the same time, as `(job, why)`."""
    names = list(schedules)
    begin = datetime.now(UTC)
    fires = {name: _ahead(schedules[name].timetable(name), begin) for name in names}
    for number, one in enumerate(names):
        for other in names[:number]:
            shared = [pair for pair in pairs[one] if pair in pairs[other]]
            at = _clash(fires[one], fires[other]) if shared else None
            if at is not None:
                shown = at.astimezone(schedules[one].timetable(one).zone).strftime("%Y-%m-%d %H:%M %Z")
                yield one, f"is at {shared[0]} at the same time as job {other!r}, first on {shown}"


def _ahead(timetable: Timetable, begin: datetime) -> list[Fire]:
    fires = islice(timetable.fires(begin), _FIRES)
    return [fire for fire in fires if not fire.skip and fire.at < begin + _AHEAD]


def _clash(one: list[Fire], other: list[Fire]) -> datetime | None:
    """The first instant at which a run of both may be under way."""
    spans = sorted((fire.at, _end(fire), number) for number, fires in enumerate((one, other)) for fire in fires)
    for before, after in pairwise(spans):
        if before[2] != after[2] and after[0] < before[1]:
            return after[0]
    return None


def _end(fire: Fire) -> datetime:
    """When a run is over for sure; without a maximum duration, all that is known is that it has begun."""
    return fire.at + (fire.longest or timedelta(minutes=1))
