"""The values that the options of the connector `sql` and its sink share."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from pipelines.connectors.sql_session import Address
from reconcilers.durations import parse_duration
from reconcilers.errors import ConfigError


def _url(text: str) -> str:
    try:
        Address.parse(text)
    except ConfigError as error:
        raise ValueError(str(error)) from None
    return text


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


DatabaseUrl = Annotated[str, AfterValidator(_url)]
Duration = Annotated[timedelta, BeforeValidator(_duration)]
Timeout = Annotated[Duration, AfterValidator(_some)]
