"""What is published, and how far that has come: the files below `runs/<run_id>/publish/`.

plan.json            who proposed it, when, under which policy; corrections are planned once
plan.parquet         every correction of the run as it would be sent (`outgoing_schema`)
decisions/*.json     approvals, rejections and gates let go, one file each
outgoing/*.parquet   waves: what goes out, a row group a batch
receipts/*.parquet   what the target answered, a file a batch, and what later looks found
lock.json            held by the process that publishes
state.json           HELD, WAITING, PUBLISHING, PUBLISHED …, for whoever only wants to know
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.config import Config
from jobs.config_publish import Publish
from jobs.workspace import Workspace, read_document, write_document
from pipelines import filesystem
from pipelines.publish import read_receipts, read_waves
from reconcilers.errors import ConfigError
from reconcilers.published import fates

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

    def planned(self) -> pa.Table | None:
        """The corrections as they were planned; None before."""
        path = self._at("plan.parquet")
        if not filesystem.exists(path):
            return None
        with filesystem.open_read(path) as file:
            return pq.read_table(file)

    def proposal(self) -> dict[str, Any] | None:
        """Who planned it, when and under which policy; None before."""
        return self._json("plan.json")

    def decisions(self) -> list[dict[str, Any]]:
        """What was approved, rejected and let go, in the order in which it was."""
        paths = filesystem.list_files(self._at("decisions"))
        return [read_document(path) for path in paths if path.endswith(".json")]

    def fates(self) -> pa.Table:
        """What has become of every correction that was ever on its way out (`receipts_schema`)."""
        scale = self.config.decimals
        return fates(read_waves(self.place, scale), read_receipts(self.place, scale))

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
