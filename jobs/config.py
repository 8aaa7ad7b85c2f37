"""`recon.yaml`: what there is to reconcile, checked as a whole before anything runs.

Every problem is told at once, each with the line of its key.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import (
    BeforeValidator,
    Field,
    PlainValidator,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails

from jobs.config_balance import Balance, unknown_kinds
from jobs.config_deploy import Deploy
from jobs.config_expectations import Expectations
from jobs.config_notify import Notification
from jobs.config_observe import Observe, Retention
from jobs.config_orders import Columns, OrderLines, OrdersPair, Spelling
from jobs.config_outputs import Outputs
from jobs.config_pause import PauseHook
from jobs.config_problems import tell
from jobs.config_publish import Publish, SinkConfig
from jobs.config_records import Records, RecordsPair
from jobs.config_schedule import Schedule, overlaps
from jobs.config_source import Rows
from jobs.config_text import as_written, hint, read, variables
from jobs.config_values import (
    Duration,
    ExistingPair,
    File,
    Instant,
    KindName,
    Name,
    PairName,
    Quantity,
    Share,
    Strict,
    Surroundings,
    Texts,
    TimeZone,
    Whole,
    around,
    listed,
    wrong,
    wrong_at,
)
from reconcilers import profiles
from reconcilers.errors import ConfigError
from reconcilers.profiles import EffectProfile
from reconcilers.schemas import SCALE, Kind
from reconcilers.shares import Shares

Named = TypeVar("Named")


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
        told = {name: _refusal(cls.dataset, **{str(info.field_name): {name: text}}) for name, text in given.items()}
        refused = {name: message for name, message in told.items() if message is not None}
        if refused:
            raise wrong_at(refused)
        return given

    @model_validator(mode="after")
    def _whole(self) -> Self:
        message = _refusal(self.dataset, **self.mapping_kwargs())
        if message is not None:
            raise wrong(message)
        return self

    def mapping_kwargs(self) -> dict[str, Any]:
        """The arguments of `reconcilers.canonical.Mapping` that this dataset decides."""
        from reconcilers.canonical import LineStep

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


def _belongs(place: str) -> Any:
    """A key that only the other kind of dataset has."""

    def refuse(_: Any) -> None:
        raise wrong(f"belongs to {place}")

    return BeforeValidator(refuse)


class Stock(Dataset):
    """How much of everything a system says that it has; `profile` says what that number means."""

    dataset = suite = "stock"
    profile: str
    absent_means: Literal["missing", "zero"] = "missing"
    look_back: Annotated[timedelta, _belongs("events")] = timedelta(0)
    lines: Annotated[None, _belongs("events")] = None
    kinds: Annotated[dict[str, Kind], _belongs("events")] = Field({})

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
    profile: Annotated[None, _belongs("stock")] = None
    absent_means: Annotated[None, _belongs("stock")] = None

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


def _of_balance(owner: System, name: str, balance: Balance) -> System:
    """A balance as what it is: a small system of its own, with a number and its events."""
    (_, figure), *events = balance.datasets(name)
    return System.model_construct(
        timezone=owner.timezone,
        stock=_Figure.model_construct(**figure, profile=name),
        events=tuple(_Postings.model_construct(**each, own_kinds=balance.own_kinds) for _, each in events),
        aliases=balance.aliases,
        sink=balance.sink,
    )


class References(Spelling):
    """How references become canonical: for both sides, or for one of its own (`a`: the target)."""

    a: Spelling | None = None
    b: Spelling | None = None


class Tolerance(Strict):
    """Up to which unexplained difference a key is fine: in units, or as a share of the larger number."""

    absolute: Quantity = Decimal(0)
    relative: Share = Decimal(0)


class GoodsClass(Strict):
    """The rules of a class of goods; what is not given is as the pair says."""

    tolerance: Tolerance | None = None
    safety_stock: Quantity | None = None


class Channels(Strict):
    """How what can be promised is split over the channels of one authority."""

    weights: dict[str, Annotated[Whole, Field(ge=0)]]
    caps: dict[str, Annotated[Whole, Field(ge=0)]] = Field({})

    @model_validator(mode="after")
    def _splits(self) -> Self:
        try:
            Shares(self.weights, self.caps)
        except ConfigError as error:
            raise wrong(str(error).removeprefix("shares: ")) from error
        return self


class PairConfig(Strict):
    """The rules between the stock of a target and of its authority.

    `goods` is a table of SKUs with their class (sku, class), `classes` has the rules of each class.
    """

    kind: Literal["stock"] = "stock"
    locations: dict[str, Texts] = Field({})
    references: References = References()
    sla: dict[KindName, Duration] = Field({})
    tolerance: Tolerance = Tolerance()
    safety_stock: Quantity = Decimal(0)
    goods: File | None = None
    classes: dict[str, GoodsClass] = Field({})
    shares: Channels | None = None
    returns_sellable: bool = False
    debounce: Whole = Field(1, ge=1)
    high_value: Quantity | None = None
    expectations: dict[Literal["levels", "breaks", "corrections"], Expectations] = Field({})

    @model_validator(mode="after")
    def _both(self) -> Self:
        if bool(self.classes) != (self.goods is not None):
            raise wrong("goods (which SKU is of which class) and classes (the rules of each) need one another")
        return self

    @field_validator("locations")
    @classmethod
    def _pools(cls, locations: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        owner: dict[str, str] = {}
        refused = {place: "names no location of the authority" for place, pooled in locations.items() if not pooled}
        for place, pooled in locations.items():
            for each in pooled:
                if each in owner:
                    refused[place] = f"{each!r} is in two pools ({owner[each]!r} and {place!r})"
                owner[each] = place
        if refused:
            raise wrong_at(refused)
        return locations


class BalancePair(PairConfig):
    """The rules between two balances; with `publish` the target is told what it should show."""

    kind: Literal["balance"]  # type: ignore[assignment]
    sla: dict[str, Duration] = Field({})  # type: ignore[assignment]
    publish: bool = False
    locations: Annotated[dict[str, Any], _belongs("stock")] = Field({})
    safety_stock: Annotated[Decimal, _belongs("stock")] = Decimal(0)
    goods: Annotated[None, _belongs("stock")] = None
    classes: Annotated[dict[str, Any], _belongs("stock")] = Field({})
    shares: Annotated[None, _belongs("stock")] = None
    returns_sellable: Annotated[bool, _belongs("stock")] = False
    high_value: Annotated[None, _belongs("stock")] = None


AnyPairConfig = PairConfig | RecordsPair | OrdersPair


def _by_kind(data: Any, info: ValidationInfo) -> AnyPairConfig:
    """A pair of its kind: stock, if it says nothing else."""
    kind = data.get("kind") if isinstance(data, dict) else None
    models: dict[Any, type[AnyPairConfig]] = {"records": RecordsPair, "orders": OrdersPair, "balance": BalancePair}
    return models.get(kind, PairConfig).model_validate(data, context=info.context)


AnyPair = Annotated[AnyPairConfig, PlainValidator(_by_kind)]


class Gates(Strict):
    """How much may be wrong before a run exits with 1."""

    breaks: Annotated[Whole, Field(ge=0)] | None = None
    break_share: Share | None = None
    units: Quantity | None = None


class Job(Strict):
    """Pairs that are reconciled together."""

    pairs: Annotated[tuple[ExistingPair, ...], BeforeValidator(listed), Field(min_length=1)]
    bounds: Gates = Field(default_factory=Gates, alias="gates")
    schedule: Schedule | None = None
    pause: Annotated[tuple[PauseHook, ...], BeforeValidator(listed)] = ()
    notify: Annotated[tuple[Notification, ...], BeforeValidator(listed)] = ()
    publish: Publish | None = None

    @property
    def gates(self) -> dict[str, int | Decimal]:
        """The bounds that are set, by gate."""
        return self.bounds.model_dump(exclude_none=True)


class Config(Strict):
    """A whole configuration that holds together; `load` makes it."""

    workspace: str = Field(".recon", validate_default=True)
    ledger: str | None = None
    now: Instant | None = None
    decimals: Whole = Field(SCALE, ge=0, le=9)
    buckets: Whole | None = Field(None, ge=1, le=4096)
    profiles: Path | None = Field(None, validate_default=True)
    observe: Observe = Observe()
    retention: Retention = Retention()
    systems: dict[Name, System] = Field(min_length=1)
    pairs: dict[PairName, AnyPair] = Field({})
    jobs: dict[Name, Job] = Field({})
    deploy: Deploy | None = None
    outputs: Outputs = Outputs()
    _surroundings: Surroundings = PrivateAttr()

    def model_post_init(self, context: Any) -> None:
        """Remember where the file is."""
        self._surroundings = context

    @property
    def base(self) -> Path:
        """The directory of the file: where its relative paths start."""
        return self._surroundings.base

    @property
    def file(self) -> Path:
        """The file itself."""
        return self._surroundings.file

    @property
    def config_hash(self) -> str:
        """SHA-256 of the keys and values as written: `${NAME}`, not what it stands for."""
        return self._surroundings.config_hash

    @property
    def written(self) -> Mapping[str, Any]:
        """The file as data."""
        return self._surroundings.data

    @property
    def variables(self) -> list[str]:
        """The environment variables that the file names, each once, in the order of the alphabet."""
        return variables(self._surroundings.data)

    @model_validator(mode="after")
    def _balanced(self) -> Self:
        """The two balances of a pair fit together, and no system is called as one of them."""
        found: list[tuple[tuple[str, ...], str]] = [
            (("systems", name), "is what a balance of another system is called")
            for name in self.systems
            if name in self.balances
        ]
        for name, pair in self.pairs.items():
            if isinstance(pair, BalancePair):
                a, b = (self.balances[side] for side in name.split("~"))
                if len(a.key) != len(b.key):
                    found.append((("pairs", name), f"a key of {len(a.key)} columns against one of {len(b.key)}"))
                wrong_kinds = unknown_kinds(pair.sla, a.effects, b.effects)
                found += [(("pairs", name, "sla", kind), told) for kind, told in wrong_kinds.items()]
        if found:
            errors = [InitErrorDetails(type=wrong(told), loc=place, input=None) for place, told in found]
            raise ValidationError.from_exception_data("configuration", errors)
        return self

    @model_validator(mode="after")
    def _apart(self) -> Self:
        """No two jobs at one pair at the same time."""
        schedules = {name: job.schedule for name, job in self.jobs.items() if job.schedule is not None}
        found = list(overlaps(schedules, {name: job.pairs for name, job in self.jobs.items()}))
        if found:
            errors = [
                InitErrorDetails(type=wrong(why), loc=("jobs", job, "schedule"), input=None) for job, why in found
            ]
            raise ValidationError.from_exception_data("configuration", errors)
        return self

    @property
    def balances(self) -> dict[str, Balance]:
        """Every balance by its full name, such as `app.points`."""
        return {
            f"{name}.{short}": balance
            for name, system in self.systems.items()
            for short, balance in system.balances.items()
        }

    @cached_property
    def places(self) -> dict[str, System]:
        """Everything that has a number and events: the systems, and each of their balances as a small one."""
        small = {
            f"{name}.{short}": _of_balance(system, short, balance)
            for name, system in self.systems.items()
            for short, balance in system.balances.items()
        }
        return {**self.systems, **small}

    def system(self, name: str) -> System:
        """The system, or the balance, called `name`. Raises `ConfigError` where there is none."""
        return _named(self.places, "system", name)

    def profile(self, name: str) -> EffectProfile:
        """What the number of a system, or of a balance, means. Raises `ConfigError` where it has none."""
        if name in self.balances:
            return self.balances[name].profile(name)
        stock = self.system(name).stock
        if stock is None:
            raise ConfigError(f"systems.{name}: no stock dataset with a profile")
        return profiles.load(stock.profile, self.profiles)

    def pair(self, name: str) -> AnyPairConfig:
        """The pair called `name`. Raises `ConfigError` where there is none."""
        return _named(self.pairs, "pair", name)

    def stock_pair(self, name: str) -> PairConfig:
        """The pair called `name`, which compares stock. Raises `ConfigError` where there is none."""
        pair = self.pair(name)
        if not isinstance(pair, PairConfig):
            raise ConfigError(f"pair {name!r} is of kind {pair.kind}, not stock")
        return pair

    def job(self, name: str) -> Job:
        """The job called `name`. Raises `ConfigError` where there is none."""
        return _named(self.jobs, "job", name)

    @field_validator("workspace")
    @classmethod
    def _absolute(cls, workspace: str, info: ValidationInfo) -> str:
        if "://" not in workspace:
            return str(around(info).base / Path(workspace).expanduser())
        if not workspace.startswith("gs://"):
            raise wrong(f"{workspace!r} is neither a directory nor a gs:// prefix")
        return workspace

    @field_validator("buckets")
    @classmethod
    def _power_of_two(cls, buckets: Whole | None) -> int | None:
        if buckets is not None and buckets & (buckets - 1):
            raise wrong(f"{buckets} is not a power of two")
        return buckets

    @field_validator("profiles")
    @classmethod
    def _own(cls, profiles: Path | None, info: ValidationInfo) -> Path | None:
        base = around(info).base
        if profiles is not None and not (base / profiles.expanduser()).is_dir():
            raise wrong(f"no such directory: {base / profiles}")
        return around(info).profiles


def load(path: Path) -> Config:
    """Read and check a configuration.

    Raises:
        ConfigError: everything that is wrong with it, a line each.
    """
    document = read(path, os.environ)
    written = json.dumps(as_written(document.data), sort_keys=True)
    surroundings = Surroundings(
        file=path.absolute(),
        config_hash=hashlib.sha256(written.encode()).hexdigest(),
        data=document.data,
    )
    try:
        config = Config.model_validate(document.data, context=surroundings)
    except ValidationError as error:
        tell(document, error, Config)
        document.check()
        raise
    document.check()
    return config


def _named(among: Mapping[str, Named], what: str, name: str) -> Named:
    if name not in among:
        raise ConfigError(f"no {what} {name!r}{hint(name, among)}")
    return among[name]


def _refusal(dataset: str, **arguments: Any) -> str | None:
    """What the column mapping thinks is wrong with the arguments, if anything."""
    from reconcilers.canonical import Mapping as ColumnMapping

    try:
        ColumnMapping(dataset=dataset, **arguments)
    except ConfigError as error:
        return str(error)
    return None
