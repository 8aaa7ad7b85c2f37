"""OpenLineage events of captures and runs, as its specification has them (OpenLineage.json 2-0-2).

A run is an OpenLineage run of the job, each of its steps one of `<job>.<step>` with the first as parent.
Datasets have names that stay the same from run to run; which snapshot or run it was is their version.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from pipelines import filesystem
from pipelines.snapshots import Snapshot
from reconcilers.errors import Unreachable

Event = dict[str, Any]

PRODUCER = "https://pypi.org/project/recon-toolkit/"
_SCHEMA = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
_FACETS = "https://openlineage.io/spec/facets"

#: What a run leaves behind for others.
OUTPUTS = ("levels", "breaks", "corrections", "differences")

#: How long a collector may take to answer, in seconds.
_PATIENCE = 5.0


def event(
    kind: str,
    at: datetime,
    namespace: str,
    run: tuple[str, str],
    step: str | None = None,
    *,
    inputs: list[Event] | None = None,
    outputs: list[Event] | None = None,
    error: str | None = None,
) -> Event:
    """One event (`START`, `COMPLETE`, `FAIL`, `ABORT`) of a run `(job, run_id)`, or of a step of it."""
    job, run_id = run
    facets: Event = {}
    if step is not None:
        parent = {"run": {"runId": _uuid(run_id)}, "job": {"namespace": namespace, "name": job}}
        facets["parent"] = _facet("1-0-1/ParentRunFacet.json#/$defs/ParentRunFacet", **parent)
    if error is not None:
        facets["errorMessage"] = _facet(
            "1-0-1/ErrorMessageRunFacet.json#/$defs/ErrorMessageRunFacet", message=error, programmingLanguage="Python"
        )
    return {
        "eventType": kind,
        "eventTime": at.isoformat(),
        "run": {"runId": _uuid(run_id, step), "facets": facets},
        "job": {"namespace": namespace, "name": job if step is None else f"{job}.{step}"},
        "inputs": inputs or [],
        "outputs": outputs or [],
        "producer": PRODUCER,
        "schemaURL": _SCHEMA,
    }


def source_datasets(snapshot: Snapshot) -> list[Event]:
    """What a snapshot was captured from: files, databases, queues."""
    return [_named(source) for source in snapshot.manifest.sources]


def snapshot_dataset(snapshot: Snapshot, output: bool) -> Event:
    """A dataset of a system; the snapshot is its version."""
    manifest = snapshot.manifest
    dataset = _named(snapshot.path.rstrip("/").rsplit("/", 1)[0])
    dataset["facets"] = {"version": _version(manifest.snapshot_id)}
    if manifest.dataset == "stock" or manifest.dataset.startswith("events"):  # records have columns of their own
        fields = [{"name": field.name, "type": str(field.type)} for field in snapshot.schema]
        dataset["facets"]["schema"] = _facet("1-1-1/SchemaDatasetFacet.json#/$defs/SchemaDatasetFacet", fields=fields)
    if output:
        size = sum(part.bytes for part in manifest.files)
        dataset["outputFacets"] = {"outputStatistics": _statistics(manifest.rows, size)}
    return dataset


def run_datasets(root: str, run_id: str, summary: Mapping[str, Any]) -> list[Event]:
    """What a run wrote; the run is its version."""
    keys = sum(pair["keys"] for pair in summary["pairs"].values())
    rows = {"levels": keys, "corrections": sum(pair.get("corrections", 0) for pair in summary["pairs"].values())}
    found = []
    kept = OUTPUTS if summary.get("records") else OUTPUTS[:-1]
    for output in kept:
        dataset = _named(filesystem.join(root, "runs", output))
        dataset["facets"] = {"version": _version(run_id)}
        if output in rows:
            dataset["outputFacets"] = {"outputStatistics": _statistics(rows[output])}
        found.append(dataset)
    return found


def send(target: str, key: str | None, events: list[Event]) -> None:
    """Append events to a file of JSON Lines, or post each to a collector. Raises `Unreachable`."""
    if not target.startswith(("http://", "https://")):
        try:
            Path(target).parent.mkdir(parents=True, exist_ok=True)
            with Path(target).open("a", encoding="utf-8") as file:
                file.write("".join(json.dumps(each, ensure_ascii=False) + "\n" for each in events))
        except OSError as error:
            raise Unreachable(f"{target}: {error.strerror or error}") from error
        return
    import httpx

    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        with httpx.Client(timeout=_PATIENCE, headers=headers) as client:
            for each in events:
                client.post(target, json=each).raise_for_status()
    except httpx.HTTPError as error:
        raise Unreachable(
            f"{httpx.URL(target).host}: the lineage collector does not take it: {error!r}"[:300]
        ) from error


def _named(place: str) -> Event:
    """A dataset by OpenLineage's naming: the scheme and host are the namespace, the path is the name."""
    if "://" not in place:
        return {"namespace": "file", "name": place}
    scheme, _, rest = place.partition("://")
    host, _, path = rest.partition("/")
    return {"namespace": f"{scheme}://{host.rpartition('@')[2]}", "name": path.split("?")[0] or "/"}


def _uuid(run_id: str, step: str | None = None) -> str:
    return str(uuid5(NAMESPACE_URL, f"{PRODUCER}{run_id}/{step or ''}"))


def _facet(schema: str, **fields: Any) -> Event:
    return {"_producer": PRODUCER, "_schemaURL": f"{_FACETS}/{schema}", **fields}


def _version(version: str) -> Event:
    return _facet("1-0-1/DatasetVersionDatasetFacet.json#/$defs/DatasetVersionDatasetFacet", datasetVersion=version)


def _statistics(rows: int, size: int | None = None) -> Event:
    amounts = {"rowCount": rows} | ({} if size is None else {"size": size})
    return _facet("1-0-2/OutputStatisticsOutputDatasetFacet.json#/$defs/OutputStatisticsOutputDatasetFacet", **amounts)
