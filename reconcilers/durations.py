"""ISO 8601 durations, as far as they mean a fixed length of time."""

from __future__ import annotations

import re
from datetime import timedelta

_PATTERN = re.compile(
    r"P(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+)S)?)?"
)


def parse_duration(text: str) -> timedelta:
    """`P1D`, `PT4H`, `P1DT12H`, `P2W`: weeks, days, hours, minutes and seconds.

    Raises:
        ValueError: anything else; months and years have no fixed length.
    """
    match = _PATTERN.fullmatch(text)
    if match is None or text.endswith(("P", "T")):
        raise ValueError(f"{text!r} is not an ISO 8601 duration such as P1D or PT4H")
    return timedelta(**{unit: int(value) for unit, value in match.groupdict(default="0").items()})


def format_duration(value: timedelta) -> str:
    """The shortest ISO 8601 text of a duration (`PT0S` for none)."""
    hours, rest = divmod(value.seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    days = f"{value.days}D" if value.days else ""
    parts = ((hours, "H"), (minutes, "M"), (seconds, "S"))
    time = "".join(f"{amount}{unit}" for amount, unit in parts if amount)
    return f"P{days}{'T' + time if time else ''}" if days or time else "PT0S"
