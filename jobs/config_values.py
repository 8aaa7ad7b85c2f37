"""The values of a configuration: what a time zone, an instant, a quantity or a name may be.

Each type checks itself and tells a problem in the words of a user; what a value has to know about the
rest of the file comes from `Surroundings`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from jobs.config_text import did_you_mean, hint, kind_of
from reconcilers import durations
from reconcilers.schemas import PRECISION, SCALE, Kind

_CLOCK = r"(?:[01]\d|2[0-3]):[0-5]\d"


@dataclass(frozen=True)
class Surroundings:
    """What a part of the configuration has to know about the rest to check itself."""

    file: Path
    config_hash: str
    data: Mapping[str, Any]

    @property
    def base(self) -> Path:
        """The directory of the file: where its relative paths start."""
        return self.file.parent

    def names(self, section: str) -> list[str]:
        """The names in a section of the file: its systems, its pairs."""
        found = self.data.get(section)
        return list(found) if isinstance(found, dict) else []

    def has_stock(self, system: str) -> bool:
        """Whether a system of the file says where its stock is."""
        found = self.data["systems"][system]
        return not isinstance(found, dict) or found.get("stock") is not None

    def within(self, system: str, section: str) -> list[str]:
        """The names in a section of a system: its records, its orders, its balances."""
        found = self.data["systems"][system]
        named = found.get(section) if isinstance(found, dict) else None
        return list(named) if isinstance(named, dict) else []

    def kind(self, pair: str) -> str:
        """The kind of a pair of the file."""
        found = self.data["pairs"][pair]
        return str(found.get("kind") or "stock") if isinstance(found, dict) else "stock"

    @property
    def profiles(self) -> Path | None:
        """The directory of the user's own profiles, if there is one."""
        named = self.data.get("profiles")
        place = self.base / Path(named if isinstance(named, str) else "profiles").expanduser()
        return place if place.is_dir() else None

    @property
    def decimals(self) -> int:
        """The decimal places of a quantity."""
        named = self.data.get("decimals")
        return named if type(named) is int and 0 <= named <= 9 else SCALE


def around(info: ValidationInfo) -> Surroundings:
    """The surroundings of the value under validation."""
    return cast(Surroundings, info.context)


def wrong(message: str) -> PydanticCustomError:
    """A problem, told as it is."""
    return PydanticCustomError("told", "{message}", {"message": message})


def wrong_at(messages: Mapping[str, str]) -> ValidationError:
    """Several problems, each at its key."""
    errors = [InitErrorDetails(type=wrong(message), loc=(key,), input=None) for key, message in messages.items()]
    return ValidationError.from_exception_data("configuration", errors)


def unknown(keys: Iterable[str]) -> ValidationError:
    """Keys that a mapping does not have."""
    errors = [InitErrorDetails(type="extra_forbidden", loc=(key,), input=None) for key in keys]
    return ValidationError.from_exception_data("configuration", errors)


def _timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise wrong(f"{name!r} is not a time zone{_near_zone(name)}") from error
    return name


def _near_zone(name: str) -> str:
    zones = available_timezones()
    city = name.rsplit("/", 1)[-1].replace(" ", "_").lower()
    same = sorted(zone for zone in zones if zone.rsplit("/", 1)[-1].lower() == city)
    near = same or get_close_matches(name, sorted(zones), n=1)
    return f"; did you mean {near[0]!r}?" if near else "; names are such as 'Europe/Berlin' or 'UTC'"


def _instant(value: Any) -> datetime:
    try:
        instant = datetime.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise wrong(f"{kind_of(value)} is not an instant such as 2026-03-01T02:00:00Z") from error
    if instant.tzinfo is None:
        raise wrong(f"{kind_of(value)} has no offset; add Z (UTC) or one such as +01:00")
    return instant.astimezone(UTC)


def _duration(value: Any) -> timedelta:
    try:
        return durations.parse_duration(value)
    except (TypeError, ValueError) as error:
        raise wrong(f"{kind_of(value)} is not an ISO 8601 duration such as P1D or PT4H") from error


def _kind(value: Any) -> Kind:
    if value not in Kind.__members__:
        raise wrong(f"unknown kind {kind_of(value)}{hint(str(value), Kind)}")
    return Kind(value)


def _number(value: Any) -> Any:
    """Not true or false, which Python takes for 1 and 0."""
    if isinstance(value, bool):
        raise wrong(f"{kind_of(value)} is not a number")
    return value


def _exact(value: Decimal, info: ValidationInfo) -> Decimal:
    """A quantity that the configured decimal places can hold."""
    places = around(info).decimals
    if -int(value.normalize().as_tuple().exponent) > places:
        raise wrong(f"{value} has more than {places} decimal places (decimals: {places})")
    if abs(value) >= 10 ** (PRECISION - places):
        raise wrong(f"{value} does not fit {PRECISION - places} digits before the point")
    return value


def _file(value: Path, info: ValidationInfo) -> Path:
    path = around(info).base / value.expanduser()
    if not path.is_file():
        raise wrong(f"no such file: {path}")
    return path


def _pair(name: str, info: ValidationInfo) -> str:
    """The name of a pair: two systems of the file that have stock, or two datasets of records."""
    sides = name.split("~")
    if len(sides) != 2 or sides[0] == sides[1]:
        raise wrong(f"{name!r} is not <target>~<authority>, two systems such as storefront~erp")
    for side in sides:
        if (kind := around(info).kind(name)) in _PARTS:
            _part_side(side, kind, around(info))
        else:
            _stock_side(side, around(info))
    return name


def _stock_side(side: str, known: Surroundings) -> None:
    if side not in known.names("systems"):
        raise wrong(f"no system {side!r}{hint(side, known.names('systems'))}")
    if not known.has_stock(side):
        raise wrong(f"system {side!r} has no stock to compare")


#: Pairs of these kinds compare parts of systems: the section of a system that has them, and an example.
_PARTS = {
    "records": ("records", "erp.prices"),
    "orders": ("orders", "erp.web"),
    "balance": ("balances", "crm.points"),
}


def _part_side(side: str, kind: str, known: Surroundings) -> None:
    section, example = _PARTS[kind]
    parts = [f"{system}.{name}" for system in known.names("systems") for name in known.within(system, section)]
    if side not in parts:
        raise wrong(f"no {kind} {side!r}{hint(side, parts)}; a side is <system>.<{kind}>, such as {example}")


def _existing_pair(name: str, info: ValidationInfo) -> str:
    known = around(info).names("pairs")
    if name not in known:
        raise wrong(f"no pair {name!r}{hint(name, known)}")
    return name


def like(pattern: str, words: str) -> AfterValidator:
    """Text of one shape; `words` say which."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise wrong(f"{value!r} is not {words}")
        return value

    return AfterValidator(check)


def listed(value: Any) -> Any:
    """One where a list may stand."""
    return value if isinstance(value, list | tuple) or value is None else [value]


def own_options(
    options: dict[str, Any], info: ValidationInfo, key: str, model_of: Callable[[str], type[BaseModel]]
) -> dict[str, Any]:
    """The keys that belong to what `key` chooses, checked by its own model; one without a value is not there."""
    if key not in info.data:
        misspelt = [name for name in options if did_you_mean(name, [key])]
        if misspelt:
            raise unknown(misspelt)
        return {}
    model = model_of(info.data[key])
    given = {name: value for name, value in options.items() if value is not None or name not in model.model_fields}
    model(**given)
    return given


def _time_format(value: str) -> str:
    if value == "iso":
        return value
    if "%" not in value:
        raise wrong(f"{value!r} is neither iso nor a pattern such as '%d.%m.%Y %H:%M'")
    try:
        datetime.strptime("", value)  # noqa: DTZ007
    except ValueError as error:
        if "does not match" not in str(error):
            raise wrong(str(error)) from error
    return value


Name = Annotated[str, like(r"[A-Za-z0-9][A-Za-z0-9._-]*", "a name of letters, digits, '-', '_' and '.'")]
Cron = Annotated[str, like(r"(?:[\w*/,-]+ +){4}[\w*/,-]+", "five cron fields such as '15 2 * * *'")]
Window = Annotated[str, like(rf"{_CLOCK}-{_CLOCK}", "a window such as '01:00-05:00'")]
TimeZone = Annotated[str, AfterValidator(_timezone)]
Instant = Annotated[datetime, BeforeValidator(_instant)]
Duration = Annotated[timedelta, BeforeValidator(_duration)]
PairName = Annotated[str, AfterValidator(_pair)]
ExistingPair = Annotated[str, AfterValidator(_existing_pair)]
KindName = Annotated[Kind, BeforeValidator(_kind)]
Whole = Annotated[int, BeforeValidator(_number)]
Quantity = Annotated[Decimal, BeforeValidator(_number), Field(ge=0), AfterValidator(_exact)]
Share = Annotated[Decimal, BeforeValidator(_number), Field(ge=0, le=1)]
File = Annotated[Path, AfterValidator(_file)]
Pattern = Annotated[str, AfterValidator(_time_format)]
Texts = Annotated[tuple[str, ...], BeforeValidator(listed)]


class Strict(BaseModel):
    """A mapping of the file: only known keys; a key without a value is as if it were not there.

    `repr` shows what was written: never what came from the environment.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    #: The field that takes all keys that are not the model's own.
    rest: ClassVar[str | None] = None
    _written: dict[str, Any] = PrivateAttr(default_factory=dict)

    @model_validator(mode="wrap")
    @classmethod
    def _read(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(data, dict):
            return handler(data)
        own = cls.own_keys()
        given = {key: value for key, value in data.items() if value is not None or key not in own}
        if cls.rest is not None:
            others = {key: value for key, value in given.items() if key not in own}
            given = {**{key: value for key, value in given.items() if key in own}, cls.rest: others}
        made = handler(given)
        made._written.update(data)
        return made

    @classmethod
    def own_keys(cls) -> list[str]:
        """The keys that the model itself knows."""
        return [field.alias or name for name, field in cls.model_fields.items() if name != cls.rest]

    @classmethod
    def rest_model(cls, data: Any) -> type[BaseModel] | None:
        """The model that checks the keys in `rest`, if another one does."""
        return None

    def in_the_file(self) -> dict[str, Any]:
        """What the file says, with the secrets in it known as such: for `redacted`."""
        return self._written

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        return self._written.items()


def belongs(place: str) -> Any:
    """A key that only the other kind of dataset has."""

    def refuse(_: Any) -> None:
        raise wrong(f"belongs to {place}")

    return BeforeValidator(refuse)
