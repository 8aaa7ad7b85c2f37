"""Effect profiles: how one system's number reacts to each kind of event.

A profile is data (one YAML file each, versioned). `x_S(e, t)`, the effect of event `e` on the number
of system S, is the event's quantity times the coefficient that S's profile gives its kind, if S had
posted it by `t` (DOMAIN 2.1). Everything that differs between vendors is in these files, so the
formula itself never asks which system it looks at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from reconcilers.durations import format_duration, parse_duration
from reconcilers.errors import ConfigError
from reconcilers.schemas import Kind

BUILT_IN = Path(__file__).parent / "profiles"

#: Numbers that promise goods to customers; what is published on them is the available-to-promise.
SELLABLE = frozenset({"available", "atp", "salable"})

_KEYS = {
    "name", "version", "title", "basis", "source", "effects",
    "lag", "clamps_at_zero", "whole_units", "notes",
}  # fmt: skip


@dataclass(frozen=True)
class EffectProfile:
    """How the number `name` (system.basis) reacts to events.

    `effects` has a coefficient −1, 0 or +1 per kind (kinds not named: 0). `lag` is how far the
    number may trail behind its as-of instant, `clamps_at_zero` says that it never shows less than
    zero, `whole_units` that it shows whole units only, rounded down.
    """

    name: str
    effects: Mapping[Kind, int]
    basis: str
    version: int = 1
    title: str = ""
    source: str = ""
    notes: str = ""
    lag: timedelta = field(default=timedelta(0))
    clamps_at_zero: bool = False
    whole_units: bool = False

    @property
    def sellable(self) -> bool:
        """Whether this number promises goods (available), rather than counts them (on hand)."""
        return self.basis in SELLABLE

    def coefficient(self, kind: Kind) -> int:
        """−1, 0 or +1: what one unit of `kind` does to this number."""
        return self.effects.get(kind, 0)


def names(directory: Path | None = None) -> list[str]:
    """The names of all profiles: the built-in ones and those in the user's `directory`."""
    return sorted(_files(directory))


def load(name: str, directory: Path | None = None) -> EffectProfile:
    """The profile called `name`; the user's own files win over the built-in ones.

    Raises:
        ConfigError: no such profile, or its file is wrong (each problem names file and value).
    """
    files = _files(directory)
    if name not in files:
        near = get_close_matches(name, files, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; there are: {', '.join(sorted(files))}"
        raise ConfigError(f"unknown profile {name!r}{hint}")
    return parse(files[name].read_text(encoding="utf-8"), files[name])


def parse(text: str, path: Path) -> EffectProfile:
    """A profile from the text of its YAML file; `path` gives its name and the place of errors."""
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: a profile is a mapping, not {type(raw).__name__}")
    problems = _problems(raw, path)
    if problems:
        raise ConfigError([f"{path}: {problem}" for problem in problems])
    return EffectProfile(
        name=raw["name"],
        effects={Kind(kind): int(c) for kind, c in raw["effects"].items()},
        basis=raw["basis"],
        version=raw.get("version", 1),
        title=raw.get("title", ""),
        source=raw.get("source", ""),
        notes=raw.get("notes", ""),
        lag=parse_duration(str(raw.get("lag", "PT0S"))),
        clamps_at_zero=bool(raw.get("clamps_at_zero", False)),
        whole_units=bool(raw.get("whole_units", False)),
    )


def in_words(profile: EffectProfile) -> str:
    """The profile as sentences that a merchant can check against the system."""
    falls = [_KIND_WORDS[kind] for kind, c in profile.effects.items() if c < 0]
    rises = [_KIND_WORDS[kind] for kind, c in profile.effects.items() if c > 0]
    lines = [f"{profile.name} (version {profile.version}): {profile.title}", ""]
    lines += [f"This number falls when {_listed(falls)}."] if falls else []
    lines += [f"It rises when {_listed(rises)}."] if rises else []
    if profile.lag:
        lines.append(f"It may trail behind the events by up to {format_duration(profile.lag)}.")
    if profile.clamps_at_zero:
        lines.append("It never shows less than zero.")
    if profile.whole_units:
        lines.append("It shows whole units only, rounded down.")
    lines.append("It promises goods to customers." if profile.sellable else "It counts goods.")
    lines += ["", *([profile.notes.strip()] if profile.notes else []), f"Source: {profile.source.strip()}"]
    return "\n".join(lines)


_KIND_WORDS = {
    Kind.HOLD: "a cart or quality hold is taken",
    Kind.RELEASE: "a hold is released",
    Kind.PLACE: "an order is placed (or imported)",
    Kind.CANCEL: "an order is cancelled before it ships",
    Kind.ALLOCATE: "stock is allocated to an order",
    Kind.DEALLOC: "an allocation is taken back",
    Kind.PICK: "goods are picked",
    Kind.SHIP: "goods are shipped",
    Kind.RETURN_ANNOUNCED: "a return is announced",
    Kind.RETURN_RECV: "returned goods arrive",
    Kind.RESTOCK: "returned goods become sellable again",
    Kind.SCRAP: "goods are scrapped",
    Kind.POS_SALE: "a store sale is posted",
    Kind.POS_RETURN: "a store return is posted",
    Kind.XFER_OUT: "goods leave for another location",
    Kind.XFER_IN: "goods arrive from another location",
    Kind.RECEIPT: "a delivery is received",
    Kind.ADJUST: "an adjustment is posted (it is signed)",
    Kind.COUNT: "a stock count is taken",
    Kind.PUBLISH: "a published correction is applied (it is signed)",
}


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _files(directory: Path | None) -> dict[str, Path]:
    places = [BUILT_IN] if directory is None else [BUILT_IN, directory]
    return {path.stem: path for place in places for path in sorted(place.glob("*.yaml"))}


def _problems(raw: dict[str, Any], path: Path) -> list[str]:
    problems = [f"unknown key {key!r}" for key in raw if key not in _KEYS]
    problems += [f"missing key {key!r}" for key in ("name", "basis", "effects") if key not in raw]
    if raw.get("name", path.stem) != path.stem:
        problems.append(f"name {raw['name']!r} is not the file's name {path.stem!r}")
    effects = raw.get("effects")
    if not isinstance(effects, dict):
        return [*problems, "effects is not a mapping of kinds to -1, 0 or 1"]
    for kind, coefficient in effects.items():
        if kind not in Kind.__members__:
            near = get_close_matches(str(kind), Kind.__members__, n=1)
            problems.append(f"unknown kind {kind!r}" + (f"; did you mean {near[0]}?" if near else ""))
        if isinstance(coefficient, bool) or coefficient not in (-1, 0, 1):
            problems.append(f"{kind}: coefficient {coefficient!r} is not -1, 0 or 1")
    try:
        parse_duration(str(raw.get("lag", "PT0S")))
    except ValueError as error:
        problems.append(f"lag: {error}")
    return problems
