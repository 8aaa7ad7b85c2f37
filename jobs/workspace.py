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
        taken = set(self._names())
        numbers = (stem if n == 1 else f"{stem}-{n}" for n in range(1, len(taken) + 2))
        return next(name for name in numbers if name not in taken)

    def runs(self) -> list[dict[str, Any]]:
        """The summaries of all finished runs, oldest first."""
        finished = [
            self.summary(name)
            for name in self._names()
            if filesystem.exists(filesystem.join(self.run_directory(name), "summary.json"))
        ]
        return sorted(finished, key=lambda summary: (summary["started_at"], summary["run_id"]))

    def summary(self, run_id: str) -> dict[str, Any]:
        """The summary of a run. Raises `ConfigError` where there is no such finished run."""
        path = filesystem.join(self.run_directory(run_id), "summary.json")
        if not filesystem.exists(path):
            raise ConfigError(f"no finished run {run_id!r} in {self.root}; `recon runs` lists them")
        with filesystem.open_read(path) as file:
            text = file.read()
        try:
            summary: dict[str, Any] = json.loads(text)
        except ValueError as error:
            raise Unreachable(f"{path}: not a summary: {error}") from error
        return summary

    def resolve(self, run_id: str | None) -> dict[str, Any]:
        """The summary of the run asked for, or of the latest one."""
        if run_id is not None:
            return self.summary(run_id)
        runs = self.runs()
        if not runs:
            raise ConfigError(f"no finished run in {self.root}; start with `recon run` or `recon diff`")
        return runs[-1]

    def previous(self, pair: str) -> str | None:
        """The directory of the last finished run that reconciled `pair`."""
        runs = [run["run_id"] for run in self.runs() if pair in {**run["pairs"], **run.get("records", {})}]
        return self.run_directory(runs[-1]) if runs else None

    def write_json(self, run_id: str, name: str, document: Mapping[str, Any]) -> str:
        """Write one JSON document of a run, atomically; returns its path."""
        path = filesystem.join(self.run_directory(run_id), name)
        text = json.dumps(document, indent=2, default=str, ensure_ascii=False)
        filesystem.write_atomic(path, text.encode())
        return path

    def _names(self) -> list[str]:
        directory = filesystem.join(self.root, "runs")
        return [path.rstrip("/").rsplit("/", 1)[-1] for path in filesystem.list_dirs(directory)]
