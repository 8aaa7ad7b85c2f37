"""Connectors: one file is one kind of external system, one row in `REGISTRY` is its name.

A connector module offers

* `SUMMARY`: one line, `EXAMPLE`: a YAML dataset for `recon.yaml` (both shown by `recon connectors`),
* `Options`: a pydantic model (`extra="forbid"`) of the keys that it adds to a dataset,
* `Source(options, context)`: plans splits and reads them (the protocol below, or that of a `Tap`), and,
  where it can write,
* `SinkOptions` (a pydantic model) and `Sink(options, context)`: sends corrections (the protocol below).

Modules are named by strings and imported when used, so that a command pays only for what it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from importlib import import_module
from types import ModuleType
from typing import Any, Protocol, Self, TypeVar, runtime_checkable

import pyarrow as pa

from reconcilers.corrections import Correction, Mode, Receipt
from reconcilers.errors import ConfigError

REGISTRY: dict[str, str] = {
    "bigquery": "pipelines.connectors.bigquery",
    "files": "pipelines.connectors.files",
    "http": "pipelines.connectors.http",
    "pubsub": "pipelines.connectors.pubsub",
    "shopify": "pipelines.connectors.shopify",
    "sql": "pipelines.connectors.sql",
}

Kept = TypeVar("Kept")


class Held:
    """What the sources of one capture keep open until everything is read.

    Sources that ask for the same key share it: the datasets of one database share its transaction.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._kept: dict[Hashable, Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def enter(self, key: Hashable, opened: Callable[[], AbstractContextManager[Kept]]) -> Kept:
        """What is kept for `key`; where there is nothing yet, `opened()` is entered."""
        if key not in self._kept:
            self._kept[key] = self._stack.enter_context(opened())
        kept: Kept = self._kept[key]
        return kept


@dataclass(frozen=True)
class Context:
    """What a source knows about its surroundings: where relative paths start, and the local time zone.

    `held` is there where a capture plans, and reads what only the source that planned can read; a
    split that is read elsewhere does without.
    """

    base: str
    timezone: str
    dataset: str
    held: Held | None = None


@dataclass(frozen=True)
class Plan:
    """How a source will be read.

    `splits` are picklable and independent. `as_of` is None where only the rows know it, in their raw
    column `as_of_column`, and up to when they were read in `as_of_hi_column`. `watermark` says up to when
    an event feed is complete. `estimated_rows` decides the number of buckets. Splits that are `local` can
    only be read by the source that planned them, such as those of a transaction that lives in its
    connection. `clock` is what the source's own clock said meanwhile, where it has one; `columns` are the raw
    columns, where they are known before anything is read.

    An `incremental` feed gives only what is new since the snapshot before, so a run reads several of its
    snapshots (`jobs.plan.feed`); `event_id` is the raw column that knows an event again where the mapping
    names none.
    """

    splits: tuple[Any, ...]
    as_of: datetime | None
    as_of_kind: str
    estimated_rows: int
    sources: tuple[str, ...]
    as_of_hi: datetime | None = None
    watermark: datetime | None = None
    as_of_column: str | None = None
    as_of_hi_column: str | None = None
    local: bool = False
    clock: datetime | None = None
    columns: tuple[str, ...] | None = None
    incremental: bool = False
    event_id: str | None = None


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


@runtime_checkable
class Settling(Source, Protocol):
    """A source that is read where it was planned, and knows only afterwards as of when that was."""

    def settled(self, plan: Plan) -> Plan:
        """The plan once everything was read: its instants, and up to when a feed reaches, as they came out."""
        ...


@runtime_checkable
class Tap(Settling, Protocol):
    """A source that gives everything only once; until `captured`, nothing of it is gone.

    It is read after all others, so that its feed reaches as far as their instants.
    """

    def captured(self) -> None:
        """The manifest of the snapshot is durable. Raises `Unreachable`; then some of it comes again."""
        ...

    def close(self) -> None:
        """Give back what was not captured."""
        ...


class Sink(Protocol):
    """One target that takes corrections.

    `modes` are those that it offers. A sink is used by one thread; `send` is given at most `batch_size`
    corrections, none of which has expired.
    """

    modes: frozenset[Mode]
    batch_size: int

    def send(self, corrections: Sequence[Correction]) -> list[Receipt]:
        """Send a batch; a receipt each, in their order, once the target has acknowledged.

        One line that the target refuses never fails the others.

        Raises:
            Unreachable: no answer, so that any of them may have been applied; the same batch may be sent again.
        """
        ...

    def observe(self, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Decimal] | None:
        """What the target shows now, by (sku, location); None where it cannot be asked. Raises `Unreachable`."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


def module(name: str) -> ModuleType:
    """The connector called `name`, imported. Raises `ConfigError` for an unknown name."""
    if name not in REGISTRY:
        raise ConfigError(f"unknown connector {name!r}; there are: {', '.join(sorted(REGISTRY))}")
    return import_module(REGISTRY[name])


def gives_once(name: str) -> bool:
    """Whether the sources of a connector are taps: each snapshot has only what is new."""
    return issubclass(module(name).Source, Tap)


def open_source(name: str, options: dict[str, Any], context: Context) -> Source:
    """Build the source of a dataset from its validated options."""
    connector = module(name)
    source: Source = connector.Source(connector.Options(**options), context)
    return source


def open_sink(name: str, options: dict[str, Any], context: Context) -> Sink:
    """Build the sink of a target from its validated options. Raises `ConfigError` where it cannot be written to."""
    connector = module(name)
    if not hasattr(connector, "Sink"):
        raise ConfigError(f"connector {name!r} only reads")
    sink: Sink = connector.Sink(connector.SinkOptions(**options), context)
    return sink
