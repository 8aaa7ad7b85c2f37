"""Metrics of the last run of a job, for Prometheus: a text file that its node exporter collects.

A batch job is gone before anybody could scrape it. Of the two ways to be heard nevertheless, the text
file needs no server and no library; it says the last state until the next run replaces it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from jobs.run_state import RunState
from pipelines import filesystem

_HELP = {
    "recon_run_started_timestamp_seconds": "When the last run of the job began.",
    "recon_run_finished_timestamp_seconds": "When the last run of the job was finished.",
    "recon_run_failed": "1 if the last run of the job failed or was stopped, else 0.",
    "recon_run_within_gates": "1 if the last run was within its gates, else 0.",
    "recon_step_duration_seconds": "How long a step of the last run took.",
    "recon_keys": "Stock numbers compared, by class.",
    "recon_units": "Units by which they differ, by class.",
    "recon_records": "Orders and other records compared, by class.",
    "recon_snapshot_as_of_timestamp_seconds": "The instant of a snapshot that the run used.",
    "recon_snapshot_rows": "Rows of a snapshot that the run used.",
    "recon_snapshot_rejected_rows": "Rows that could not be used.",
    "recon_gate_value": "What a gate measured.",
}

Sample = tuple[str, dict[str, str], float]


def write(directory: str, state: RunState, summary: Mapping[str, Any] | None) -> str:
    """Replace `recon_<job>.prom` in the directory; returns its path. Raises `Unreachable`."""
    path = filesystem.join(directory, f"recon_{state.job}.prom")
    filesystem.write_atomic(path, text(state, summary).encode())
    return path


def text(state: RunState, summary: Mapping[str, Any] | None) -> str:
    """The metrics of a run in the text format of Prometheus."""
    lines: list[str] = []
    by_name: dict[str, list[Sample]] = {}
    for sample in _samples(state, summary):
        by_name.setdefault(sample[0], []).append(sample)
    for name, samples in by_name.items():
        lines += [f"# HELP {name} {_HELP[name]}", f"# TYPE {name} gauge"]
        for _, labels, value in samples:
            shown = ",".join(f'{label}="{_escaped(each)}"' for label, each in labels.items())
            lines.append(f"{name}{{{shown}}} {float(value):.16g}")
    return "\n".join([*lines, ""])


def _samples(state: RunState, summary: Mapping[str, Any] | None) -> Iterator[Sample]:
    job = {"job": state.job or ""}
    yield "recon_run_started_timestamp_seconds", job, state.started_at.timestamp()
    yield "recon_run_failed", job, state.state == "FAILED"
    if summary is None:
        return
    yield "recon_run_finished_timestamp_seconds", job, _seconds(summary["finished_at"])
    yield "recon_run_within_gates", job, all(gate["passed"] for gate in summary["gates"])
    for step, seconds in summary["timings"].items():
        yield "recon_step_duration_seconds", {**job, "step": step}, seconds
    for pair, found in summary["pairs"].items():
        for name, amounts in found["classes"].items():
            labels = {**job, "pair": pair, "class": name}
            yield "recon_keys", labels, amounts["keys"]
            yield "recon_units", labels, amounts["units"]
    for pair, found in summary.get("records", {}).items():
        for name, number in found["classes"].items():
            yield "recon_records", {**job, "pair": pair, "class": name}, number
    for snapshot in summary["snapshots"]:
        labels = {**job, "system": snapshot["system"], "dataset": snapshot["dataset"]}
        yield "recon_snapshot_as_of_timestamp_seconds", labels, _seconds(snapshot["as_of"])
        yield "recon_snapshot_rows", labels, snapshot["rows"]
        yield "recon_snapshot_rejected_rows", labels, snapshot["rejected"]
    for gate in summary["gates"]:
        yield "recon_gate_value", {**job, "pair": gate["pair"], "gate": gate["gate"]}, gate["value"]


def _seconds(instant: str) -> float:
    return datetime.fromisoformat(instant).timestamp()


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
