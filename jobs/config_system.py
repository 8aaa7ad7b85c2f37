"""Systems in a configuration: where their stock, events and other data come from, and what the columns mean."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from jobs.config_balance import Balance
from jobs.config_orders import Columns, OrderLines
from jobs.config_publish import SinkConfig
from jobs.config_records import Records
from jobs.config_source import Rows, misfit
from jobs.config_text import hint
from jobs.config_values import (
    Duration,
    File,
    KindName,
    Name,
    Strict,
    TimeZone,
    around,
    belongs,
    listed,
    wrong,
    wrong_at,
)
from reconcilers import profiles
from reconcilers.errors import ConfigError
from reconcilers.schemas import Kind


class Step(Strict):
    """Where an order line says how much of it took this step so far, and when."""

    quantity: str
    at: str


def _line_kind(name: str) -> Kind:
    """A kind, where a column of the line might have been meant."""
    if name not in Kind.__members__:
        raise wrong(f"unknown kind{hint(name, [*Kind, *Lines.own_keys()])}")
    return Kind(name)


LineKind = Annotated[Kind, BeforeValidator(_line_kind)]


class Lines(Strict):
    """An export of order lines: its columns, and a step for each kind of event."""

    rest = "steps"
    channel: Columns | None = None
    ref: Columns | None = None
    doc: Columns | None = None
    sku: Columns | None = None
    location: Columns | None = None
    unit: Columns | None = None
    steps: dict[LineKind, Step]

    @field_validator("steps")
    @classmethod
    def _some(cls, steps: dict[Kind, Step]) -> dict[Kind, Step]:
        if not steps:
            raise wrong("has no step, such as SHIP: {quantity: shipped, at: shipped_at}")
        return steps

    def columns(self) -> dict[str, Columns]:
        """The columns that all steps share, by canonical name."""
        return {name: column for name in self.own_keys() if (column := getattr(self, name)) is not None}


class Dataset(Rows):
    """Where the stock or the events of a system come from, and what its columns mean."""

    #: What `reconcilers.canonical.Mapping` calls it, and the suite that it is judged by.
    dataset: ClassVar[str] = ""
    suite: ClassVar[str] = ""

    profile: str | None = None
    absent_means: Literal["missing", "zero"] | None = None
    columns: dict[str, Columns] = Field({})
    constants: dict[str, str] = Field({})
    lines: Lines | None = None
    kinds: dict[str, KindName] = Field({})
    look_back: Duration = timedelta(days=30)

    @field_validator("columns", "constants")
    @classmethod
    def _canonical(cls, given: dict[str, Columns], info: ValidationInfo) -> dict[str, Columns]:
        """Each name alone, so that each problem has its place."""
        told = {name: misfit(cls.dataset, **{str(info.field_name): {name: text}}) for name, text in given.items()}
        refused = {name: message for name, message in told.items() if message is not None}
        if refused:
            raise wrong_at(refused)
        return given

    @model_validator(mode="after")
    def _whole(self) -> Self:
        message = misfit(self.dataset, **self.mapping_kwargs())
        if message is not None:
            raise wrong(message)
        return self

    def mapping_kwargs(self) -> dict[str, Any]:
        """The arguments of `reconcilers.canonical.Mapping` that this dataset decides."""
        from reconcilers.mapping import LineStep

        lines = self.lines
        steps = {} if lines is None else {kind: LineStep(s.quantity, s.at) for kind, s in lines.steps.items()}
        return {
            "columns": {**self.columns, **({} if lines is None else lines.columns())},
            "constants": dict(self.constants),
            "lines": steps,
            "kinds": dict(self.kinds),
            "time_format": self.time_format,
            "end_of_day": self.end_of_day,
            "ambiguous_time": self.ambiguous_time,
            "thousands": self.thousands,
            "decimal": self.decimal,
        }


class Stock(Dataset):
    """How much of everything a system says that it has; `profile` says what that number means."""

    dataset = suite = "stock"
    profile: str
    absent_means: Literal["missing", "zero"] = "missing"
    look_back: Annotated[timedelta, belongs("events")] = timedelta(0)
    lines: Annotated[None, belongs("events")] = None
    kinds: Annotated[dict[str, Kind], belongs("events")] = Field({})

    @field_validator("profile")
    @classmethod
    def _loads(cls, name: str, info: ValidationInfo) -> str:
        try:
            profiles.load(name, around(info).profiles)
        except ConfigError as error:
            raise wrong("; ".join(error.problems)) from error
        return name


class Events(Dataset):
    """What happened: rows of events, or order lines with cumulative quantities (`lines`)."""

    dataset = suite = "events"
    profile: Annotated[None, belongs("stock")] = None
    absent_means: Annotated[None, belongs("stock")] = None

    @model_validator(mode="after")
    def _one_shape(self) -> Self:
        """With `lines`, the steps say the kind, quantity and instant, and nothing else does."""
        if self.lines is not None:
            shared = self.lines.columns()
            for section in ("columns", "constants"):
                for name in getattr(self, section):
                    if name in shared:
                        raise wrong(f"{name!r} is in {section} and in lines; keep one")
                    if name not in self.lines.own_keys():
                        raise wrong(f"{name!r} in {section} has no effect beside lines; its steps say it")
            if self.kinds:
                raise wrong("kinds has no effect beside lines; each step is a kind")
        return self


class System(Strict):
    """One external system: its stock, its feeds of events, its identifiers."""

    timezone: TimeZone = "UTC"
    stock: Stock | None = None
    events: Annotated[tuple[Events, ...], BeforeValidator(listed)] = ()
    aliases: File | None = None
    units: File | None = None
    kits: File | None = None
    records: dict[Name, Records] = Field({})
    balances: dict[Name, Balance] = Field({})
    orders: dict[Name, OrderLines] = Field({})
    sink: SinkConfig | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.stock is None and not self.events and not self.keyed and not self.balances:
            raise wrong("has neither stock nor events nor records nor orders nor balances")
        if taken := [name for name in self.keyed if name == "stock" or name.startswith("events")]:
            raise wrong(f"{'records' if taken[0] in self.records else 'orders'} cannot be called {taken[0]!r}")
        if both := [name for name in self.records if name in self.orders]:
            raise wrong(f"{both[0]!r} is in records and in orders; call one of them something else")
        return self

    @property
    def keyed(self) -> dict[str, Records]:
        """The datasets that are known by a key: records and orders."""
        return {**self.records, **self.orders}


class _Figure(Stock):
    """The figure of a balance."""

    suite = "balance"


class _Postings(Events):
    """The events of a balance."""

    suite = "postings"
    own_kinds: dict[str, bool]

    def mapping_kwargs(self) -> dict[str, Any]:
        """The same as of any events, with kinds that are its own."""
        return {**super().mapping_kwargs(), "own_kinds": self.own_kinds}


def of_balance(owner: System, name: str, balance: Balance) -> System:
    """A balance as what it is: a small system of its own, with a number and its events."""
    (_, figure), *events = balance.datasets(name)
    return System.model_construct(
        timezone=owner.timezone,
        stock=_Figure.model_construct(**figure, profile=name),
        events=tuple(_Postings.model_construct(**each, own_kinds=balance.own_kinds) for _, each in events),
        aliases=balance.aliases,
        sink=balance.sink,
    )
