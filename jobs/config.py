"""`recon.yaml`: what there is to reconcile, checked as a whole before anything runs.

Every problem is told at once, each with the line of its key.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from pydantic import (
    BeforeValidator,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails

from jobs.config_balance import Balance, unknown_kinds
from jobs.config_deploy import Deploy
from jobs.config_notify import Notification
from jobs.config_observe import Observe, Retention
from jobs.config_outputs import Outputs
from jobs.config_pair import AnyPair, AnyPairConfig, BalancePair, PairConfig
from jobs.config_pause import PauseHook
from jobs.config_problems import tell
from jobs.config_publish import Publish
from jobs.config_schedule import Schedule, overlaps
from jobs.config_system import System, of_balance
from jobs.config_text import as_written, hint, read, variables
from jobs.config_values import (
    ExistingPair,
    Instant,
    Name,
    PairName,
    Quantity,
    Share,
    Strict,
    Surroundings,
    Whole,
    around,
    listed,
    wrong,
)
from reconcilers import profiles
from reconcilers.errors import ConfigError
from reconcilers.profiles import EffectProfile
from reconcilers.schemas import SCALE

Named = TypeVar("Named")


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
            f"{name}.{short}": of_balance(system, short, balance)
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
