"""What is published, and how far that has come: the files below `runs/<run_id>/publish/`.

plan.json            who proposed it, when, under which policy; corrections are planned once
plan.parquet         every correction of the run as it would be sent (`outgoing_schema`)
decisions/*.json     approvals, rejections and gates let go, one file each; *.parquet: the corrections meant
outgoing/*.parquet   waves: what goes out, a row group a batch
receipts/*.parquet   what the target answered, a file a batch, and what later looks found
lock.json            held by the process that publishes
state.json           HELD, WAITING, PUBLISHING, PUBLISHED …, for whoever only wants to know
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import pyarrow as pa

from jobs.config import Config
from jobs.config_publish import Publish
from jobs.workspace import Workspace, read_document, write_document
from pipelines import filesystem
from pipelines.publish import show_fates
from pipelines.queries import Queries, queries, write_rows
from reconcilers.errors import ConfigError

ORIGIN = "rollback.json"


class State(StrEnum):
    """How far the publishing of a run has come."""

    NOTHING = "NOTHING"
    PROPOSED = "PROPOSED"
    HELD = "HELD"
    WAITING = "WAITING"
    APPROVED = "APPROVED"
    PUBLISHING = "PUBLISHING"
    PUBLISHED = "PUBLISHED"
    REJECTED = "REJECTED"
    ROLLED_BACK = "ROLLED_BACK"


@dataclass(frozen=True)
class Publication:
    """The corrections of one run, or of one rollback, and what the configuration says of publishing them.

    `origin` is the run's `summary.json`, or the `rollback.json` of a rollback.
    """

    config: Config
    workspace: Workspace
    run_id: str
    origin: Mapping[str, Any]

    @property
    def directory(self) -> str:
        """Where the run is."""
        return self.workspace.run_directory(self.run_id)

    @property
    def place(self) -> str:
        """Where everything about publishing it is."""
        return filesystem.join(self.directory, "publish")

    @property
    def lock(self) -> str:
        """The file that the process holds which publishes."""
        return filesystem.join(self.place, "lock.json")

    @property
    def is_rollback(self) -> bool:
        """Whether these corrections undo others."""
        return "rollback_of" in self.origin

    @property
    def now(self) -> datetime:
        """The instant of judgement: that of a replay, else the present."""
        return self.config.now or datetime.now(UTC)

    @property
    def rules(self) -> Publish:
        """What its job says of publishing. Raises `ConfigError` where no job says anything."""
        job = self.origin.get("job")
        rules = self.config.jobs[job].publish if job in self.config.jobs else None
        if rules is None:
            where = f"jobs.{job} has no publish" if job in self.config.jobs else f"{job!r} is not a job"
            raise ConfigError(f"run {self.run_id}: {where}, so nothing of it may be published")
        return rules

    @property
    def plan(self) -> str:
        """The file of every correction as it was planned, where it was (`outgoing_schema`)."""
        return self._at("plan.parquet")

    def proposal(self) -> dict[str, Any] | None:
        """Who planned it, when and under which policy; None before."""
        return self._json("plan.json")

    def decisions(self) -> list[tuple[dict[str, Any], str]]:
        """What was approved, rejected and let go, in the order in which it was, and the files of the ids meant.

        Raises `ConfigError` where a decision has no such file: an older version wrote its ids elsewhere.
        """
        paths = filesystem.list_files(self._at("decisions"))
        found = [path for path in paths if path.endswith(".json")]
        for path in found:
            if ids_of(path) not in paths:
                raise ConfigError(
                    f"{path}: a decision of an older version, without {ids_of(path).rsplit('/', 1)[-1]}, cannot be "
                    "read; nothing was sent: move it out of there, and decide again what it says"
                )
        return [(read_document(path), ids_of(path)) for path in found]

    def decide(self, name: str, record: Mapping[str, Any], ids: Iterable[pa.Table]) -> None:
        """Write a decision down: the ids (`correction_id`) first, as the record makes it count."""
        path = self._at(f"decisions/{name}.json")
        write_rows(ids_of(path), ids)
        write_document(path, record)

    @contextmanager
    def fates(self) -> Iterator[Queries]:
        """Queries about `fate`: what has become of every correction that was ever on its way out."""
        with queries() as ask:
            show_fates(ask, self.place, self.config.decimals)
            yield ask

    def counts(self) -> dict[str, int]:
        """How many corrections have come how far."""
        with self.fates() as ask:
            return counts_of(ask)

    def write(self, name: str, document: Mapping[str, Any]) -> None:
        """Write one JSON document below `publish/`, atomically."""
        write_document(self._at(name), document)

    def tell(self, state: State, counts: Mapping[str, int], notes: list[str]) -> None:
        """Write down how far it has come."""
        self.write("state.json", {"state": state, "at": datetime.now(UTC), "counts": counts, "notes": notes})

    def state(self) -> State:
        """How far it has come."""
        found = self._json("state.json")
        if found is not None:
            return State(found["state"])
        proposed = sum(pair["corrections"] for pair in self.origin["pairs"].values())
        return State.PROPOSED if proposed else State.NOTHING

    def _at(self, name: str) -> str:
        return filesystem.join(self.place, name)

    def _json(self, name: str) -> dict[str, Any] | None:
        path = self._at(name)
        return read_document(path) if filesystem.exists(path) else None


def counts_of(ask: Queries) -> dict[str, int]:
    """How many of `fate` have come how far."""
    return ask.counts("select status, count(*) from fate group by status order by status")


def ids_of(decision: str) -> str:
    """The file of the ids that a decision is about."""
    return decision.removesuffix(".json") + ".parquet"


def open_publication(config: Config, run_id: str) -> Publication:
    """The publication of a run or rollback (`latest`: of the latest run). Raises `ConfigError` if there is none."""
    workspace = Workspace(str(config.workspace))
    path = filesystem.join(workspace.run_directory(run_id), ORIGIN)
    if filesystem.exists(path):
        return Publication(config, workspace, run_id, read_document(path))
    summary = workspace.resolve(None if run_id == "latest" else run_id)
    return Publication(config, workspace, summary["run_id"], summary)


def publish_state(config: Config, run_id: str) -> State:
    """How far the publishing of a run has come; what a ledger of runs needs to know."""
    return open_publication(config, run_id).state()
