"""The results of a run, sent to the outputs of the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobs.config import Config
from jobs.workspace import Workspace


def deliver(config: Config, summary: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """Send a finished run to every output; sent again, it replaces itself.

    Returns:
        Rows by table, by output.

    Raises:
        Unreachable: an output does not answer. The run is finished all the same; `recon export RUN outputs`
            sends it again.
    """
    sent = {}
    if (output := config.outputs.bigquery) is not None:
        from pipelines.bigquery_results import load_run

        directory = Workspace(str(config.workspace)).run_directory(summary["run_id"])
        sent["bigquery"] = load_run(output.place, output.dataset, directory, summary)
    return sent
