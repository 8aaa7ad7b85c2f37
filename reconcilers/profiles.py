"""Effect profiles: how one system's number reacts to each kind of event.

A profile is data (one YAML file each, versioned). `x_S(e, t)`, the effect of event `e` on the number
of system S, is the event's quantity times the coefficient that S's profile gives its kind, if S had
posted it by `t` (DOMAIN 2.1). Everything that differs between vendors is in these files, so the
formula itself never asks which system it looks at.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path

from reconcilers.durations import format_duration
from reconcilers.errors import ConfigError
from reconcilers.profile_files import BASES, LONGEST_LAG, SELLABLE, read
from reconcilers.schemas import Kind

BUILT_IN = Path(__file__).parent / "profiles"


@dataclass(frozen=True)
class EffectProfile:
    """How the number `name` (system.number) reacts to events.

    `effects` has a coefficient −1, 0 or +1 per kind (kinds not named: 0); those of a number that is no
    stock have names of their own (`Pair.own_kinds`). `lag` is how far the
    number may trail behind its as-of instant, `clamps_at_zero` says that it never shows less than
    zero, `whole_units` that it shows whole units only, rounded down.
    """

    name: str
    effects: Mapping[str, int]
    basis: str
    version: int = 1
    title: str = ""
    source: str = ""
    notes: str = ""
    lag: timedelta = field(default=timedelta(0))
    clamps_at_zero: bool = False
    whole_units: bool = False

    def __post_init__(self) -> None:
        for kind, coefficient in self.effects.items():
            if type(coefficient) is not int or coefficient not in (-1, 0, 1):
                raise ConfigError(f"profile {self.name}: {kind}: coefficient {coefficient!r} is not -1, 0 or 1")
        if not any(self.effects.values()):
            raise ConfigError(f"profile {self.name}: no event moves the number")
        if not timedelta(0) <= self.lag <= LONGEST_LAG:
            raise ConfigError(f"profile {self.name}: lag {self.lag} is not between 0 and {LONGEST_LAG.days} days")

    @property
    def sellable(self) -> bool:
        """Whether this number promises goods (available), rather than counts them (on hand)."""
        return self.basis in SELLABLE

    def coefficient(self, kind: str) -> int:
        """−1, 0 or +1: what one unit of `kind` does to this number."""
        return self.effects.get(kind, 0)


def names(directory: Path | None = None) -> list[str]:
    """The names of all profiles: the built-in ones and those in the user's `directory`."""
    return sorted(_files(directory))


def load(name: str, directory: Path | None = None) -> EffectProfile:
    """The profile called `name`; the user's own files win over the built-in ones.

    Raises:
        ConfigError: no such profile, or its file is wrong (each problem names file, line and value).
    """
    files = _files(directory)
    if name not in files:
        raise ConfigError(f"unknown profile {name!r}{_instead_of(name, files)}")
    path = files[name]
    try:
        return parse(path.read_bytes().decode("utf-8-sig"), path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start + 1}); save it as UTF-8") from error


def parse(text: str, path: Path) -> EffectProfile:
    """A profile from the text of its YAML file; `path` gives its name and the place of errors.

    Raises:
        ConfigError: one line for each thing that is wrong, with file, line and value.
    """
    given = read(text, path)
    fields = {
        "name": given.name(),
        "version": given.version(),
        "title": given.text("title"),
        "basis": given.basis(),
        "effects": given.effects(),
        "lag": given.lag(),
        "clamps_at_zero": given.flag("clamps_at_zero"),
        "whole_units": given.flag("whole_units"),
        "source": given.text("source"),
        "notes": given.text("notes"),
    }
    given.check()
    return EffectProfile(**fields)  # type: ignore[arg-type]


def in_words(profile: EffectProfile) -> str:
    """The profile as sentences that a merchant can check against the system."""
    paragraphs = [
        f"{profile.name}, version {profile.version}" + (f": {profile.title}" if profile.title else ""),
        *_movements(profile),
        " ".join(_properties(profile)),
        profile.notes,
        f"Source: {profile.source or 'not given'}",
    ]
    return "\n\n".join(textwrap.fill(paragraph, 88, break_on_hyphens=False) for paragraph in paragraphs if paragraph)


def _movements(profile: EffectProfile) -> Iterable[str]:
    """What moves the number and, of what moves other numbers, what leaves this one alone."""
    falls, rises = ([words for kind, words in _WORDS.items() if profile.coefficient(kind) == c] for c in (-1, 1))
    if falls:
        yield f"It falls when {_listed(falls)}."
    if rises:
        yield f"It rises when {_listed(rises)}."
    for sign, c in (("its own sign", 1), ("the opposite sign", -1)):
        signed = [words for kind, words in _SIGNED_WORDS.items() if profile.coefficient(kind) == c]
        if signed:
            move = "moves" if len(signed) == 1 else "move"
            yield f"{_listed(signed, 'and').capitalize()} {move} it by {sign}."
    rests = [_WORDS[kind] for kind in _TELLING if not profile.coefficient(kind)]
    if rests:
        yield f"It stays as it is when {_listed(rests)}."


def _properties(profile: EffectProfile) -> Iterable[str]:
    yield f"Its basis is {profile.basis}."
    yield BASES.get(profile.basis, "It is a number of its own: what is published on it is what it should show.")
    if profile.lag:
        yield f"It may trail behind the events by {_spoken(profile.lag)}."
    if profile.clamps_at_zero:
        yield "It never shows less than zero."
    if profile.whole_units:
        yield "It shows whole units only, rounded down."


#: Kinds of events as clauses, where the kind says the direction; the life of an order first.
_WORDS = {
    Kind.PLACE: "an order is placed or imported",
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
    Kind.HOLD: "a hold is taken",
    Kind.RELEASE: "a hold is released",
    Kind.RECEIPT: "a delivery is received",
    Kind.XFER_IN: "goods arrive from another location",
    Kind.XFER_OUT: "goods leave for another location",
}

#: The kinds in which numbers differ from each other.
_TELLING = (Kind.PLACE, Kind.ALLOCATE, Kind.SHIP, Kind.RETURN_RECV, Kind.RESTOCK, Kind.HOLD)

#: Kinds whose quantity has a sign of its own.
_SIGNED_WORDS = {
    Kind.ADJUST: "an adjustment",
    Kind.COUNT: "a stock count",
    Kind.PUBLISH: "a published correction",
}


def _listed(words: list[str], last: str = "or") -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"


def _spoken(lag: timedelta) -> str:
    """`up to 10 seconds`: in the largest unit that fits exactly, for whatever a profile may say."""
    for seconds, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")):
        amount, rest = divmod(int(lag.total_seconds()), seconds)
        if not rest:
            return f"up to {amount} {unit}{'' if amount == 1 else 's'}"
    return f"up to {format_duration(lag)}"


def _instead_of(name: str, files: Iterable[str]) -> str:
    """The near miss, else what there is of the same system, else where to look."""
    near = get_close_matches(name, files, n=1, cutoff=0.8)
    if near:
        return f"; did you mean {near[0]!r}?"
    of_system = sorted(each for each in files if each.split(".")[0] == name.split(".")[0])
    return f"; there are: {', '.join(of_system)}" if of_system else "; `recon profiles list` shows what there is"


def _files(directory: Path | None) -> dict[str, Path]:
    places = [BUILT_IN] if directory is None else [BUILT_IN, directory]
    strays = [path for place in places for path in sorted(place.glob("*.yml"))]
    if strays:
        raise ConfigError(f"{strays[0]}: a profile's file ends in .yaml; rename it to {strays[0].stem}.yaml")
    return {path.stem: path for place in places for path in sorted(place.glob("*.yaml"))}
