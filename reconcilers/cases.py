"""Worked cases: one key, two numbers, the events around them, and the verdict that is right.

The format is one JSON object a line; `recon test` runs it as unit tests of a configuration, and the
project's own tests use it as their table (docs/cases.md).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import pyarrow as pa

from reconcilers.durations import parse_duration
from reconcilers.errors import ConfigError
from reconcilers.pairs import Pair, Side, Tolerance
from reconcilers.profiles import EffectProfile
from reconcilers.schemas import SCALE, Kind, events_schema, stock_schema
from reconcilers.stock import Inputs, reconcile_bucket

#: What a case may expect; anything not given is not checked.
CHECKED = (
    "raw_diff",
    "expected_diff",
    "unexplained",
    "unexplained_lo",
    "unexplained_hi",
    "class",
    "reason",
    "atp",
    "publish",
)

_SKU, _LOCATION = "SKU", "LOCATION"


@dataclass(frozen=True)
class Outcome:
    """One case, run: what was expected and found differently (`column: (expected, found)`)."""

    case_id: str
    title: str
    differences: Mapping[str, tuple[str, str]]

    @property
    def passed(self) -> bool:
        """Whether everything that the case expects was found."""
        return not self.differences


def read_cases(path: Path) -> list[dict[str, Any]]:
    """The cases of a JSON Lines file. Raises `ConfigError` with file and line."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    cases = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            cases.append(_case(line, f"{path}:{number}"))
    if not cases:
        raise ConfigError(f"{path}: no case in it")
    return cases


def run_case(case: Mapping[str, Any], profile: Callable[[str], EffectProfile]) -> Outcome:
    """Run one case through the kernel; `profile` finds an effect profile by name.

    Raises:
        ConfigError: the case cannot be understood, naming the case and the field.
    """
    level = verdict(case, profile)
    expected = case["expect"]
    unknown = sorted(set(expected) - set(CHECKED))
    if unknown:
        raise ConfigError(f"case {case['id']}: nothing called {unknown[0]!r} can be expected")
    differences = {
        column: (str(expected[column]), str(level[column]))
        for column in CHECKED
        if column in expected and not _equal(expected[column], level[column])
    }
    return Outcome(str(case["id"]), str(case.get("title", "")), differences)


def verdict(case: Mapping[str, Any], profile: Callable[[str], EffectProfile]) -> dict[str, Any]:
    """The level row (`reconcilers.schemas.levels_schema`) of a case's one key."""
    try:
        inputs, pair = case_inputs(case, profile)
    except (KeyError, TypeError, ValueError, InvalidOperation, pa.ArrowInvalid) as error:
        what = f"missing {error}" if isinstance(error, KeyError) else str(error)
        raise ConfigError(f"case {case.get('id', '?')}: {what}") from error
    row: dict[str, Any] = reconcile_bucket(inputs, pair).levels.to_pylist()[0]
    return row


def case_inputs(case: Mapping[str, Any], profile: Callable[[str], EffectProfile]) -> tuple[Inputs, Pair]:
    """The Arrow tables and the pair that a case describes."""
    scale = int(case.get("scale", SCALE))
    a, b = (_side(case, side, profile) for side in ("a", "b"))
    own = any("effects" in case[side] for side in ("a", "b"))
    kind = str if own else Kind
    pair = Pair(
        name=f"{a.system}~{b.system}",
        a=a,
        b=b,
        now=_instant(case["now"]) if case.get("now") else max(a.latest, b.latest),
        sla={kind(name): parse_duration(text) for name, text in case.get("sla", {}).items()},
        tolerance=Tolerance(
            **{k: Decimal(str(v)) for k, v in case.get("tolerance", {}).items()},
        ),
        safety_stock=Decimal(str(case.get("safety_stock", 0))),
        own_kinds=own,
        correct=not own,
        scale=scale,
    )
    events = case.get("events", [])
    return (
        Inputs(
            stock_a=_stock(case["a"], scale),
            stock_b=_stock(case["b"], scale),
            events_a=_events(events, "a", scale, kind),
            events_b=_events(events, "b", scale, kind),
        ),
        pair,
    )


def _case(line: str, place: str) -> dict[str, Any]:
    try:
        case = json.loads(line, parse_float=Decimal)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{place}: not JSON: {error}") from error
    if not isinstance(case, dict):
        raise ConfigError(f"{place}: a case is an object, not {type(case).__name__}")
    missing = [key for key in ("id", "a", "b", "expect") if key not in case]
    if missing:
        raise ConfigError(f"{place}: the case has no {missing[0]!r}")
    return case


def _side(case: Mapping[str, Any], side: str, profile: Callable[[str], EffectProfile]) -> Side:
    seen = case[side]
    watermark = case.get("feed_watermark", {}).get(side)
    return Side(
        system=seen["system"],
        profile=_own_profile(seen) if "effects" in seen else profile(f"{seen['system']}.{seen['basis']}"),
        as_of=_instant(seen["as_of"]),
        as_of_hi=_instant(seen["as_of_hi"]) if seen.get("as_of_hi") else None,
        watermark=_instant(watermark) if watermark else None,
    )


def _own_profile(seen: Mapping[str, Any]) -> EffectProfile:
    """What a balance says of its kinds itself."""
    return EffectProfile(seen["system"], seen["effects"], basis="balance")


def _stock(seen: Mapping[str, Any], scale: int) -> pa.Table:
    row = {"sku": _SKU, "location": _LOCATION, "quantity": _decimal(seen["quantity"])}
    return pa.Table.from_pylist([row], schema=stock_schema(scale))


def _events(events: list[Mapping[str, Any]], side: str, scale: int, kind: Callable[[str], str]) -> pa.Table:
    """The feed of one side: a row for each event that this side posted."""
    return pa.Table.from_pylist(
        [
            {
                "event_id": event.get("event_id"),
                "kind": str(kind(event["kind"])),
                "ref": event["ref"],
                "doc": event.get("doc"),
                "sku": _SKU,
                "location": _LOCATION,
                "quantity": _decimal(event.get("posted_quantity", {}).get(side, event["quantity"])),
                "document_quantity": _decimal(event["quantity"]) if event.get("posted_quantity") else None,
                "posted_at": _instant(event["posted"][side]),
            }
            for event in events
            if event.get("posted", {}).get(side)
        ],
        schema=events_schema(scale),
    )


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(f"instant {text!r} has no time zone")
    return instant


def _decimal(value: Any) -> Decimal:
    return Decimal(str(value))


def _equal(expected: Any, found: Any) -> bool:
    if expected is None or found is None or isinstance(found, str):
        return bool(expected == found)
    return bool(Decimal(str(expected)) == found)
