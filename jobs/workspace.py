"""A workspace: where snapshots and runs live, locally or under a `gs://` prefix (DESIGN 5)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipelines import filesystem
from reconcilers.errors import ConfigError, Unreachable


@dataclass(frozen=True)
class Workspace:
    """The directory (or prefix) that holds `snapshots/` and `runs/`."""

    root: str

    def run_directory(self, run_id: str) -> str:
        """Where a run writes."""
        return filesystem.join(self.root, "runs", run_id)

    def new_run_id(self, now: datetime, label: str) -> str:
        """A run id that is not taken: the instant of judgement, what ran, a number if need be."""
        stem = f"{now:%Y%m%dT%H%M%SZ}-{label}"
        taken = set(self.run_ids())
        numbers = (stem if n == 1 else f"{stem}-{n}" for n in range(1, len(taken) + 2))
        return next(name for name in numbers if name not in taken)

    def runs(self) -> list[dict[str, Any]]:
        """The summaries of all finished runs, oldest first."""
        finished = [self.summary(name) for name in self.run_ids() if self.has(name, "summary.json")]
        return sorted(finished, key=lambda summary: (summary["started_at"], summary["run_id"]))

    def summary(self, run_id: str) -> dict[str, Any]:
        """The summary of a run. Raises `ConfigError` where there is no such finished run."""
        summary = self.read_json(run_id, "summary.json")
        if summary is None:
            raise ConfigError(f"no finished run {run_id!r} in {self.root}; `recon runs` lists them")
        return summary

    def resolve(self, run_id: str | None) -> dict[str, Any]:
        """The summary of the run asked for, or of the latest one."""
        if run_id is not None:
            return self.summary(run_id)
        runs = self.runs()
        if not runs:
            raise ConfigError(f"no finished run in {self.root}; start with `recon run` or `recon diff`")
        return runs[-1]

    def previous(self, pair: str, now: datetime) -> str | None:
        """The finished run that judged `pair` last, as of `now`.

        A replay of an earlier night is not what tonight goes on from.
        """
        judged = [
            run
            for run in self.runs()
            if pair in {**run["pairs"], **run.get("records", {})} and datetime.fromisoformat(run["now"]) <= now
        ]
        last = max(judged, key=lambda run: (datetime.fromisoformat(run["now"]), run["started_at"]), default=None)
        return None if last is None else str(last["run_id"])

    def has(self, run_id: str, name: str) -> bool:
        """Whether a run has written this file."""
        return filesystem.exists(filesystem.join(self.run_directory(run_id), name))

    def read_json(self, run_id: str, name: str) -> dict[str, Any] | None:
        """A JSON document of a run; None where it has not written it. Raises `Unreachable` where it is damaged."""
        path = filesystem.join(self.run_directory(run_id), name)
        if not filesystem.exists(path):
            return None
        return read_document(path)

    def write_json(self, run_id: str, name: str, document: Mapping[str, Any]) -> str:
        """Write one JSON document of a run, atomically; returns its path."""
        path = filesystem.join(self.run_directory(run_id), name)
        write_document(path, document)
        return path

    def run_ids(self) -> list[str]:
        """The names below `runs/`, whatever they hold."""
        directory = filesystem.join(self.root, "runs")
        return [path.rstrip("/").rsplit("/", 1)[-1] for path in filesystem.list_dirs(directory)]


def read_document(path: str) -> dict[str, Any]:
    """A JSON document. Raises `Unreachable` where it cannot be read, or is damaged."""
    with filesystem.open_read(path) as file:
        text = file.read()
    try:
        document: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise Unreachable(f"{path}: damaged: {error}") from error
    return document


def write_document(path: str, document: Mapping[str, Any]) -> None:
    """Write a JSON document, atomically."""
    text = json.dumps(document, indent=2, default=str, ensure_ascii=False)
    filesystem.write_atomic(path, text.encode())
