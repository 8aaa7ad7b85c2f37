"""What the models find wrong with a configuration, in the words of the file and at its lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from jobs.config_text import Document, Location, did_you_mean, hint, kind_of, redacted
from jobs.config_values import Strict

_INSTANT = "{value} is not an instant such as 2026-03-01T02:00:00Z"
_DATE = "{value} is not a date such as 2026-11-27"
_WORDS = {
    "told": "{message}",
    "value_error": "{error}",
    "assertion_error": "{error}",
    "model_type": "{value} is not a mapping (key: value)",
    "dict_type": "{value} is not a mapping (key: value)",
    "tuple_type": "{value} is not a list",
    "list_type": "{value} is not a list",
    "string_type": "{value} is not text; put it in quotes",
    "int": "{value} is not a whole number",
    "float": "{value} is not a number",
    "decimal": "{value} is not a number",
    "finite_number": "{value} is not a number",
    "bool": "{value} is not true or false",
    "datetime": _INSTANT,
    "timezone": _INSTANT,
    "date": _DATE,
    "greater_than_equal": "{value} is below {ge}",
    "greater_than": "{value} is not above {gt}",
    "less_than_equal": "{value} is above {le}",
    "less_than": "{value} is not below {lt}",
    "too_short": "is empty; it needs at least one",
    "string_too_short": "{value} is too short; it needs at least {min_length} characters",
    "string_too_long": "{value} is too long; it may have {max_length} characters",
    "literal_error": "{value} is not {expected}",
    "enum": "{value} is not {expected}",
}


def tell(document: Document, error: ValidationError, model: type[Strict]) -> None:
    """Note in the document what `model` found wrong with its data.

    What follows from a problem that is known already is left out: a value that could not be read, a
    missing key that is there, but misspelt, the value of a key that does not exist.
    """
    broken = set(document.problems)
    found = error.errors(include_url=False)
    unknown = {document.find(each["loc"])[0] for each in found if each["type"] == "extra_forbidden"}
    keys = {document.find(each["loc"])[0] for each in found if each["loc"][-1:] == ("[key]",)}
    told: dict[tuple[Location, Location], list[str]] = {}
    for each in found:
        path, value = document.find(each["loc"])
        if any(path[: len(place)] == place for place in broken) or _misspelt(each, path, unknown):
            continue
        if path in keys and each["type"] == "model_type":
            continue
        message = redacted(_message(each, path, document, model), value)
        told.setdefault((path, _alternative(each, path)), []).append(message)
    for (path, _), messages in told.items():
        document.add(path, " and ".join(messages))


def known_keys(model: type[Strict], location: Location, document: Document) -> list[str]:
    """The keys that the mapping at `location` may have."""
    models: list[type[BaseModel]] = [model]
    beside: list[str] = []
    named = False
    for depth, step in enumerate(location):
        if named or isinstance(step, int):
            named, beside = False, []
            continue
        inner = [m for m in models if issubclass(m, Strict) and m.rest == step]
        beside = inner[0].own_keys() if inner else []
        own = inner[0].rest_model(document.find(location[:depth])[1]) if inner else None
        fields = [f for m in models for name, f in m.model_fields.items() if step in (name, f.alias)]
        models = [own] if own else [m for field in fields for m in _models(field.annotation)]
        named = any(get_origin(field.annotation) is dict for field in fields) and own is None
    return [*beside, *(field.alias or name for m in models for name, field in m.model_fields.items())]


def _message(each: ErrorDetails, path: Location, document: Document, model: type[Strict]) -> str:
    if each["type"] == "extra_forbidden":
        return f"unknown key{hint(str(path[-1]), known_keys(model, each['loc'][:-1], document))}"
    if each["type"] == "missing":
        return f"missing key {str(each['loc'][-1])!r}"
    words = _WORDS.get(each["type"]) or _WORDS.get(each["type"].split("_")[0])
    context = each.get("ctx", {})
    if each["input"] is None and each["type"] not in ("told", "value_error"):
        return "has no value"
    if each["type"] == "string_type" and isinstance(each["input"], dict | list):
        return f"{kind_of(each['input'])} is not text"
    if words is None:
        return f"{kind_of(each['input'])}: {each['msg'][:1].lower()}{each['msg'][1:]}"
    return words.format(**{**context, "value": kind_of(each["input"])})


def _misspelt(each: ErrorDetails, path: Location, unknown: set[Location]) -> bool:
    """Whether a missing key is there under a name much like it."""
    name = str(each["loc"][-1])
    return each["type"] == "missing" and any(
        other[:-1] == path and did_you_mean(str(other[-1]), [name]) for other in unknown
    )


def _alternative(each: ErrorDetails, path: Location) -> Location:
    """What tells problems of one place apart: nothing, where they are alternatives of a union."""
    tag = each["loc"][-1] if each["loc"] else ""
    one_of = each["type"] not in ("missing", "told") and path and tag != path[-1] and tag != "[key]"
    return () if one_of else (*each["loc"], each["type"])


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models in an annotation such as `X | None`, `dict[str, X]` or `tuple[X, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    else:
        for argument in get_args(annotation):
            yield from _models(argument)
