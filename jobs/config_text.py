"""The text of a configuration: YAML with the line of every key, and `${NAME}` from the environment.

What came from the environment is a `Secret`: text that shows itself as it was written, so that its
value reaches the system that needs it and no message.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from reconcilers.errors import ConfigError

Location = tuple[str | int, ...]

_VARIABLE = re.compile(r"\$\$\{|\$\{([^}]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WHOLE = re.compile(r"[+-]?(?:0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"[+-]?(?:0|[1-9][0-9]*)\.[0-9]+")

#: Stand for the braces of `${NAME}` while YAML is read, which takes braces for its own (private use).
_OPEN, _CLOSE = "\ue0fa", "\ue0fb"


class Secret(str):
    """Text with values of the environment in it; `repr` and messages show the text as written."""

    written: str
    values: tuple[tuple[str, str], ...]

    def __new__(cls, value: str, written: str = "${…}", values: tuple[tuple[str, str], ...] = ()) -> Secret:
        """`values` are the pairs (value, `${NAME}`) in it."""
        secret = super().__new__(cls, value)
        secret.written = written
        secret.values = values
        return secret

    def __getnewargs__(self) -> tuple[Any, ...]:
        return str(self), self.written, self.values

    def __repr__(self) -> str:
        return repr(self.written)


def redacted(text: str, within: Any) -> str:
    """`text` with every value of a secret in `within` (nested data) replaced by its `${NAME}`."""
    hidden = {pair for secret in _secrets(within) for pair in ((str(secret), secret.written), *secret.values)}
    for value, written in sorted(hidden, key=lambda pair: -len(pair[0])):
        for spelling in (value, repr(value)[1:-1]):
            text = text.replace(spelling, written) if spelling else text
    return text


def as_written(data: Any) -> Any:
    """Nested data as plain text and containers, each secret as its `${NAME}`."""
    if isinstance(data, dict):
        return {key: as_written(value) for key, value in data.items()}
    if isinstance(data, list):
        return [as_written(value) for value in data]
    return data.written if isinstance(data, Secret) else data if isinstance(data, bool | None) else str(data)


def variables(data: Any) -> list[str]:
    """The names of the environment variables in nested data, each once, sorted."""
    return sorted({written[2:-1] for secret in _secrets(data) for _, written in secret.values})


def resolved(written: str, value_of: Callable[[str], str]) -> Secret:
    """Text as written with what each `${NAME}` in it stands for, from `value_of(NAME)`."""
    values: list[tuple[str, str]] = []

    def put(match: re.Match[str]) -> str:
        if match[1] is None:
            return "${"
        values.append((value_of(match[1]), match[0]))
        return values[-1][0]

    value = _VARIABLE.sub(put, written)
    return Secret(value, written, tuple(values))


def did_you_mean(name: str, among: Any) -> str:
    """`; did you mean 'name'?` for a near miss, whatever its letter case; else nothing."""
    known = {str(each).lower(): str(each) for each in among}
    near = get_close_matches(name.lower(), known, n=1)
    return f"; did you mean {known[near[0]]!r}?" if near else ""


def hint(name: str, among: Any) -> str:
    """The near miss, or all that there is."""
    there = ", ".join(str(each) for each in among)
    return did_you_mean(name, among) or (f"; there are: {there}" if there else "; there are none")


@dataclass
class Document:
    """What a configuration file says: its data, where each key stands, and what is wrong so far."""

    name: str
    data: Any = None
    lines: dict[Location, int] = field(default_factory=dict)
    problems: dict[Location, list[tuple[int, str]]] = field(default_factory=dict)

    def find(self, location: Location) -> tuple[Location, Any]:
        """The place in the data that `location` means, and what is there.

        Steps that are not in the data (names that a validator adds) are left out.
        """
        path: Location = ()
        value: Any = self.data
        for step in location:
            there = range(len(value)) if isinstance(value, list) else value if isinstance(value, dict) else ()
            if step in there:
                value = value[step]
                path = (*path, step)
        return path, value

    def add(self, path: Location, message: str, line: int | None = None) -> None:
        """Note a problem at the place `path`."""
        found = (line or self.lines.get(path, 1), message)
        if found not in self.problems.setdefault(path, []):
            self.problems[path].append(found)

    def check(self) -> None:
        """Raise `ConfigError` with all problems in the order of their lines, if there are any."""
        problems = [
            (line, f"{self.name}:{line}: {dotted(path)}{': ' if path else ''}{message}")
            for path, found in self.problems.items()
            for line, message in found
        ]
        if problems:
            # without the models' own error, which may show values
            raise ConfigError([text for _, text in sorted(problems, key=lambda problem: problem[0])]) from None


def dotted(path: Location) -> str:
    """A place as people write it: `systems.erp.events[0].path`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def read(path: Path, environment: Mapping[str, str]) -> Document:
    """Read a configuration file.

    Raises:
        ConfigError: no such file, or not YAML; problems with single values are in the document.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise ConfigError(f"no configuration at {path}; `recon init` writes one") from error
    except IsADirectoryError as error:
        raise ConfigError(f"{path} is a directory, not a configuration; try {path / 'recon.yaml'}") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start + 1}); save it as UTF-8") from error
    return parse(text, str(path), environment)


def parse(text: str, name: str, environment: Mapping[str, str]) -> Document:
    """The document in `text`; `name` is what problems call it. Raises `ConfigError` where it is not YAML."""
    braced = re.sub(r"\$\{([^{}\n]*)\}", rf"${_OPEN}\1{_CLOSE}", text)
    try:
        root = yaml.compose(braced, Loader=yaml.SafeLoader)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        sign = error.character if isinstance(error.character, int) else ord(error.character)
        raise ConfigError(f"{name}:{line}: not text: the control character U+{sign:04X}") from error
    except yaml.MarkedYAMLError as error:
        raise ConfigError(_syntax(name, error)) from error
    except RecursionError as error:
        raise ConfigError(f"{name}: nested too deep") from error
    if root is None:
        raise ConfigError(f"{name}: empty; `recon init` writes a configuration to start from")
    document = Document(name)
    document.data = _Reader(document, environment).value(root, ())
    if not isinstance(document.data, dict):
        raise ConfigError(
            f"{name}:1: a configuration is a mapping (systems:, pairs:, jobs:), not {kind_of(document.data)}"
        )
    return document


def kind_of(value: Any) -> str:
    """What a value is, for a message: a short one is shown, a large one named."""
    if value is None:
        return "nothing"
    if isinstance(value, dict | list | tuple):
        return "a mapping" if isinstance(value, dict) else "a list"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        shown = value.written if isinstance(value, Secret) else value
        return repr(shown if len(shown) <= 60 else shown[:60] + "…")
    return str(value)


class _Reader:
    """Makes data out of YAML nodes, and notes where they are."""

    def __init__(self, document: Document, environment: Mapping[str, str]) -> None:
        self.document = document
        self.environment = environment
        self.open: set[int] = set()

    def value(self, node: yaml.Node, path: Location) -> Any:
        """The data of a node and of everything below it."""
        self.document.lines.setdefault(path, _line(node))
        if not node.tag.startswith("tag:yaml.org,2002:"):
            self.document.add(path, f"the tag {node.tag} is not supported", _line(node))
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if id(node) in self.open:
            self.document.add(path, "an alias (*) that contains itself")
            return None
        self.open.add(id(node))
        made = self._mapping(node, path) if isinstance(node, yaml.MappingNode) else self._list(node, path)
        self.open.remove(id(node))
        return made

    def _list(self, node: yaml.Node, path: Location) -> list[Any]:
        return [self.value(item, (*path, number)) for number, item in enumerate(node.value)]

    def _mapping(self, node: yaml.MappingNode, path: Location) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.document.add(path, "a key must be text", _line(key))
                continue
            name = _braces(key.value)
            place = (*path, name)
            if key.tag == "tag:yaml.org,2002:merge":
                self.document.add(path, "merge keys (<<) are not supported; write the keys out", _line(key))
            elif name in made:
                first = self.document.lines[place]
                self.document.add(place, f"given twice, first in line {first}", _line(key))
            else:
                self.document.lines[place] = _line(key)
                made[name] = self.value(value, place)
        return made

    def _scalar(self, node: yaml.ScalarNode, path: Location) -> Any:
        """Text, a whole number, an exact decimal, true or false.

        A number with leading zeros, a date, yes and no stay text: `0012` and `NO` may be locations.
        """
        text: str = node.value
        if node.style is None and not node.tag.endswith(":str"):
            if node.tag.endswith(":null"):
                return None
            if text.lower() in ("true", "false"):
                return text.lower() == "true"
            if _WHOLE.fullmatch(text):
                return int(text)
            if _DECIMAL.fullmatch(text):
                return Decimal(text)
        return self._expanded(_braces(text), path)

    def _expanded(self, text: str, path: Location) -> str:
        """The text with each `${NAME}` replaced; `$${` is a plain `${`."""
        values: list[tuple[str, str]] = []

        def value_of(match: re.Match[str]) -> str:
            name = match[1]
            if name is None:
                return "${"
            if not _NAME.fullmatch(name):
                self.document.add(
                    path, f"{match[0]!r} is not a variable such as ${{ERP_URL}} (write $${{ for a plain ${{)"
                )
            elif name not in self.environment:
                self.document.add(path, f"the environment variable {name} is not set")
            else:
                values.append((self.environment[name], match[0]))
                return self.environment[name]
            return match[0]

        expanded = _VARIABLE.sub(value_of, text)
        return Secret(expanded, text, tuple(values)) if values else expanded


def _secrets(data: Any) -> Iterator[Secret]:
    if isinstance(data, Secret):
        yield data
    elif isinstance(data, Mapping):
        for value in data.values():
            yield from _secrets(value)
    elif isinstance(data, list | tuple):
        for value in data:
            yield from _secrets(value)


def _syntax(name: str, error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 1
    words = _braces(" ".join(part for part in (error.context, error.problem) if part))
    if "'\\t'" in words:
        words = "a tab; YAML is indented with spaces"
    started = error.context_mark
    since = f" (it began in line {started.line + 1})" if started and started.line + 1 != line else ""
    return f"{name}:{line}: not YAML: {words}{since}"


def _braces(text: str) -> str:
    return text.replace(_OPEN, "{").replace(_CLOSE, "}")


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
