"""Small captures for the tests of this folder."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq

from pipelines.capture import CaptureRequest, capture
from pipelines.connectors import Context, open_source
from reconcilers.mapping import Mapping

NOW = datetime(2026, 11, 24, tzinfo=UTC)
AS_OF = {"from": "value", "value": "2026-11-23T02:00:00Z"}


def request(base: Path, mapping: Mapping | None = None, buckets: int | None = None, dataset="stock", **options):
    """A capture of files below `base`."""
    return CaptureRequest(
        system="erp",
        dataset=dataset,
        connector="files",
        options={"as_of": AS_OF, **options},
        context=Context(str(base), "Europe/Berlin", dataset),
        mapping=mapping or Mapping("stock" if dataset == "stock" else "events", timezone="Europe/Berlin"),
        buckets=buckets,
    )


def take(base: Path, *args, now=NOW, **options):
    """One snapshot of files below `base`."""
    (snapshot,) = capture([request(base, *args, **options)], str(base / "ws"), now)
    return snapshot


def rows(snapshot, *columns):
    """The rows of a snapshot in the order of their lines."""
    table = snapshot.read_bucket(0, 1)
    found = sorted(table.to_pylist(), key=lambda row: (row["source_file"], row["source_line"]))
    return [tuple(row[column] for column in columns) for row in found]


def rejects(snapshot):
    """(line, reason) of the rejects of a snapshot, in the order of their lines."""
    found = []
    for path in sorted(Path(snapshot.path).glob("rejects/*.parquet")):
        found += [(row["source_line"], row["reason"]) for row in pq.read_table(path).to_pylist()]
    return sorted(found)


def taken(tmp_path, *requests, now=None):
    """Snapshots of live sources, of one capture."""
    return capture(requests, str(tmp_path / "ws"), now or datetime.now(UTC))


def source(request, held=None):
    """The source of a request, without a capture."""
    return open_source(request.connector, request.options, replace(request.context, held=held))
