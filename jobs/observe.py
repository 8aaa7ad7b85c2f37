"""Who is told how a run goes: the ledger, the log, the metrics file, the lineage collector.

The run itself matters more: what cannot be told is logged as a warning, and the run goes on. The one
exception is in `jobs.lease`, which has to reach the ledger before each step.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from jobs import lineage, logs, metrics, plan, run_state
from jobs.config import Config
from jobs.ledger import Ledger
from jobs.run import Run
from jobs.run_state import CAPTURED, SUMMARY
from reconcilers.errors import ReconError

#: The step that concludes, and the last one.
_CONCLUDES, _LAST = "reconcile", "deliver"


class Observer:
    """Told of the steps of a run (`steps.Observe`)."""

    def __init__(self, config: Config, ledger: Ledger) -> None:
        self.config = config
        self.ledger = ledger

    def saw(self, run: Run, step: str, what: str, error: str | None) -> None:
        """A step `began`, was `done`, or `failed` with an error."""
        level = logging.ERROR if what == "failed" else logging.INFO
        seconds = run.timings.get("snapshot" if step == "capture" else step) if what == "done" else None
        logs.tell(f"{step} {what}", level, run_id=run.run_id, job=run.job, step=step, seconds=seconds, error=error)
        state = run_state.read_state(run.workspace, run.run_id)
        if state is None:
            return
        with _kept_going(run):
            run_state.note(self.ledger, state)
        done = what == "done" and step in (_CONCLUDES, _LAST)
        summary = run.workspace.read_json(run.run_id, SUMMARY) if done else None
        if summary is not None and step == _LAST:
            logs.tell("run finished", run_id=run.run_id, job=run.job, verdict=summary["verdict"], faults=state.faults)
        settings = self.config.observe
        if settings.metrics and (what == "failed" or summary is not None):
            with _kept_going(run):
                metrics.write(settings.metrics, state, summary)
        if settings.lineage:
            with _kept_going(run):
                lineage.send(settings.lineage, settings.lineage_key, self._events(run, step, what, error, summary))

    def _events(
        self, run: Run, step: str, what: str, error: str | None, summary: dict[str, Any] | None
    ) -> list[lineage.Event]:
        """The events of one step, and those of the run where it begins or ends with it."""
        kind = {"began": "START", "done": "COMPLETE"}.get(what, "ABORT" if error == "interrupted" else "FAIL")
        now, namespace, name = datetime.now(UTC), self.config.observe.namespace, (run.job or "", run.run_id)
        inputs, outputs = self._datasets(run, step, summary) if what == "done" else ([], [])
        of_step = lineage.event(kind, now, namespace, name, step, inputs=inputs, outputs=outputs, error=error)
        of_run = lineage.event(kind, now, namespace, name, error=error)
        if what == "began":
            return [of_run, of_step] if step == "capture" else [of_step]
        return [of_step, of_run] if what == "failed" or step == _LAST else [of_step]

    def _datasets(
        self, run: Run, step: str, summary: dict[str, Any] | None
    ) -> tuple[list[lineage.Event], list[lineage.Event]]:
        captured = run.workspace.read_json(run.run_id, CAPTURED) or {}
        stored = plan.stored_snapshots(run.workspace, captured["snapshots"])
        found = [snapshot for datasets in stored.values() for snapshot in datasets.values()]
        if step == "capture":
            sources = [source for snapshot in found for source in lineage.source_datasets(snapshot)]
            return sources, [lineage.snapshot_dataset(snapshot, output=True) for snapshot in found]
        written = [] if summary is None else lineage.run_datasets(run.workspace.root, run.run_id, summary)
        if step == _LAST:
            return written, []
        return [lineage.snapshot_dataset(snapshot, output=False) for snapshot in found], written


@contextmanager
def _kept_going(run: Run) -> Iterator[None]:
    """An observer that cannot be reached is no reason to stop."""
    try:
        yield
    except ReconError as error:
        logs.tell(str(error), logging.WARNING, run_id=run.run_id, job=run.job)
