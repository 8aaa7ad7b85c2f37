"""Which corrections somebody has to approve, and who may: a policy, applied to tables (DOMAIN 2.4)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from reconcilers.errors import Refused


@dataclass(frozen=True)
class Policy:
    """From where on a correction needs a second pair of eyes; None and empty: never for that.

    `units` and `value` bound |delta| and |delta| · price of one correction; a correction without a known
    price needs approval wherever `value` is set. With `four_eyes` the approver is not the proposer.
    """

    units: Decimal | None = None
    value: Decimal | None = None
    reasons: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    four_eyes: bool = True
    name: str = "default"

    @property
    def version(self) -> str:
        """The policy's name with a checksum of its rules, so that a record says what was in force."""
        text = json.dumps(asdict(self), sort_keys=True, default=str)
        return f"{self.name}@{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    def check_approver(self, proposed_by: str, approved_by: str) -> None:
        """Raise `Refused` where proposer and approver are the same person and may not be."""
        if self.four_eyes and proposed_by.casefold() == approved_by.casefold():
            raise Refused(f"{approved_by!r} proposed it; the policy {self.version} wants another person to approve")


def why(corrections: pa.Table, policy: Policy) -> pa.Array:
    """For each correction why it needs approval; "" where it needs none.

    Args:
        corrections: columns of `corrections_schema`.
        policy: the rules.
    """
    size = pc.abs(corrections["delta"])
    worth = pc.multiply(pc.cast(size, pa.decimal128(19, size.type.scale)), corrections["price"])
    rules: list[tuple[pa.ChunkedArray, str]] = []
    if policy.classes:
        rules.append((pc.is_in(corrections["class"], pa.array(policy.classes, pa.string())), "class"))
    if policy.reasons:
        rules.append((pc.is_in(corrections["reason"], pa.array(policy.reasons, pa.string())), "reason"))
    if policy.units is not None:
        rules.append((pc.greater(size, pa.scalar(policy.units, size.type)), f"more than {policy.units} units"))
    if policy.value is not None:
        dear = pc.fill_null(pc.greater(worth, pa.scalar(policy.value, worth.type)), True)
        rules.append((dear, f"worth more than {policy.value}"))
    found = pa.array([""] * len(corrections), pa.string())
    for needs, told in reversed(rules):
        text = corrections[told] if told in ("class", "reason") else pa.scalar(told)
        found = pc.if_else(needs, text, found)
    return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found
