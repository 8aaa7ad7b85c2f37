"""Where suites come from: ours by dataset, the user's from JSON or Python, and what is changed in them."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any

import great_expectations as gx
import great_expectations.exceptions as gxx
from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
from great_expectations.expectations.registry import list_registered_expectation_implementations

from expectations import domain, facts
from reconcilers.errors import ConfigError

#: Built-in suites: one file per dataset, one row here.
SUITES = {
    "stock": "expectations.stock",
    "events": "expectations.events",
    "order_lines": "expectations.order_lines",
    "balance": "expectations.balance",
    "records": "expectations.records",
    "postings": "expectations.postings",
    "tap": "expectations.tap",
    "levels": "expectations.levels",
    "breaks": "expectations.breaks",
    "corrections": "expectations.corrections",
}

#: The modules that hold our own expectations, which a saved suite may name.
OWN = (facts, domain)


@dataclass(frozen=True)
class Change:
    """What a configuration changes in a suite: the expectations that it means, and their new arguments.

    Args:
        expectation: the type, such as `expect_column_values_to_be_between`.
        where: arguments (and `severity`) that tell it from others of its type.
        set: arguments and `severity` that it gets instead.
        drop: whether it is left out.
    """

    expectation: str
    where: Mapping[str, Any] = field(default_factory=dict)
    set: Mapping[str, Any] = field(default_factory=dict)
    drop: bool = False


def built_in(dataset: str) -> gx.ExpectationSuite:
    """Our suite for a dataset. Raises `KeyError` where there is none."""
    suite: gx.ExpectationSuite = import_module(SUITES[dataset]).suite()
    return suite


def load(path: Path, parameters: Mapping[str, Any]) -> gx.ExpectationSuite:
    """The suite of a JSON file that Great Expectations saved, or of a Python file with `suite()`.

    Args:
        path: a Python file is executed, so it is one that the user names; JSON is only read.
        parameters: what `{"$PARAMETER": "name"}` stands for.

    Raises:
        ConfigError: the file cannot be read, is of another version of Great Expectations, or names an
            expectation or argument that there is not; every problem, a line each.
    """
    if path.suffix == ".py":
        return _of_python(path)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{path}: not JSON: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("expectations"), list):
        raise ConfigError(f"{path}: not a suite: it has no list of expectations")
    _check_version(path, document)
    built, problems = [], []
    for number, each in enumerate(document["expectations"], 1):
        try:
            built.append(_expectation(each, parameters))
        except ConfigError as error:
            problems.append(f"{path}: expectation {number}: {error}")
    if problems:
        raise ConfigError(problems)
    return gx.ExpectationSuite(document.get("name") or path.stem, expectations=built)


def joined(name: str, suites: Iterable[gx.ExpectationSuite]) -> gx.ExpectationSuite:
    """One suite of the expectations of several, each once."""
    kept: list[Any] = []
    for expectation in (each for suite in suites for each in suite.expectations):
        if not any(_same(expectation, other) for other in kept):
            kept.append(expectation.copy(update={"id": None}))
    return gx.ExpectationSuite(name, expectations=kept)


def changed(suite: gx.ExpectationSuite, changes: Iterable[Change]) -> gx.ExpectationSuite:
    """The suite with every change made.

    Raises:
        ConfigError: a change means no expectation of the suite, or an argument does not fit.
    """
    expectations = list(suite.expectations)
    problems = []
    for change in changes:
        meant = [each for each in expectations if _means(change, each)]
        if not meant:
            known = [each.expectation_type for each in expectations]
            told = ", ".join(f"{name}={value}" for name, value in change.where.items())
            problems.append(
                f"suite {suite.name!r} has no {change.expectation}{f' where {told}' if told else ''}"
                f"{_hint(change.expectation, known)}"
            )
        for each in meant:
            place = expectations.index(each)
            expectations[place : place + 1] = [] if change.drop else [_with(each, change.set)]
    if problems:
        raise ConfigError(problems)
    return gx.ExpectationSuite(suite.name, expectations=expectations)


def _of_python(path: Path) -> gx.ExpectationSuite:
    if not path.is_file():
        raise ConfigError(f"{path}: no such file")
    specification = importlib.util.spec_from_file_location(f"recon_suite_{path.stem}", path)
    if specification is None or specification.loader is None:
        raise ConfigError(f"{path}: not a Python file")
    module = importlib.util.module_from_spec(specification)
    try:
        specification.loader.exec_module(module)
        suite = module.suite()
    except Exception as error:  # a file of the user: whatever is wrong with it is theirs to know, in a line
        raise ConfigError(f"{path}: {type(error).__name__}: {' '.join(str(error).split())[:300]}") from error
    if not isinstance(suite, gx.ExpectationSuite):
        raise ConfigError(f"{path}: suite() returned {type(suite).__name__}, not an ExpectationSuite")
    return suite


def _check_version(path: Path, document: Mapping[str, Any]) -> None:
    version = str((document.get("meta") or {}).get("great_expectations_version", "1"))
    old = any("expectation_type" in each for each in document["expectations"] if isinstance(each, dict))
    if old or version.split(".")[0] != "1":
        raise ConfigError(
            f"{path}: a suite of Great Expectations {'0' if old and version[:1] == '1' else version}, "
            f"this reads those of 1 ({gx.__version__} is installed); save it again with that version"
        )


def _expectation(document: Any, parameters: Mapping[str, Any]) -> Any:
    if not isinstance(document, dict) or not isinstance(document.get("type"), str):
        raise ConfigError("it has no type")
    kind = document["type"]
    known = list_registered_expectation_implementations()
    if kind not in known:
        raise ConfigError(f"unknown expectation {kind!r}{_hint(kind, known)}")
    kwargs = _with_parameters(document.get("kwargs") or {}, parameters)
    try:
        return ExpectationConfiguration(**{**document, "kwargs": kwargs}).to_domain_obj()
    except (ValueError, TypeError, gxx.GreatExpectationsError) as error:
        raise ConfigError(f"{kind}: {_told(error)}") from error


def _with_parameters(value: Any, parameters: Mapping[str, Any]) -> Any:
    if isinstance(value, dict):
        if set(value) == {"$PARAMETER"}:
            if value["$PARAMETER"] not in parameters:
                raise ConfigError(
                    f"parameter {value['$PARAMETER']!r} has no value{_hint(value['$PARAMETER'], parameters)}"
                )
            return parameters[value["$PARAMETER"]]
        return {name: _with_parameters(each, parameters) for name, each in value.items()}
    return [_with_parameters(each, parameters) for each in value] if isinstance(value, list) else value


def _with(expectation: Any, arguments: Mapping[str, Any]) -> Any:
    known = {name: getattr(expectation, name) for name in expectation.__fields_set__ if name != "id"}
    try:
        return type(expectation)(**{**known, **arguments})
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{expectation.expectation_type}: {_told(error)}") from error


def _means(change: Change, expectation: Any) -> bool:
    return expectation.expectation_type == change.expectation and all(
        _plain(getattr(expectation, name, None)) == _plain(value) for name, value in change.where.items()
    )


def _same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and a.configuration.kwargs == b.configuration.kwargs and a.severity == b.severity


def _plain(value: Any) -> Any:
    return getattr(value, "value", value)


def _told(error: Exception) -> str:
    """What pydantic says, in a line: each argument and what is wrong with it."""
    if not hasattr(error, "errors"):
        return " ".join(str(error).split())[:300]
    told = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
    return "; ".join(dict.fromkeys(told)).replace("extra fields not permitted", "no such argument")


def _hint(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name, list(known), 1)
    return f"; did you mean {close[0]!r}?" if close else ""
