"""A correction of one number in one target, and what the target answered (DOMAIN 1.4, 1.6)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum


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

    `sku` and `location` are canonical. `value` is what it should show, `change_from` what it showed when
    that was computed, `delta` their difference, in base units. A resend of the same intent has the same
    `idempotency_key`; a recomputed one has another. `reference` points back to run and correction.
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
