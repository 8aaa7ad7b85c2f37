"""Where a dataset of a configuration comes from: a connector with its own keys, and how the source writes things."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ValidationInfo, field_validator

from jobs.config_expectations import Expectations
from jobs.config_text import hint
from jobs.config_values import Duration, Pattern, Strict, TimeZone, own_options, wrong
from pipelines import connectors
from reconcilers.errors import ConfigError

if TYPE_CHECKING:
    from reconcilers.parsing import NumberFormat, TimeFormat


class Sourced(Strict):
    """A dataset; `options` are the keys of its connector, checked against its own model."""

    rest = "options"

    connector: str
    options: dict[str, Any]

    @field_validator("connector")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in connectors.REGISTRY:
            raise wrong(f"unknown connector {name!r}{hint(name, sorted(connectors.REGISTRY))}")
        return name

    @field_validator("options")
    @classmethod
    def _options(cls, options: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        """What the connector itself thinks of its keys."""
        return own_options(options, info, "connector", lambda name: connectors.module(name).Options)

    @classmethod
    def rest_model(cls, data: Any) -> type[BaseModel] | None:
        """The options of the dataset's connector."""
        name = data.get("connector")
        known = isinstance(name, str) and name in connectors.REGISTRY
        return connectors.module(name).Options if known else None


class Rows(Sourced):
    """Rows of a source: how it writes instants and numbers, and what they must meet."""

    timezone: TimeZone | None = None
    time_format: Pattern | None = None
    end_of_day: Duration = timedelta(0)
    ambiguous_time: Literal["reject", "earlier", "later"] = "reject"
    thousands: Literal["", ",", ".", "'", " "] = ""
    decimal: Literal[".", ","] = "."
    expectations: Expectations = Expectations()

    def writing(self, timezone: str) -> tuple[TimeFormat, NumberFormat]:
        """How instants and numbers are written; `timezone` is that of its system."""
        from reconcilers.parsing import NumberFormat, TimeFormat

        zone = self.timezone or timezone
        return (
            TimeFormat(zone, self.time_format, self.ambiguous_time, self.end_of_day),
            NumberFormat(self.decimal, self.thousands),
        )


def misfit(dataset: str, **arguments: Any) -> str | None:
    """What the column mapping of stock or events thinks is wrong with its arguments, if anything."""
    from reconcilers.mapping import Mapping

    try:
        Mapping(dataset=dataset, **arguments)
    except ConfigError as error:
        return str(error)
    return None
