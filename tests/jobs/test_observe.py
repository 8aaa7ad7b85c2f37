"""What a run tells machines: the ledger, metrics, lineage, a log of JSON lines; and a run made again."""

from __future__ import annotations

import json
import re
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from uuid import UUID

import pytest
from shell import recon

from jobs import lifecycle
from jobs.config import load
from jobs.init import init
from jobs.run_state import all_states
from jobs.workspace import Workspace
from reconcilers.errors import ConfigError

OBSERVE = "observe: {metrics: metrics, lineage: lineage.jsonl, namespace: shop}\n"


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A shop that is observed, and ran once."""
    directory = tmp_path_factory.mktemp("shop")
    init(directory)
    path = directory / "recon.yaml"
    path.write_text(OBSERVE + path.read_text())
    lifecycle.run_job(load(path), "nightly")
    return path


def test_counters_of_beam_are_in_the_summary_and_agree_with_it(ran):
    summary = Workspace(str(load(ran).workspace)).resolve(None)
    counters = summary["counters"]
    assert counters["reconcile_part.keys"] == summary["pairs"]["storefront~erp"]["keys"] == 6
    assert counters["capture_split.splits"] == len(summary["snapshots"])
    # An order line becomes a row for each thing that happened to it.
    assert counters["capture_split.rows_read"] <= sum(snapshot["rows"] for snapshot in summary["snapshots"])


def test_metrics_are_in_the_format_of_prometheus(ran):
    text = (ran.parent / "metrics" / "recon_nightly.prom").read_text()
    sample = re.compile(r'[a-z_]+\{([a-z_]+="[^"\n]*",?)+\} [0-9.e+-]+')
    lines = text.splitlines()
    assert all(line.startswith(("# HELP ", "# TYPE ")) or sample.fullmatch(line) for line in lines)
    named = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(named) == len(set(named))
    assert 'recon_run_failed{job="nightly"} 0' in lines
    assert 'recon_keys{job="nightly",pair="storefront~erp",class="BREAK"} 1' in lines
    assert text.endswith("\n")


def test_lineage_follows_the_specification(ran):
    events = [json.loads(line) for line in (ran.parent / "lineage.jsonl").read_text().splitlines()]
    for event in events:
        assert {"run", "job", "eventTime", "producer", "schemaURL", "eventType"} <= event.keys()
        UUID(event["run"]["runId"])
        assert datetime.fromisoformat(event["eventTime"]).tzinfo is not None
        for dataset in (*event["inputs"], *event["outputs"]):
            assert dataset["namespace"]
            assert dataset["name"]
            facets = {**dataset.get("facets", {}), **dataset.get("outputFacets", {})}
            assert all({"_producer", "_schemaURL"} <= facet.keys() for facet in facets.values())
    by_run = {}
    for event in events:
        by_run.setdefault((event["run"]["runId"], event["job"]["name"]), []).append(event["eventType"])
    # One START and one COMPLETE each: of the run and of its steps.
    assert sorted(name for _, name in by_run) == [
        "nightly",
        *(f"nightly.{step}" for step in ("capture", "deliver", "reconcile", "validate")),
    ]
    assert all(kinds == ["START", "COMPLETE"] for kinds in by_run.values())
    (capture,) = (e for e in events if e["job"]["name"] == "nightly.capture" and e["eventType"] == "COMPLETE")
    assert {d["name"].rsplit("/", 2)[-2] + "/" + d["name"].rsplit("/", 1)[-1] for d in capture["outputs"]} == {
        "storefront/stock", "storefront/events", "erp/stock", "erp/events",
    }  # fmt: skip
    assert any("exports/" in source["name"] for source in capture["inputs"])
    (reconcile,) = (e for e in events if e["job"]["name"] == "nightly.reconcile" and e["eventType"] == "COMPLETE")
    levels = next(d for d in reconcile["outputs"] if d["name"].endswith("/levels"))
    assert levels["outputFacets"]["outputStatistics"]["rowCount"] == 6


def test_a_collector_is_told_and_one_that_is_not_there_does_no_harm(tmp_path):
    heard = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            heard.append((self.headers["Authorization"], json.loads(body)["job"]["name"]))
            self.send_response(201)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    init(tmp_path)
    path = tmp_path / "recon.yaml"
    plain = path.read_text()
    url = f"http://127.0.0.1:{server.server_port}/api/v1/lineage"
    path.write_text(f"observe: {{lineage: '{url}', lineage_key: s3cr3t}}\n" + plain)
    lifecycle.run_job(load(path), "nightly")
    server.shutdown()
    server.server_close()
    assert len(heard) == 10
    assert {key for key, _ in heard} == {"Bearer s3cr3t"}
    done = recon("run", "nightly", "--log-json", at=tmp_path)
    assert done.code == 0
    records = [json.loads(line) for line in done.err.splitlines()]
    told = [record for record in records if record["logger"] == "recon"]
    assert len({record["run_id"] for record in told}) == 1
    assert {"capture began", "capture done", "validate done", "reconcile done", "run finished"} <= {
        record["message"] for record in told
    }
    assert any(record["level"] == "warning" and "collector" in record["message"] for record in told)
    assert "s3cr3t" not in done.err + done.out


def test_the_ledger_is_made_again_from_the_runs(ran):
    config = load(ran)
    workspace = Workspace(str(config.workspace))
    with lifecycle.opened(config) as ledger:
        before = all_states(workspace, ledger)
    (ran.parent / ".recon" / "ledger.sqlite").unlink()
    with lifecycle.opened(config) as ledger:
        assert all_states(workspace, ledger) == before
        assert all_states(workspace, ledger) == before  # from the index this time


def test_a_replay_judges_at_every_capture_and_ages_from_one_to_the_next(tmp_path):
    init(tmp_path)
    path = tmp_path / "recon.yaml"
    text = path.read_text()
    nights = [datetime(2026, 3, 2, 6, tzinfo=UTC) + timedelta(days=day) for day in range(2)]
    for night in nights:
        path.write_text(text.replace("now: 2026-03-02T06:00:00Z", f"now: {night.isoformat()}"))
        lifecycle.run_job(load(path), "nightly")
    path.write_text("\n".join(line for line in text.splitlines() if not line.startswith("now:")))
    config = load(path)
    summaries = lifecycle.replay(config, "nightly", None, None)
    assert [summary["now"] for summary in summaries] == [night.isoformat() for night in nights]
    done = recon("export", summaries[1]["run_id"], "breaks", "--format", "jsonl", at=tmp_path)
    seen = {row["sku"]: row for row in map(json.loads, done.out.splitlines())}["STRAINER"]
    assert (seen["runs_seen"], seen["first_seen_run"]) == (2, summaries[0]["run_id"])
    with pytest.raises(ConfigError, match="in that time"):
        lifecycle.replay(config, "nightly", nights[1] + timedelta(days=1), None)
    again = lifecycle.run_job(config, "nightly", as_of=nights[0] + timedelta(hours=1))
    assert [s["snapshot_id"] for s in again["snapshots"]] == [s["snapshot_id"] for s in summaries[0]["snapshots"]]
    with pytest.raises(ConfigError, match="is in the future"):
        lifecycle.run_job(config, "nightly", as_of=datetime.now(UTC) + timedelta(days=1))
