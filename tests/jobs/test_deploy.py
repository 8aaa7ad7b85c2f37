"""`recon deploy`: every file is there, is what its program takes, and says what the configuration says."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import hcl2
import pytest
import yaml
from compared import of_records
from shell import recon

from jobs.config import load
from jobs.deploy import LOADED, deploy, pubsub
from jobs.init import init
from jobs.launched import PIPELINES
from pipelines.differences import SCHEMAS as SCHEMAS_OF_RECORDS
from pipelines.reconcile import SCHEMAS
from reconcilers.errors import ConfigError

SECRET = "s3cr3t-canary"
DEPLOY = """
deploy:
  project: acme-stock
  region: europe-west3
  subnetwork: projects/acme-net/regions/europe-west3/subnetworks/inner
  alerts: ["ops@acme.example", "shop@acme.example"]
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration in the cloud: a schedule with a blackout, a secret, a file beside it, exports in a bucket."""
    directory = tmp_path_factory.mktemp("shop")
    init(directory)
    path = directory / "recon.yaml"
    text = path.read_text(encoding="utf-8")
    for old, new in {
        "workspace: .recon": "workspace: gs://acme-recon/ws",
        "path: exports/": "path: gs://acme-exports/in/",
        "    # schedule:": "    schedule:",
        "    # aliases: aliases.csv": "    aliases: aliases.csv",
        'delimiter: ";"': "delimiter: ${SEPARATOR}",
    }.items():
        assert old in text
        text = text.replace(old, new)
    path.write_text(text + DEPLOY, encoding="utf-8")
    (directory / "aliases.csv").write_text("raw,sku\na,b\n", encoding="utf-8")
    return directory


@pytest.fixture(scope="module")
def written(shop: Path) -> dict[str, str]:
    """The files that `recon deploy` wrote, by their path."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEPARATOR", ";")
        paths = deploy(shop / "recon.yaml", None)
    return {str(Path(path).relative_to(shop / "deploy")): Path(path).read_text(encoding="utf-8") for path in paths}


@pytest.fixture(scope="module")
def terraform(written: dict[str, str]) -> dict[str, dict[str, dict]]:
    """The resources of all Terraform files: type → name → body."""
    found: dict[str, dict[str, dict]] = {}
    for name, text in written.items():
        if name.endswith(".tf"):
            for resource in hcl2.load(io.StringIO(text)).get("resource", []):
                for kind, named in resource.items():
                    found.setdefault(kind.strip('"'), {}).update({n.strip('"'): body for n, body in named.items()})
    return found


def plain(value: object) -> str:
    """A value of Terraform without the quotes that its parser keeps."""
    return str(value).strip('"')


def test_every_file_is_written_and_named(written):
    assert sorted(written) == [
        "Dockerfile",
        "cloudbuild.yaml",
        "dags/recon.py",
        "main.py",
        "metadata.json",
        "requirements.lock",
        "terraform/alerts.tf",
        "terraform/bigquery.tf",
        "terraform/identity.tf",
        "terraform/jobs.tf",
        "terraform/main.tf",
    ]


def test_no_file_holds_a_secret(shop, tmp_path, monkeypatch):
    """Only its name, in the one place that makes a secret of it."""
    path = tmp_path / "recon.yaml"
    text = (shop / "recon.yaml").read_text(encoding="utf-8")
    (tmp_path / "aliases.csv").write_text("raw,sku\n", encoding="utf-8")
    path.write_text(text.replace("gs://acme-exports/in/", "gs://acme-exports/${FOLDER}/"), encoding="utf-8")
    monkeypatch.setenv("SEPARATOR", ";")
    monkeypatch.setenv("FOLDER", SECRET)
    found = {file: Path(file).read_text(encoding="utf-8") for file in deploy(path, None)}
    assert [file for file, text in found.items() if SECRET in text] == []
    assert 'toset(["FOLDER", "SEPARATOR"])' in found[str(tmp_path / "deploy/terraform/main.tf")]


def test_the_same_configuration_writes_the_same_bytes(shop, written, tmp_path, monkeypatch):
    monkeypatch.setenv("SEPARATOR", ";")
    again = deploy(shop / "recon.yaml", shop / "deploy")
    assert [Path(path).read_text(encoding="utf-8") for path in again] == list(written.values())


def test_a_job_is_a_cloud_run_job_that_leads_the_run(terraform):
    (job,) = terraform["google_cloud_run_v2_job"].values()
    assert plain(job["name"]) == "recon-nightly"
    (container,) = job["template"][0]["template"][0]["containers"]
    assert [plain(word) for word in container["args"]] == [
        *("run", "nightly", "--on", "dataflow", "--wait", "--json", "--config", "/recon/recon.yaml")
    ]
    assert [plain(env["name"]) for env in container["env"]] == ["SEPARATOR"]


def test_the_scheduler_starts_it_at_its_time_unless_it_has_blackout_dates(terraform):
    (scheduled,) = terraform["google_cloud_scheduler_job"].values()
    assert plain(scheduled["schedule"]) == "15 2 * * *"
    assert plain(scheduled["time_zone"]) == "Europe/Berlin"
    assert scheduled["paused"] is True
    assert plain(scheduled["http_target"][0]["uri"]).endswith("google_cloud_run_v2_job.nightly.id}:run")


def test_every_identity_has_few_roles_and_none_is_basic(terraform):
    roles = {
        (name, plain(role))
        for kind, named in terraform.items()
        if kind.endswith("_iam_member")
        for name, body in named.items()
        for role in ([body["role"]] if "each.value" not in body["role"] else ["by each"])
    }
    assert not {role for _, role in roles} & {"roles/owner", "roles/editor", "roles/viewer"}
    assert not [role for _, role in roles if role.endswith("admin") or role.endswith("Admin")]
    assert ("reads_acme_exports", "roles/storage.objectViewer") in roles


def test_bigquery_has_the_columns_of_each_output_and_views(terraform, written):
    tables = terraform["google_bigquery_table"]
    for output in LOADED:
        for field in SCHEMAS[output]():
            assert f'"name": "{field.name}"' in tables[f"nightly_{output}"]["schema"]
        assert "view" in tables[f"nightly_{output}_latest"]
    assert "`acme-stock.recon.nightly_levels`" in written["terraform/bigquery.tf"]


def test_a_job_without_stock_has_the_tables_of_what_it_compares(tmp_path):
    path = of_records(
        tmp_path, workspace="gs://acme-recon/ws", deploy={"project": "acme-stock", "region": "europe-west3"}
    )
    path.write_text(path.read_text(encoding="utf-8").replace("path: ", "path: gs://acme-exports/"), encoding="utf-8")
    deploy(path, None)
    with (tmp_path / "deploy/terraform/bigquery.tf").open(encoding="utf-8") as file:
        resources = hcl2.load(file)["resource"]
    tables = {
        name.strip('"'): body
        for each in resources
        for kind, named in each.items()
        if kind.strip('"') == "google_bigquery_table"
        for name, body in named.items()
    }
    made = {f"nightly_{name}" for name in SCHEMAS_OF_RECORDS}
    assert set(tables) == made | {f"{name}_latest" for name in made}
    for name, schema in SCHEMAS_OF_RECORDS.items():
        columns = re.findall(r'"name": "(\w+)", "type": "(\w+)"', tables[f"nightly_{name}"]["schema"])
        assert [column for column, _ in columns] == schema.names
    assert [plain(column) for column in tables["nightly_differences"]["clustering"]] == ["pair", "sku"]


def test_alerts_reach_everybody(terraform):
    channels = terraform["google_monitoring_notification_channel"].values()
    assert [plain(channel["labels"]["email_address"]) for channel in channels] == [
        "ops@acme.example",
        "shop@acme.example",
    ]
    assert len(terraform["google_monitoring_alert_policy"]) == 3


def test_the_template_takes_every_pipeline(written):
    metadata = json.loads(written["metadata.json"])
    parameters = {parameter["name"]: parameter for parameter in metadata["parameters"]}
    assert list(parameters) == ["pipeline", "work", "calls"]
    (pattern,) = parameters["pipeline"]["regexes"]
    assert all(re.fullmatch(pattern, name) for name in PIPELINES)


def test_the_build_makes_image_and_template_from_what_is_there(shop, written):
    build = yaml.safe_load(written["cloudbuild.yaml"])
    arguments = {step["id"]: step["args"] for step in build["steps"]}
    assert "gs://acme-recon/ws/deploy/template.json" in arguments["template"]
    assert "--file=deploy/Dockerfile" in arguments["image"]
    text = written["Dockerfile"]
    copied = re.findall(r'^COPY \["(.*?)",', text, re.MULTILINE)
    assert copied == ["recon.yaml", "aliases.csv"]
    assert all((shop / name).is_file() for name in copied)
    assert f"recon_toolkit-{version('recon-toolkit')}-py3-none-any.whl" in text


def test_the_lock_names_what_is_installed(written):
    lines = written["requirements.lock"].splitlines()
    assert f"apache-beam=={version('apache-beam')}" in lines
    assert f"duckdb=={version('duckdb')}" in lines
    assert not [line for line in lines if line.startswith("pytest")]


def test_pubsub_is_made_where_the_configuration_names_it():
    topics, subscriptions = pubsub(
        {
            "a": {"topic": "corrections"},
            "b": [{"subscription": "projects/acme-stock/subscriptions/stock-feed", "topic": "stock"}],
            "c": {"subscription": "alone", "topic": "projects/other-project/topics/theirs"},
            "d": {"topic": "${TOPIC}"},
        },
        "acme-stock",
    )
    assert topics == [{"id": "corrections"}, {"id": "stock"}]
    assert subscriptions == [{"id": "alone", "topic": None}, {"id": "stock-feed", "topic": "stock"}]


def test_what_no_other_machine_sees_is_refused_all_at_once(tmp_path):
    init(tmp_path)
    path = tmp_path / "recon.yaml"
    path.write_text(path.read_text(encoding="utf-8") + DEPLOY, encoding="utf-8")
    done = recon("deploy", at=tmp_path)
    assert done.code == 2
    assert done.told[0].startswith("workspace: ")
    assert len([line for line in done.told if "is local; workers elsewhere need gs://" in line]) == 4
    assert not (tmp_path / "deploy").exists()


def test_a_configuration_without_a_place_says_what_it_needs(tmp_path):
    init(tmp_path)
    for command in (
        ["deploy"],
        ["run", "nightly", "--on", "dataflow"],
        ["run", "nightly", "--on", "dataflow", "--wait"],
    ):
        done = recon(*command, at=tmp_path)
        assert done.code == 2
        assert done.told == ["no deploy: in the configuration; it needs at least project and region (docs/deploy.md)"]


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("project", "Acme", "'Acme' is not a project id"),
        ("region", "Frankfurt", "'Frankfurt' is not a region"),
        ("name", "R", "'R' is not a name of 3 to 20"),
        ("alerts", "nobody", "'nobody' is not an e-mail address"),
        ("subnetwork", "inner", "'inner' is not projects/"),
        ("max_workers", 0, "0 is below 1"),
        ("zone", "a", "unknown key"),
    ],
)
def test_a_wrong_value_is_told_with_its_place(tmp_path, key, value, told):
    init(tmp_path)
    path = tmp_path / "recon.yaml"
    section = {"project": "acme-stock", "region": "europe-west3", key: value}
    path.write_text(path.read_text(encoding="utf-8") + f"\ndeploy: {json.dumps(section)}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=re.escape(told)) as refused:
        load(path)
    assert f"deploy.{key}" in str(refused.value)


def test_two_jobs_of_one_name_in_the_cloud_are_refused(tmp_path):
    init(tmp_path)
    path = tmp_path / "recon.yaml"
    text = path.read_text(encoding="utf-8").replace(".recon\n", "gs://acme-recon/ws\n").replace("exports/", "gs://e/")
    path.write_text(f"{text}  Nightly: {{pairs: [storefront~erp]}}\n{DEPLOY}", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"^jobs\.Nightly: on Google Cloud its name is that of jobs\.nightly$"):
        deploy(path, None)


def test_the_dockerfile_has_no_fault_that_hadolint_knows(shop, written):
    done = subprocess.run(
        [hadolint(), str(shop / "deploy/Dockerfile")], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "")


def hadolint() -> str:
    return str(Path(sys.executable).with_name("hadolint"))


@pytest.mark.deploy
def test_terraform_finds_the_files_well_formed(shop, written, require):
    require(shutil.which("terraform"), "terraform is not installed")
    done = subprocess.run(
        ["terraform", "fmt", "-check", "-diff", str(shop / "deploy/terraform")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.deploy
def test_gcloud_builds_the_template(shop, written, require):
    require(shutil.which("gcloud"), "gcloud is not installed")
    build = yaml.safe_load(written["cloudbuild.yaml"])
    (arguments,) = (step["args"] for step in build["steps"] if step["id"] == "template")
    done = subprocess.run(
        ["gcloud", *arguments, "--print-only"],
        cwd=shop,
        env={**os.environ, "CLOUDSDK_CORE_PROJECT": "acme-stock"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert '"language": "PYTHON"' in done.stdout + done.stderr


@pytest.mark.deploy
def test_airflow_imports_the_dag(shop, written, tmp_path, require):
    python = os.environ.get("RECON_AIRFLOW", "")
    require(Path(python).is_file(), f"RECON_AIRFLOW={python} is no Python with Airflow; `make test-deploy` makes one")
    code = (
        "import json, sys\nfrom airflow.dag_processing.dagbag import DagBag\nbag = DagBag(dag_folder=sys.argv[1])\n"
        "tasks = {name: [task.task_id for task in dag.tasks] for name, dag in bag.dags.items()}\n"
        "print(json.dumps([bag.import_errors, tasks]))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [python, "-c", code, str(shop / "deploy/dags")],
        env={**environment, "AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"},
        capture_output=True,
        text=True,
        check=True,
        timeout=170,
    )
    assert json.loads(done.stdout.splitlines()[-1]) == [{}, {"recon-nightly": ["no_blackout", "run"]}]
