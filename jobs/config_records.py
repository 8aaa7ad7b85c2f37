"""Records in a configuration: datasets with a key, and the rules by which two of them are compared."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from jobs.config_source import Rows
from jobs.config_tables import text_table
from jobs.config_values import Duration, File, Quantity, Share, Strict, Texts, around, listed, wrong
from reconcilers.errors import ConfigError
from reconcilers.records import Duplicates
from reconcilers.rules import Rule

if TYPE_CHECKING:
    from reconcilers.keyed import RecordsMapping


def _named(value: Any) -> Any:
    """A list of columns that keep their names, where a mapping may stand."""
    return {name: name for name in value} if isinstance(value, list) else value


def _alias_table(value: Any, info: ValidationInfo) -> Any:
    """A CSV table `raw,key`, or the same as a mapping."""
    return value if isinstance(value, dict) else around(info).base / str(value)


class Records(Rows):
    """A dataset of records: what names one, and which columns it has."""

    key: Annotated[tuple[str, ...], BeforeValidator(listed), Field(min_length=1)]
    columns: Annotated[dict[str, str], BeforeValidator(_named), Field(min_length=1)]
    types: dict[str, str] = Field({})
    aliases: dict[str, Annotated[dict[str, str] | File, BeforeValidator(_alias_table)]] = Field({})

    @model_validator(mode="after")
    def _whole(self) -> Self:
        try:
            self.mapping("UTC")
        except ConfigError as error:
            raise wrong(str(error)) from error
        return self

    def mapping(self, timezone: str) -> RecordsMapping:
        """What its columns mean; `timezone` is that of its system."""
        from reconcilers.keyed import RecordsMapping

        time, number = self.writing(timezone)
        return RecordsMapping(
            key=self.key,
            columns=self.columns,
            types=self.types,
            aliases={column: _aliases(given) for column, given in self.aliases.items()},
            time=time,
            number=number,
        )


def _aliases(given: Mapping[str, str] | Path) -> Mapping[str, str]:
    """What the source calls a key, and what it is called here. Raises `ConfigError` where one is there twice."""
    if not isinstance(given, Path):
        return given
    rows = [] if (table := text_table(given, ("raw", "key"))) is None else table.to_pylist()
    found: dict[str, str] = {}
    for row in rows:
        if found.setdefault(row["raw"], row["key"]) != row["key"]:
            raise ConfigError(f"{given}: {row['raw']!r} stands for {found[row['raw']]!r} and for {row['key']!r}")
    return found


class Bound(Strict):
    """Up to which difference two values are the same: as it is, or as a share of the larger one."""

    absolute: Quantity = Decimal(0)
    relative: Share = Decimal(0)


def _bound(value: Any) -> Any:
    """A number where a mapping may stand: an absolute bound."""
    return value if isinstance(value, Mapping) or value is None else {"absolute": value}


class FieldRule(Strict):
    """How one column is compared; exactly where nothing is said."""

    tolerance: Annotated[Bound | None, BeforeValidator(_bound)] = None
    case: Literal["keep", "ignore"] = "keep"
    space: Literal["keep", "ignore"] = "keep"
    unicode: Literal["keep", "ignore"] = "keep"
    truncate: Literal["second", "minute", "hour", "day", "month", "year"] | None = None
    extract: str | None = None
    shape: Literal["value", "set", "json"] = "value"
    separator: str = ","
    empty_is_null: bool = False

    @field_validator("extract")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        try:
            Rule(extract=pattern)
        except ConfigError as error:
            raise wrong(str(error)) from error
        return pattern

    def rule(self) -> Rule:
        """The rule as the kernel has it."""
        fields = {name: getattr(self, name) for name in FieldRule.model_fields if name != "tolerance"}
        bound = self.tolerance
        if bound is None:
            return Rule(**fields)
        return Rule(**fields, absolute=bound.absolute, relative=bound.relative, number=True)


class Conditions(Strict):
    """Which records of each side are compared, as SQL conditions over its columns."""

    a: str | None = None
    b: str | None = None


class RecordsPair(Strict):
    """The rules between two datasets of records; `map` and `rules` go by the target's columns."""

    kind: Literal["records"]
    renamed: dict[str, str] = Field({}, alias="map")
    rules: dict[str, FieldRule] = Field({})
    ignore: Texts = ()
    where: Conditions = Conditions()
    duplicates: Duplicates = Duplicates.PAIR
    changed_at: str | None = None
    settle: Duration = timedelta(0)

    @model_validator(mode="after")
    def _settles(self, info: ValidationInfo) -> Self:
        if self.settle and self.changed_at is None:
            raise wrong("settle needs changed_at, the column with the instant of a record's last change")
        return self


def split(side: str, systems: Mapping[str, Any]) -> tuple[str, str | None]:
    """The system and the dataset of a side such as `erp` or `erp.prices`."""
    if side in systems:
        return side, None
    system, _, dataset = side.rpartition(".")
    return (system, dataset) if system in systems else (side, None)
