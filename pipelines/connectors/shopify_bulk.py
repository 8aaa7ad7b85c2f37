"""Bulk operations of Shopify: started, waited for, downloaded; what failed half-way goes on from there.

Source: shopify.dev, "Perform bulk operations": JSON Lines in which a child names its parent in
`__parentId` and, grouped, stands below it; on failure `partialDataUrl` has what was written before.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pipelines.connectors.http_download import download
from pipelines.connectors.http_session import Request
from pipelines.connectors.shopify_api import Api
from reconcilers.errors import Unreachable

_RUN = """
mutation ($query: String!) {
  bulkOperationRunQuery(query: $query, groupObjects: true) {
    bulkOperation { id status }
    userErrors { code message }
  }
}
"""

_POLL = """
query ($id: ID!) {
  node(id: $id) {
    ... on BulkOperation {
      id status errorCode createdAt completedAt objectCount fileSize url partialDataUrl
    }
  }
}
"""

#: How often an export may fail half-way, or wait for another one.
_TRIES = 4

_BUSY = frozenset({"OPERATION_IN_PROGRESS", "LIMIT_REACHED"})
_GOING_ON = frozenset({"CREATED", "RUNNING", "CANCELING"})


@dataclass(frozen=True)
class Export:
    """The files of an export, and between which instants of Shopify's clock it was read."""

    paths: tuple[Path, ...]
    created_at: datetime
    completed_at: datetime


def run(api: Api, query: Callable[[int | None], str], directory: Path, patience: timedelta) -> Export:
    """Export what a query finds. `query(n)` is the query for roots whose numeric id is n or more, in order.

    Raises:
        Unreachable: refused, failed for good, not done within `patience`, or not all there.
    """
    deadline = time.monotonic() + patience.total_seconds()
    paths: list[Path] = []
    created_at: datetime | None = None
    begin: int | None = None
    for attempt in range(1, _TRIES + 1):
        done = _finished(api, _started(api, query(begin), deadline), deadline)
        created_at = created_at or datetime.fromisoformat(done["createdAt"])
        path = directory / f"part-{attempt}.jsonl"
        if done["status"] == "COMPLETED":
            if done["url"] is not None:
                _whole(api, done, path)
                paths.append(path)
            return Export(tuple(paths), created_at, datetime.fromisoformat(done["completedAt"]))
        if done["errorCode"] == "ACCESS_DENIED" or done["status"] != "FAILED":
            break
        if done["partialDataUrl"] is not None:
            download(api.files, Request(done["partialDataUrl"]), path)
            begin = _cut(path) or begin
            paths.append(path)
    told = (done["errorCode"] or "").replace("_", " ").lower()
    raise Unreachable(f"{api.where}: the bulk operation ended as {done['status']}{told and f': {told}'}")


def _started(api: Api, query: str, deadline: float) -> str:
    """The id of an operation that runs; waits while Shopify runs as many as it will."""
    while True:
        # Begun twice, it reads twice: no harm.
        told = api.query(_RUN, query=query)["bulkOperationRunQuery"]
        errors = told["userErrors"]
        if not errors:
            found: str = told["bulkOperation"]["id"]
            return found
        if errors[0]["code"] not in _BUSY:
            raise Unreachable(f"{api.where}: {api.session.redacted(errors[0]['message'])}")
        _wait(api, 2.0, deadline)


def _finished(api: Api, operation: str, deadline: float) -> dict[str, Any]:
    pause = 0.1
    while True:
        found: dict[str, Any] | None = api.query(_POLL, id=operation)["node"]
        if found is None:
            raise Unreachable(f"{api.where}: the bulk operation is gone")
        if found["status"] not in _GOING_ON:
            return found
        _wait(api, pause, deadline)
        pause = min(pause * 1.6, 10.0)


def _wait(api: Api, seconds: float, deadline: float) -> None:
    seconds *= random.uniform(0.8, 1.2)  # noqa: S311
    if time.monotonic() + seconds > deadline:
        raise Unreachable(f"{api.where}: the bulk operation is not done in time; give it more (patience)")
    time.sleep(seconds)


def _whole(api: Api, done: dict[str, Any], path: Path) -> None:
    """Download a result, and check it against what Shopify counted."""
    download(api.files, Request(done["url"]), path)
    size, lines = path.stat().st_size, 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            lines += block.count(b"\n")
    if done["fileSize"] is not None and size != int(done["fileSize"]):
        raise Unreachable(f"{api.where}: {size} bytes of the bulk operation came, it has {done['fileSize']}")
    if lines != int(done["objectCount"]):
        raise Unreachable(f"{api.where}: {lines} objects of the bulk operation came, it has {done['objectCount']}")


def _cut(path: Path) -> int | None:
    """Take the last root and what follows it out of a partial result: it may not be all there. Its number."""
    at = place = 0
    root: bytes | None = None
    with path.open("rb") as file:
        for line in file:
            if b'"__parentId"' not in line and line.endswith(b"\n"):
                at, root = place, line
            place += len(line)
    with path.open("ab") as file:
        file.truncate(at)
    return None if root is None else int(json.loads(root)["id"].rsplit("/", 1)[-1])
