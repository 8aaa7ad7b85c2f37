"""A correction of one number in one target, and what the target answered (DOMAIN 1.4, 1.6)."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from reconcilers.errors import ConfigError


class Mode(StrEnum):
    """How a target is told a number, the safest first.

    SET carries the value that it replaces, and a target that compares refuses it where that changed
    (compare-and-set). DELTA is added, and the target knows its key again. ABSOLUTE replaces whatever
    is there; it is sent only where a target offers nothing else, and read back.
    """

    SET = "set"
    DELTA = "delta"
    ABSOLUTE = "absolute"


class Status(StrEnum):
    """What became of a correction; the first two have not been sent."""

    PROPOSED = "PROPOSED"
    APPROVED = "APPROVED"
    SENT = "SENT"
    APPLIED = "APPLIED"
    STALE = "STALE"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    VERIFIED = "VERIFIED"
    ROLLED_BACK = "ROLLED_BACK"


@dataclass(frozen=True)
class Correction:
    """One number that a target should show.

    `sku` is what the target calls it, `location` the target's own. `value` is what it should show,
    `change_from` what it showed when that was computed, `delta` their difference, in base units. A
    resend of the same intent has the same `idempotency_key`; a recomputed one has another. `reference`
    points back to run and correction.
    """

    correction_id: str
    run_id: str
    pair: str
    target: str
    sku: str
    location: str
    basis: str
    mode: Mode
    value: Decimal
    change_from: Decimal | None
    delta: Decimal
    reason: str
    reference: str
    idempotency_key: str
    created_at: datetime
    expires_at: datetime | None = None


@dataclass(frozen=True)
class Receipt:
    """What a target answered to one correction.

    APPLIED: it shows the value now. SENT: it was handed over (a queue, a file), what becomes of it is seen
    later. STALE: it compares, and showed `observed` instead of `change_from`. REJECTED: it will not take
    this line, `message` says why. Whether a line whose answer never came was applied is not known: the
    sink raises `Unreachable`, and the batch is sent again with the same keys.
    """

    idempotency_key: str
    status: Status
    message: str = ""
    observed: Decimal | None = None


def key_of(correction_id: str, target: str, attempt: int) -> str:
    """The idempotency key of one attempt: the same number again has the same key, another number another.

    Attempt 1 is what the kernel proposes (`sql/breaks.sql`).
    """
    return hashlib.sha256("\x1f".join((correction_id, target, str(attempt))).encode()).hexdigest()


def safest(modes: Collection[Mode]) -> Mode:
    """The safest mode of those that a target offers. Raises `ConfigError` where it offers none."""
    for mode in Mode:
        if mode in modes:
            return mode
    raise ConfigError("the target offers no way to be corrected")


@dataclass(frozen=True)
class Fresh:
    """What a target shows on a second look, and what its own orders explain of the change.

    `observed` is the number now, `seen` the one that the run saw, `moved` the sum of the target's own
    events in between; None where nobody can tell.
    """

    observed: Decimal
    seen: Decimal
    moved: Decimal | None


@dataclass(frozen=True)
class Recomputed:
    """What to send instead of a stale correction; `value` is None where nothing may be sent."""

    value: Decimal | None
    message: str


def recompute(value: Decimal, change_from: Decimal, fresh: Fresh, *, never_below_zero: bool) -> Recomputed:
    """A new number for a target that moved between the read and the write (DOMAIN 2.4).

    The fault is still what it was, so the intended change still holds, on top of what sold meanwhile:
    if orders explain what the target shows now, the new value is as far from it as the old one was from
    `change_from`. What orders do not explain was changed by somebody else, and is nobody's to guess.
    """
    shows = f"shows {_plain(fresh.observed)}"
    if fresh.observed == value:
        return Recomputed(None, f"{shows} already")
    if fresh.moved is None:
        return Recomputed(None, f"{shows}, not {_plain(change_from)}, and no feed of orders says why")
    if fresh.seen + fresh.moved != fresh.observed:
        explained = _plain(fresh.seen + fresh.moved)
        return Recomputed(None, f"{shows}, but {_plain(fresh.seen)} and the orders since make {explained}")
    moved = value + fresh.observed - change_from
    return Recomputed(max(Decimal(0), moved) if never_below_zero else moved, f"recomputed: {shows}")


def _plain(value: Decimal) -> str:
    return f"{value.normalize():f}"
