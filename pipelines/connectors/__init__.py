"""Connectors: one file is one kind of external system, one row in `REGISTRY` is its name.

A connector module offers

* `SUMMARY`: one line, `EXAMPLE`: a YAML dataset for `recon.yaml` (both shown by `recon connectors`),
* `Options`: a pydantic model (`extra="forbid"`) of the keys that it adds to a dataset,
* `Source(options, context)`: plans splits and reads them (the protocol below).

Modules are named by strings and imported when used, so that a command pays only for what it needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from types import ModuleType
from typing import Any, Protocol

import pyarrow as pa

from reconcilers.errors import ConfigError

REGISTRY: dict[str, str] = {
    "files": "pipelines.connectors.files",
}


@dataclass(frozen=True)
class Context:
    """What a source knows about its surroundings: where relative paths start, and the local time zone."""

    base: str
    timezone: str
    dataset: str


@dataclass(frozen=True)
class Plan:
    """How a source will be read.

    `splits` are picklable and independent. `as_of` is None where only the rows know it, in their raw
    column `as_of_column`. `watermark` says up to when an event feed is complete. `estimated_rows`
    decides the number of buckets.
    """

    splits: tuple[Any, ...]
    as_of: datetime | None
    as_of_kind: str
    estimated_rows: int
    sources: tuple[str, ...]
    as_of_hi: datetime | None = None
    watermark: datetime | None = None
    as_of_column: str | None = None


@dataclass(frozen=True)
class Batch:
    """Raw rows (`source_file`, `source_line` and the source's own columns) and what could not be read.

    `rejects` has `reconcilers.schemas.rejects_schema`.
    """

    rows: pa.RecordBatch
    rejects: pa.Table | None = None


class Source(Protocol):
    """One dataset of one system, readable once, at one instant."""

    def plan(self, now: datetime) -> Plan:
        """Look, do not read: what is there, as of when, in which splits. Raises `Unreachable`."""
        ...

    def read(self, split: Any) -> Iterator[Batch]:
        """Read one split as batches of bounded size. Raises `Unreachable` with file and place."""
        ...


def module(name: str) -> ModuleType:
    """The connector called `name`, imported. Raises `ConfigError` for an unknown name."""
    if name not in REGISTRY:
        raise ConfigError(f"unknown connector {name!r}; there are: {', '.join(sorted(REGISTRY))}")
    return import_module(REGISTRY[name])


def open_source(name: str, options: dict[str, Any], context: Context) -> Source:
    """Build the source of a dataset from its validated options."""
    connector = module(name)
    source: Source = connector.Source(connector.Options(**options), context)
    return source
