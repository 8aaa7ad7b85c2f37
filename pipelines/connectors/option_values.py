"""Values that the options of several connectors share."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, model_validator

from reconcilers.durations import parse_duration


def _duration(value: Any) -> timedelta:
    if isinstance(value, timedelta):
        return value
    try:
        return parse_duration(value)
    except (TypeError, ValueError):
        raise ValueError(f"{value!r} is not an ISO 8601 duration such as PT30M") from None


def _some(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("must be longer than nothing")
    return value


Duration = Annotated[timedelta, BeforeValidator(_duration)]
Timeout = Annotated[Duration, AfterValidator(_some)]


class Watermark(BaseModel):
    """Up to when a feed is complete: so long before the read, what a query says, or the earlier of both."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lag: Duration | None = None
    query: str | None = None

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.lag is None and self.query is None:
            raise ValueError("watermark has neither lag nor query")
        return self
