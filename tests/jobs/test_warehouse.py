"""What a run found goes to BigQuery: asked of a server that only keeps the load jobs that it is given."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pyarrow.parquet as pq
import pytest
from compared import ORDERS, PRICES, of_records
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from jobs import commands
from jobs.config_deploy import Deploy
from jobs.run import silent
from jobs.warehouse import load_run
from jobs.workspace import Workspace
from reconcilers.errors import Unreachable

PLACE = Deploy(project="acme-stock", region="europe-west3")
SUMMARY = {
    "run_id": "20261124T021500Z-nightly",
    "job": "nightly",
    "now": "2026-11-24T02:15:00+00:00",
    "pairs": {"storefront~erp": {}},
}


class LoadJobs(BaseHTTPRequestHandler):
    """Takes load jobs; they are done at once, or refused where `refusal` says why."""

    refusal = ""
    taken: list[dict] = []  # noqa: RUF012  each test has a class of its own

    def do_POST(self) -> None:
        job = json.loads(self.read())
        self.taken.append(job["configuration"]["load"])
        # a file is sent after its job, to the place that the answer names
        where = {"Location": f"http://{self.headers['Host']}/upload/{len(self.taken) - 1}"}
        self.answer(job, where if self.path.startswith("/upload/") else {})

    def do_PUT(self) -> None:
        load = self.taken[int(self.path.rsplit("/", 1)[1])]
        load["rows"] = pq.read_table(io.BytesIO(self.read())).to_pylist()
        self.answer({"configuration": {"load": load}, "jobReference": {"projectId": "acme-stock", "jobId": "sent"}})

    def read(self) -> bytes:
        return self.rfile.read(int(self.headers["Content-Length"]))

    def answer(self, job: dict, headers: dict[str, str] | None = None) -> None:
        failed = {"errorResult": {"reason": "invalid", "message": self.refusal}} if self.refusal else {}
        data = json.dumps({**job, "status": {"state": "DONE", **failed}}, default=str).encode()
        self.send_response(200)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
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


def test_what_was_found_about_records_and_orders_replaces_its_day(tmp_path):
    """A job without stock has no levels; its differences have one layout, whatever the keys of its pairs."""
    path = of_records(tmp_path)
    summary = commands.run_job(path, "nightly", silent).summary
    with warehouse() as (client, taken):
        load_run(PLACE, Workspace(str(tmp_path / ".recon")), summary, client)
    assert [job["destinationTable"]["tableId"] for job in taken] == [
        "nightly_differences$20300103",
        "nightly_column_stats$20300103",
    ]
    assert {job["writeDisposition"] for job in taken} == {"WRITE_TRUNCATE"}
    differences, stats = (job["rows"] for job in taken)
    assert sorted((row["pair"], row["key"], row["reason"] or row["class"]) for row in differences) == [
        (PRICES, '{"sku":"A","class":"1"}', "VALUE_DIFFERS"),
        (PRICES, '{"sku":"B","class":"1"}', "MISSING_IN_B"),
        (ORDERS, '{"ref":"1"}', "PRICE_DIFFERS"),
        (ORDERS, '{"ref":"2"}', "ORDER_NOT_IMPORTED"),
    ]
    assert [(row["pair"], row["different"]) for row in stats] == [(PRICES, 1), (ORDERS, 1)]


def test_a_refusal_is_one_line_that_names_the_table():
    with (
        warehouse("no such field: margin") as (client, _),
        pytest.raises(Unreachable, match=r"^BigQuery table acme-stock\.recon\.nightly_levels: .*margin") as told,
    ):
        load_run(PLACE, Workspace("gs://acme/ws"), SUMMARY, client)
    assert "\n" not in str(told.value)
