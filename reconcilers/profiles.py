"""Effect profiles: how one system's number reacts to each kind of event.

A profile is data (one YAML file each, versioned). `x_S(e, t)`, the effect of event `e` on the number
of system S, is the event's quantity times the coefficient that S's profile gives its kind, if S had
posted it by `t` (DOMAIN 2.1). Everything that differs between vendors is in these files, so the
formula itself never asks which system it looks at.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path

import yaml

from reconcilers.durations import format_duration, parse_duration
from reconcilers.errors import ConfigError
from reconcilers.schemas import Kind

BUILT_IN = Path(__file__).parent / "profiles"

#: Numbers that promise goods to customers; what is published on them is the available-to-promise.
SELLABLE = frozenset({"available", "atp", "salable"})

#: What a number means, by its basis. Another word is allowed, a misspelling of one of these is not:
#: it would make a sellable number one that merely counts, and so change what is published.
BASES = {
    **dict.fromkeys(sorted(SELLABLE), "It promises goods to customers: the available to promise is published on it."),
    "on_hand": "It counts goods on the shelf, whether or not they are promised to somebody.",
    "committed": "It counts what is promised to orders and has not left yet: it rises with demand.",
    "held": "It counts what carts, drafts or checks hold back for a while.",
    "unavailable": "It counts goods on the shelf that cannot be sold.",
    "incoming": "It counts what is expected and has not arrived yet.",
    "projected": "It is a forecast: it also contains goods that have not arrived yet.",
}

#: A number that trails further behind than this is not an observation of the same stock.
LONGEST_LAG = timedelta(days=31)

_KEYS = (
    "name", "version", "title", "basis", "effects", "lag", "clamps_at_zero", "whole_units", "source", "notes",
)  # fmt: skip


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
    given = _given(text, path)
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


@dataclass
class _Given:
    """What a profile's file says, and what is wrong with it; a value that is wrong is left out.

    It works on the nodes of the YAML text, not on the data that YAML makes of them, because those
    know their line, keep a key that is given twice, and tell `1` from `1.0`, `true` and `"1"`.
    """

    path: Path
    nodes: dict[str, yaml.Node] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    problems: list[tuple[int, str]] = field(default_factory=list)

    def check(self) -> None:
        """Raise `ConfigError` with all problems in the order of their lines, if there are any."""
        if self.problems:
            raise ConfigError([f"{self.path}:{line}: {told}" for line, told in sorted(self.problems)])

    def wrong(self, place: str, problem: str, line: int | None = None) -> None:
        """Note a problem with the key `place`."""
        self.problems.append((line or self.lines.get(place, 1), f"{place}: {problem}"))

    def entries(self, mapping: yaml.MappingNode, prefix: str) -> dict[str, yaml.Node]:
        """The values by key; a key that comes twice is wrong, whichever of them YAML would take."""
        found: dict[str, yaml.Node] = {}
        for key, value in mapping.value:
            place, line = f"{prefix}{key.value}", int(key.start_mark.line) + 1
            if not isinstance(key, yaml.ScalarNode):
                self.wrong(prefix.rstrip(".") or "profile", f"{_shown(key)} is not a key", line)
            elif key.value in found:
                self.wrong(place, f"given twice, first in line {self.lines[place]}", line)
            else:
                self.lines[place] = line
                found[key.value] = value
        return found

    def text(self, key: str) -> str:
        """A text; "" where it is not given."""
        node = self.nodes.get(key)
        if node is None or _is(node, "null"):
            return ""
        if not isinstance(node, yaml.ScalarNode):
            self.wrong(key, f"{_shown(node)} is not text")
            return ""
        return str(node.value).strip()

    def name(self) -> str:
        """The name, which is the file's."""
        name = self._needed("name")
        if name and name != self.path.stem:
            self.wrong("name", f"{name!r} is not the file's name {self.path.stem!r}")
        return name

    def basis(self) -> str:
        """The basis: a known word, or one that cannot be taken for a misspelling."""
        basis = self._needed("basis")
        if basis not in BASES and (near := _near(basis, BASES, cutoff=0.75)):
            self.wrong("basis", f"unknown basis {basis!r}{near}")
        return basis

    def version(self) -> int:
        """A whole number from 1 on; 1 where it is not given."""
        node = self.nodes.get("version")
        if node is not None and not (_is(node, "int") and re.fullmatch("[1-9][0-9]{0,8}", node.value)):
            self.wrong("version", f"{_shown(node)} is not a whole number from 1 on")
            return 1
        return 1 if node is None else int(node.value)

    def flag(self, key: str) -> bool:
        """True or false; false where it is not given."""
        node = self.nodes.get(key)
        if node is not None and not _is(node, "bool"):
            self.wrong(key, f"{_shown(node)} is not true or false")
        return node is not None and str(node.value).lower() in ("true", "yes", "on")

    def lag(self) -> timedelta:
        """An ISO 8601 duration; none where it is not given."""
        text = self.text("lag")
        try:
            lag = parse_duration(text) if text else timedelta(0)
        except ValueError as error:
            self.wrong("lag", str(error))
            return timedelta(0)
        except OverflowError:
            lag = timedelta.max
        if lag > LONGEST_LAG:
            self.wrong("lag", f"{text!r} is more than P{LONGEST_LAG.days}D")
        return lag

    def effects(self) -> dict[Kind, int]:
        """The coefficients of the kinds that are named."""
        node = self.nodes.get("effects")
        if not isinstance(node, yaml.MappingNode):
            found = "missing; it is" if node is None else f"{_shown(node)} is not"
            self.wrong("effects", f"{found} a mapping of kinds to -1, 0 or 1")
            return {}
        effects: dict[Kind, int] = {}
        for kind, coefficient in self.entries(node, "effects.").items():
            if kind not in Kind.__members__:
                self.wrong(f"effects.{kind}", f"unknown kind{_near(kind, Kind.__members__)}")
            elif not _is(coefficient, "int") or coefficient.value not in _COEFFICIENTS:
                self.wrong(f"effects.{kind}", f"coefficient {_shown(coefficient)} is not -1, 0 or 1")
            else:
                effects[Kind(kind)] = _COEFFICIENTS[coefficient.value]
        if len(effects) == len(node.value) and not any(effects.values()):
            self.wrong("effects", "no event moves the number, so it cannot be compared")
        return effects

    def _needed(self, key: str) -> str:
        text = self.text(key)
        if not text and isinstance(self.nodes.get(key), yaml.ScalarNode | None):
            self.wrong(key, "empty" if key in self.nodes else "missing")
        return text


_COEFFICIENTS = {"-1": -1, "0": 0, "1": 1, "+1": 1}


def _given(text: str, path: Path) -> _Given:
    """The keys of the file with their values and lines; nothing in it is executed."""
    root = _compose(text, path)
    if not isinstance(root, yaml.MappingNode):
        found = "an empty file" if root is None else _shown(root)
        raise ConfigError(f"{path}:1: a profile is a mapping (name:, basis:, effects:), not {found}")
    given = _Given(path)
    given.nodes = given.entries(root, "")
    for key in given.nodes:
        if key not in _KEYS:
            given.wrong(key, f"unknown key{_near(key, _KEYS)}")
    return given


def _compose(text: str, path: Path) -> yaml.Node | None:
    try:
        root: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
        return root
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        raise ConfigError(f"{place}: not YAML: {error.problem or error.context}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(f"{path}:{line}: not YAML: {error.reason}") from error
    except RecursionError as error:
        raise ConfigError(f"{path}: not YAML: nested too deep") from error


def _is(node: yaml.Node, kind: str) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == f"tag:yaml.org,2002:{kind}"


def _shown(node: yaml.Node) -> str:
    """A value as it is written, text in quotes; a large one is shortened or named."""
    kind = node.tag.removeprefix("tag:yaml.org,2002:")
    if kind in ("null", "map", "seq"):
        return {"null": "nothing", "map": "a mapping", "seq": "a list"}[kind]
    if kind not in ("str", "int", "float", "bool", "timestamp"):
        return f"the tag {node.tag}"
    text = node.value if len(node.value) <= 40 else f"{node.value[:40]}…"
    return repr(text) if kind == "str" else str(text)


def _near(word: str, among: Iterable[str], cutoff: float = 0.6) -> str:
    """`; did you mean …?` for a near miss, whatever its letter case; else nothing."""
    known = {each.lower(): each for each in among}
    near = get_close_matches(word.lower(), known, n=1, cutoff=cutoff)
    return f"; did you mean {known[near[0]]}?" if near else ""
