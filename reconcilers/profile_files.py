"""The YAML file of a profile: what it says, and everything that is wrong with it, with its line."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path

import yaml

from reconcilers.durations import parse_duration
from reconcilers.errors import ConfigError
from reconcilers.schemas import Kind

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


@dataclass
class Given:
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


def read(text: str, path: Path) -> Given:
    """The keys of the file with their values and lines; nothing in it is executed."""
    root = _compose(text, path)
    if not isinstance(root, yaml.MappingNode):
        found = "an empty file" if root is None else _shown(root)
        raise ConfigError(f"{path}:1: a profile is a mapping (name:, basis:, effects:), not {found}")
    given = Given(path)
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
