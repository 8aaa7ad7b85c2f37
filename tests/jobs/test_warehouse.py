"""What a run found goes to BigQuery: asked of a server that only keeps the load jobs that it is given."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from jobs.config_deploy import Deploy
from jobs.warehouse import load_run
from jobs.workspace import Workspace
from reconcilers.errors import Unreachable

PLACE = Deploy(project="acme-stock", region="europe-west3")
SUMMARY = {"run_id": "20261124T021500Z-nightly", "job": "nightly", "now": "2026-11-24T02:15:00+00:00"}


class LoadJobs(BaseHTTPRequestHandler):
    """Takes load jobs; they are done at once, or refused where `refusal` says why."""

    refusal = ""
    taken: list[dict] = []  # noqa: RUF012  each test has a class of its own

    def do_POST(self) -> None:
        job = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.taken.append(job["configuration"]["load"])
        failed = {"errorResult": {"reason": "invalid", "message": self.refusal}} if self.refusal else {}
        data = json.dumps({**job, "status": {"state": "DONE", **failed}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def warehouse(refusal: str = "") -> Iterator[tuple[bigquery.Client, list[dict]]]:
    """A client of a warehouse, and the load jobs that it has been given."""
    handler = type("Handler", (LoadJobs,), {"refusal": refusal, "taken": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    options = {"api_endpoint": f"http://127.0.0.1:{server.server_port}"}
    yield (
        bigquery.Client("acme-stock", AnonymousCredentials(), location="europe-west3", client_options=options),
        handler.taken,
    )
    server.shutdown()
    server.server_close()


def test_each_output_replaces_its_day():
    with warehouse() as (client, taken):
        load_run(PLACE, Workspace("gs://acme/ws"), SUMMARY, client)
    assert [(job["destinationTable"]["tableId"], job["sourceUris"], job["writeDisposition"]) for job in taken] == [
        (f"nightly_{output}$20261124", [f"gs://acme/ws/runs/{SUMMARY['run_id']}/{output}/*.parquet"], "WRITE_TRUNCATE")
        for output in ("levels", "breaks", "in_flight", "corrections")
    ]
    assert {job["destinationTable"]["datasetId"] for job in taken} == {"recon"}
    assert {job["sourceFormat"] for job in taken} == {"PARQUET"}


def test_a_refusal_is_one_line_that_names_the_table():
    with (
        warehouse("no such field: margin") as (client, _),
        pytest.raises(Unreachable, match=r"^BigQuery table acme-stock\.recon\.nightly_levels: .*margin") as told,
    ):
        load_run(PLACE, Workspace("gs://acme/ws"), SUMMARY, client)
    assert "\n" not in str(told.value)
