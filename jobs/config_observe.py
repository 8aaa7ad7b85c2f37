"""The sections `observe` and `retention` of a configuration: who is told, and how long things are kept."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo

from jobs.config_values import Duration, Strict, Whole, around, wrong


def _place(value: str, info: ValidationInfo) -> str:
    """A URL as it is, a path relative to the file."""
    if value.startswith(("http://", "https://")):
        return value
    if "://" in value:
        raise wrong(f"{value!r} is neither a file nor an http(s):// URL")
    return str(around(info).base / Path(value).expanduser())


def _directory(value: str, info: ValidationInfo) -> str:
    return str(around(info).base / Path(value).expanduser())


class Observe(Strict):
    """Logs, metrics and lineage: for machines that watch over the runs."""

    logs: Literal["text", "json"] = "text"
    metrics: Annotated[str, AfterValidator(_directory)] | None = None
    lineage: Annotated[str, AfterValidator(_place)] | None = None
    lineage_key: str | None = None
    namespace: str = "recon"


class Retention(Strict):
    """How long `recon gc` keeps what nothing needs any more."""

    runs: Duration = timedelta(days=400)
    snapshots: Duration = timedelta(days=90)
    keep_last: Annotated[Whole, Field(ge=1)] = 7
