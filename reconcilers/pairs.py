"""What the reconciliation of a pair needs to know: two sides, and the rules between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from reconcilers.errors import ConfigError
from reconcilers.profiles import EffectProfile
from reconcilers.references import Normaliser
from reconcilers.schemas import SCALE
from reconcilers.shares import Shares


@dataclass(frozen=True)
class Side:
    """One system's observation: what its number means and as of when it was read.

    `as_of_hi` is set where the read took time, so that the truth lies somewhere in between;
    `watermark` says up to when the event feed is complete (None: complete). A key that the export
    does not list is `absent` units, or missing (None).
    """

    system: str
    profile: EffectProfile
    as_of: datetime
    as_of_hi: datetime | None = None
    watermark: datetime | None = None
    absent: Decimal | None = None

    def __post_init__(self) -> None:
        for name in ("as_of", "as_of_hi", "watermark"):
            instant = getattr(self, name)
            if instant is not None and instant.tzinfo is None:
                raise ConfigError(f"{self.system}: {name} {instant} has no time zone")
        if self.as_of_hi is not None and self.as_of_hi < self.as_of:
            raise ConfigError(f"{self.system}: as_of_hi {self.as_of_hi} is before as_of {self.as_of}")

    @property
    def earliest(self) -> datetime:
        """The earliest instant that the number may show: a lagging number trails its as-of."""
        return self.as_of - self.profile.lag

    @property
    def latest(self) -> datetime:
        """The latest instant that the number may show."""
        return self.as_of if self.as_of_hi is None else self.as_of_hi

    @property
    def events_incomplete(self) -> bool:
        """Whether the feed ends before the number was read (DOMAIN 2.2, precondition)."""
        return self.watermark is not None and self.watermark < self.latest


@dataclass(frozen=True)
class Tolerance:
    """|unexplained| ≤ max(absolute, relative · max(|a|, |b|)) is not a break (DOMAIN 2.3)."""

    absolute: Decimal = Decimal(0)
    relative: Decimal = Decimal(0)

    def __post_init__(self) -> None:
        for name in ("absolute", "relative"):
            if getattr(self, name) < 0:
                raise ConfigError(f"tolerance.{name} {getattr(self, name)} is below 0")


@dataclass(frozen=True)
class Pair:
    """A target (A) and its authority (B), and how their difference is judged.

    `locations` maps a location of the target to those of the authority that it pools; empty: the
    same locations on both sides. `xref_a` and `xref_b` are cross-references of a side (raw, ref, both
    text); what they know is not normalised. `sla` says how long an event of a kind may stay
    one-sided (not given: never late). `goods` has rules of single SKUs (`goods_schema`; null: those
    of the pair). `packs` are the sizes that one of the systems may count in (`packs_schema`), `refused` the
    corrections that the target would not take (`refused_schema`): both are for cause candidates. `shares`
    splits what can be promised over the channels of one authority; the target is one of them. A fault that
    concerns goods worth `high_value` or more is severe. `now` is the instant against which lateness is judged.

    With `own_kinds` the numbers are those of a figure that is no stock, such as loyalty points: its events
    are of the kinds that the two profiles name, whatever they are called, and nothing of it is promised.
    A pair that does not `correct` proposes nothing.
    """

    name: str
    a: Side
    b: Side
    now: datetime
    sla: Mapping[str, timedelta] = field(default_factory=dict)
    locations: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    references_a: Normaliser = Normaliser()
    references_b: Normaliser = Normaliser()
    xref_a: pa.Table | None = None
    xref_b: pa.Table | None = None
    tolerance: Tolerance = Tolerance()
    safety_stock: Decimal = Decimal(0)
    goods: pa.Table | None = None
    packs: pa.Table | None = None
    refused: pa.Table | None = None
    shares: Shares | None = None
    returns_sellable: bool = False
    debounce: int = 1
    high_value: Decimal | None = None
    own_kinds: bool = False
    correct: bool = True
    scale: int = SCALE

    def __post_init__(self) -> None:
        if self.now.tzinfo is None:
            raise ConfigError(f"{self.name}: now {self.now} has no time zone")
        if self.safety_stock < 0:
            raise ConfigError(f"{self.name}: safety_stock {self.safety_stock} is below 0")
        if self.shares is not None and self.a.system not in self.shares.weights:
            raise ConfigError(f"{self.name}: shares: {self.a.system!r} has no weight")
        if self.debounce < 1:
            raise ConfigError(f"{self.name}: debounce {self.debounce} is below 1")
        for side in ("a", "b"):
            _check_xref(self.name, getattr(self, f"xref_{side}"))
        pooled = [place for places in self.locations.values() for place in places]
        twice = sorted({place for place in pooled if pooled.count(place) > 1})
        if twice:
            raise ConfigError(f"{self.name}: location {twice[0]!r} of {self.b.system} is in two pools")

    @property
    def basis_pair(self) -> str:
        """The two numbers compared, part of a break's identity."""
        return f"{self.a.profile.name}~{self.b.profile.name}"


def _check_xref(name: str, table: pa.Table | None) -> None:
    """A raw reference stands for one canonical reference."""
    if table is None:
        return
    for count in pc.value_counts(table["raw"]).to_pylist():
        if count["counts"] > 1:
            raise ConfigError(f"{name}: the cross-reference of {count['values']!r} is there {count['counts']} times")
