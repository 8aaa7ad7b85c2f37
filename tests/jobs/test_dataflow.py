"""A run whose pipelines are jobs of a service: each launched, followed, and done by the image's entry point."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from dataflow import DataflowServer
from storage import storage

from jobs import commands
from jobs.config_deploy import Deploy
from jobs.config_text import Secret
from jobs.dataflow import Dataflow
from jobs.init import init
from jobs.launched import main
from jobs.run import silent
from jobs.sealed import seal, unseal
from pipelines.capture import capture_split
from reconcilers.errors import ConfigError, Unreachable

DEPLOY = Deploy(project="acme-stock", region="europe-west3", subnetwork="projects/acme/regions/r/subnetworks/inner")


@pytest.fixture
def service():
    with DataflowServer() as server:
        yield server


def engine(service: DataflowServer, config: Path) -> Dataflow:
    return Dataflow(DEPLOY, str(config.parent / ".recon"), endpoint=service.endpoint, pause=0.1)


def sample(directory: Path) -> Path:
    init(directory)
    return directory / "recon.yaml"


def without_ids(pairs):
    """Pairs without the names of their snapshots, which are new in every run."""
    return {name: {key: value for key, value in pair.items() if key != "feeds"} for name, pair in pairs.items()}


def test_a_run_on_dataflow_finds_what_the_run_in_process_finds(service, tmp_path):
    here = commands.run_job(sample(tmp_path / "here"), "nightly", silent).summary
    config = sample(tmp_path / "there")
    there = commands.run_job(config, "nightly", silent, engine(service, config)).summary
    assert without_ids(there["pairs"]) == without_ids(here["pairs"])
    assert there["verdict"] == here["verdict"]
    assert [request.launch_parameter.parameters["pipeline"] for request in service.requests] == [
        "capture",
        "validate",
        "reconcile",
    ]
    environment = service.requests[0].launch_parameter.environment
    assert environment.service_account_email == "recon-worker@acme-stock.iam.gserviceaccount.com"
    assert environment.ip_configuration.name == "WORKER_IP_PRIVATE"
    names = {request.launch_parameter.job_name for request in service.requests}
    assert len(names) == 3
    assert list((tmp_path / "there/.recon/launches").iterdir()) == []


def test_the_error_of_a_worker_is_the_error_of_the_run(service, tmp_path):
    config = sample(tmp_path)
    export = tmp_path / "exports/erp-stock-20260302T0600.csv"
    export.write_text(export.read_text(encoding="utf-8").replace("Bestand", "Menge", 1), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"^erp/stock: .*Bestand") as told:
        commands.take_snapshots(config, [], silent, engine(service, config))
    assert "\n" not in str(told.value)


def test_a_bug_in_a_job_is_one_line_that_names_the_job(service, tmp_path):
    there = Dataflow(DEPLOY, str(tmp_path), endpoint=service.endpoint, pause=0.1)
    with pytest.raises(Unreachable, match=r"^Dataflow job recon-capture-\w+ \(job-0\): failed: ") as told:
        there.call_each(capture_split, [("no task",)], None)
    assert "\n" not in str(told.value)


def test_no_service_is_one_line(tmp_path):
    with DataflowServer() as gone:
        endpoint = gone.endpoint
    nowhere = Dataflow(DEPLOY, str(tmp_path), endpoint=endpoint, pause=0.1)
    with pytest.raises(Unreachable, match=r"^Dataflow: ") as told:
        nowhere.call_each(capture_split, [("never",)], None)
    assert "\n" not in str(told.value)


def test_sealed_work_holds_no_secret_and_gets_it_where_it_runs(monkeypatch):
    work = [({"url": Secret("pg://u:s3cr3t@db/x", "pg://u:${PW}@db/x", (("s3cr3t", "${PW}"),))}, 7)]
    sealed = seal(work, "acme-stock")
    assert b"s3cr3t" not in sealed
    monkeypatch.setenv("PW", "changed since")
    assert unseal(sealed) == [({"url": "pg://u:changed since@db/x"}, 7)]
    assert "changed" not in repr(unseal(sealed))


def test_dataflow_s_own_runner_takes_the_graph(tmp_path, monkeypatch):
    """Beam translates the pipeline for Dataflow, offline; the graph names the image, and of the work only its place."""
    graph = tmp_path / "job.json"
    monkeypatch.setenv("RECON_IMAGE", "europe-west3-docker.pkg.dev/acme-stock/recon/recon:v1")
    with storage("acme") as bucket:
        main(
            [
                *("--pipeline=reconcile", f"--work={bucket}/launches/1.work", "--calls=3"),
                *("--runner=DataflowRunner", "--project=acme-stock", "--region=europe-west3", "--job_name=r"),
                *(f"--temp_location={bucket}/tmp", f"--staging_location={bucket}/tmp", f"--template_location={graph}"),
            ]
        )
    pools = json.loads(graph.read_text(encoding="utf-8"))["environment"]["workerPools"]
    images = [image["containerImage"] for pool in pools for image in pool["sdkHarnessContainerImages"]]
    assert images == ["europe-west3-docker.pkg.dev/acme-stock/recon/recon:v1"]
