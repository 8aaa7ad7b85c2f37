"""Validate snapshots: the suite of each dataset, measured on Beam, decided by Great Expectations."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pipelines import filesystem, snapshots
from pipelines.snapshots import Snapshot
from pipelines.validate import Measurement, measure_snapshots

if TYPE_CHECKING:
    from expectations.facts import Facts
    from jobs.run import Run


def validate_snapshots(run: Run, sources: Mapping[str, Mapping[str, Snapshot]]) -> list[dict[str, Any]]:
    """Judge every snapshot, and keep the standard results in `validation/*.json`.

    Returns:
        A row a snapshot: `system, dataset, success, evaluated, failed, critical, messages`, where
        `critical` are the messages of failed critical expectations, and `messages` all of them.
    """
    # Great Expectations takes seconds to import: only where something is judged.
    from expectations import judge

    found = [snapshot for datasets in sources.values() for snapshot in datasets.values()]
    suites = [judge.suite_for(snapshot.manifest.dataset) for snapshot in found]
    measurements = [Measurement(s, judge.metrics_of(suite)) for s, suite in zip(found, suites, strict=True)]
    directory = filesystem.join(run.directory, "validation")
    values = measure_snapshots(measurements, filesystem.join(directory, "buckets"), run.engine)
    rows = []
    for snapshot, suite, measured in zip(found, suites, values, strict=True):
        manifest = snapshot.manifest
        about = {
            "run_id": {"run_name": run.run_id, "run_time": run.now.isoformat()},
            "active_batch_definition": {
                "datasource_name": manifest.system,
                "data_asset_name": manifest.dataset,
                "data_connector_name": "recon",
                "batch_identifiers": {"snapshot_id": manifest.snapshot_id},
            },
        }
        result = judge.judge(suite, measured, _facts(run, snapshot).values(), about)
        path = filesystem.join(directory, f"{manifest.system}.{manifest.dataset}.json")
        text = json.dumps(result.to_json_dict(), indent=2, ensure_ascii=False, default=str)
        filesystem.write_atomic(path, text.encode())
        rows.append(_row(snapshot, result, judge.messages(result), judge.messages(result, "critical")))
    return rows


def _facts(run: Run, snapshot: Snapshot) -> Facts:
    """What the manifests say about a snapshot."""
    from expectations.facts import Facts

    manifest = snapshot.manifest
    earlier = [
        other.manifest.rows
        for other in snapshots.list_snapshots(run.workspace.root, manifest.system, manifest.dataset)
        if other.manifest.finished_at < manifest.finished_at
    ]
    return Facts(
        age_in_hours=(run.now - manifest.as_of).total_seconds() / 3600,
        rejected_share=manifest.rejected / manifest.rows_read if manifest.rows_read else 0.0,
        rows_to_last_time=manifest.rows / earlier[-1] if earlier and earlier[-1] else None,
    )


def _row(snapshot: Snapshot, result: Any, messages: list[str], critical: list[str]) -> dict[str, Any]:
    manifest = snapshot.manifest
    name = f"{manifest.system}/{manifest.dataset}"
    return {
        "system": manifest.system,
        "dataset": manifest.dataset,
        "success": bool(result.success),
        "evaluated": result.statistics["evaluated_expectations"],
        "failed": result.statistics["unsuccessful_expectations"],
        "critical": [f"{name}: {message}" for message in critical],
        "messages": messages,
    }
