"""The clock that a service lives by: the present, and a wait that can be cut short."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the time, and waits for it to pass."""

    def now(self) -> datetime:
        """The present, in UTC."""
        ...

    def wait(self, until: threading.Event, seconds: float) -> bool:
        """Wait so many seconds, or until the event is set; returns whether it is."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """The present, in UTC."""
        return datetime.now(UTC)

    def wait(self, until: threading.Event, seconds: float) -> bool:
        """Wait so many seconds, or until the event is set; returns whether it is."""
        return until.wait(seconds)


SYSTEM = SystemClock()
