"""Balances in a configuration: figures with events of kinds of their own, such as loyalty points."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from jobs.config_publish import SinkConfig
from jobs.config_source import Rows, misfit
from jobs.config_text import hint
from jobs.config_values import Duration, File, Name, Strict, listed, wrong, wrong_at
from reconcilers.errors import ConfigError
from reconcilers.schemas import Kind

if TYPE_CHECKING:
    from reconcilers.profiles import EffectProfile

#: What one unit of an event does to the figure; `signed`: its quantity says so itself.
Effect = Literal[1, 0, -1, "signed"]

#: Where the parts of a key are in the canonical rows; a key of one column is at the place of its balance.
_PLACES = ("sku", "location")


class _Rows(Rows):
    """Rows of a balance: columns go by the names of its key, and by those of `OWN`."""

    OWN: ClassVar[tuple[str, ...]] = ()

    columns: dict[str, str] = Field({})
    constants: dict[str, str] = Field({})

    def canonical(self, key: tuple[str, ...], name: str) -> dict[str, Any]:
        """The fields of a dataset of stock or events that has the same rows."""
        columns = {column: column for column in key if column not in self.constants} | self.columns
        place = dict(zip(key, _PLACES, strict=False))
        constants = {} if len(key) == len(_PLACES) else {_PLACES[1]: name}
        return {
            **{field: getattr(self, field) for field in type(self).model_fields},
            "columns": {place.get(column, column): raw for column, raw in columns.items()},
            "constants": constants | {place.get(column, column): text for column, text in self.constants.items()},
        }

    def problems(self, key: tuple[str, ...]) -> list[str]:
        """What is wrong with its columns."""
        known = [*key, *self.OWN]
        return [
            f"{section}: no column {name!r}{hint(name, known)}; there are {', '.join(known)}"
            for section in ("columns", "constants")
            for name in getattr(self, section)
            if name not in known
        ]


class Figure(_Rows):
    """How much of it everybody has, as a system says."""

    OWN = ("quantity", "as_of", "as_of_hi")

    absent_means: Literal["missing", "zero"] = "missing"


class Postings(_Rows):
    """What happened to it, an event a row; `kinds` has the source's own words for the kinds of the balance."""

    OWN = ("kind", "ref", "quantity", "posted_at", "event_id")

    kinds: dict[str, str] = Field({})
    look_back: Duration = timedelta(days=30)


class Balance(Strict):
    """A figure with its events: what names an account, and what each kind of event does to the figure.

    `lag` is how far the figure may trail behind its instant, `aliases` a table of what the system calls
    an account (raw) and what it is called here (key).
    """

    key: Annotated[tuple[str, ...], BeforeValidator(listed), Field(min_length=1, max_length=2)]
    effects: dict[Name, Effect] = Field(min_length=1)
    lag: Duration = timedelta(0)
    figure: Figure
    events: Annotated[tuple[Postings, ...], BeforeValidator(listed), Field(min_length=1)]
    aliases: File | None = None
    sink: SinkConfig | None = None

    @field_validator("key")
    @classmethod
    def _named(cls, key: tuple[str, ...]) -> tuple[str, ...]:
        taken = [name for name in key if name in (*Figure.OWN, *Postings.OWN)]
        if taken or len(set(key)) < len(key):
            raise wrong(f"{(taken or key)[0]!r} is the name of another column; call it otherwise, and map it")
        return key

    @field_validator("effects")
    @classmethod
    def _moves(cls, effects: dict[str, Effect]) -> dict[str, Effect]:
        if Kind.PUBLISH in effects:
            raise wrong_at({str(Kind.PUBLISH): "is what a correction of ours is called; name it otherwise"})
        try:
            _profile("balance", effects, timedelta(0))
        except ConfigError as error:
            raise wrong(str(error).partition(": ")[2]) from error
        return effects

    @model_validator(mode="after")
    def _whole(self) -> Self:
        problems = [f"figure.{told}" for told in self.figure.problems(self.key)]
        for each in self.events:
            problems += [f"events.{told}" for told in each.problems(self.key)]
            problems += [
                f"events.kinds.{word}: no kind {kind!r} in effects{hint(kind, self.effects)}"
                for word, kind in each.kinds.items()
                if kind not in self.effects
            ]
        problems += [] if problems else _unfit(self.datasets("balance"))
        if problems:
            raise wrong("; ".join(problems))
        return self

    def datasets(self, name: str) -> list[tuple[str, dict[str, Any]]]:
        """Its figure and its events as datasets of stock and events: the kind of each, and its fields."""
        events = [("events", each.canonical(self.key, name)) for each in self.events]
        return [("stock", self.figure.canonical(self.key, name)), *events]

    @property
    def own_kinds(self) -> dict[str, bool]:
        """Its kinds of events, and whether the quantity of each has a sign of its own."""
        return {kind: effect == "signed" for kind, effect in self.effects.items()}

    def profile(self, name: str) -> EffectProfile:
        """What each kind does to the figure; a correction of ours moves it as well."""
        return _profile(name, {**self.effects, Kind.PUBLISH: 1}, self.lag)


def _profile(name: str, effects: Mapping[str, Effect], lag: timedelta) -> EffectProfile:
    from reconcilers.profiles import EffectProfile

    coefficients = {kind: 1 if effect == "signed" else effect for kind, effect in effects.items()}
    return EffectProfile(name, coefficients, basis="balance", lag=lag)


def _unfit(datasets: Iterable[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """What the column mapping thinks is wrong with datasets."""
    told = (
        (dataset, misfit(dataset, columns=fields["columns"], constants=fields["constants"]))
        for dataset, fields in datasets
    )
    return [f"{'figure' if dataset == 'stock' else 'events'}: {problem}" for dataset, problem in told if problem]


def unknown_kinds(sla: Iterable[str], *effects: Mapping[str, Any]) -> dict[str, str]:
    """The kinds that no balance of a pair has, and what to say of each."""
    known = list(dict.fromkeys(kind for each in effects for kind in each))
    return {kind: f"no balance of the pair has this kind{hint(kind, known)}" for kind in sla if kind not in known}
