"""`recon deploy`: what a Google Cloud team needs to run the jobs of a configuration, written as files.

The files follow from the configuration and the environment alone: written twice, they are the same bytes.
They name the secrets that the configuration uses and never hold one.
"""

from __future__ import annotations

import json
import os
import pprint
import re
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any

import pyarrow as pa
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pydantic import BaseModel

from jobs import records
from jobs.config import Config, Job, load
from jobs.config_deploy import Deploy
from jobs.config_text import as_written
from jobs.launched import PIPELINES
from jobs.plan import dataset_names
from pipelines import differences, filesystem
from pipelines.reconcile import SCHEMAS
from reconcilers.errors import ConfigError

TEMPLATES = Path(__file__).parent / "templates" / "deploy"

#: Where the image's build puts the Flex Template, below the workspace.
TEMPLATE = "deploy/template.json"

#: The outputs of a run that are loaded into BigQuery as they are: those of stock and balances.
LOADED = ("levels", "breaks", "in_flight", "corrections")

_FILES = {
    "Dockerfile": "Dockerfile.j2",
    "main.py": "main.py.j2",
    "cloudbuild.yaml": "cloudbuild.yaml.j2",
    "terraform/main.tf": "main.tf.j2",
    "terraform/identity.tf": "identity.tf.j2",
    "terraform/jobs.tf": "jobs.tf.j2",
    "terraform/bigquery.tf": "bigquery.tf.j2",
    "terraform/alerts.tf": "alerts.tf.j2",
}


def deploy(path: Path, directory: Path | None) -> list[str]:
    """Write the deployment of a configuration into a directory (`deploy` beside it); returns the files.

    Raises:
        ConfigError: it has no `deploy:`, or something that no other machine could see.
    """
    config = load(path)
    target = directory or config.base / "deploy"
    written = []
    for name, text in files(config, path, target).items():
        file = str(target / name)
        filesystem.write_atomic(file, text.encode())
        written.append(file)
    return written


def deployment(config: Config) -> Deploy:
    """Where a configuration is deployed to.

    Raises:
        ConfigError: it does not say so, or names files that no other machine sees.
    """
    if config.deploy is None:
        raise ConfigError("no deploy: in the configuration; it needs at least project and region (docs/deploy.md)")
    problems = []
    if not filesystem.is_remote(str(config.workspace)):
        problems.append(f"workspace: {config.workspace} is a directory; workers elsewhere need a gs:// prefix")
    for name, system in config.places.items():
        for dataset, definition in dataset_names(system).items():
            path = str(definition.options.get("path", "gs://"))
            if definition.connector == "files" and not filesystem.is_remote(path):
                problems.append(f"systems.{name}: {dataset}: {path} is local; workers elsewhere need gs://")
    names: dict[str, str] = {}
    for job in config.jobs:
        other = names.setdefault(config.deploy.cloud_run_job(job), job)
        if other != job:
            problems.append(f"jobs.{job}: on Google Cloud its name is that of jobs.{other}")
    if problems:
        raise ConfigError(problems)
    return config.deploy


def files(config: Config, path: Path, target: Path) -> dict[str, str]:
    """The text of every file, by its path below `target`."""
    place = deployment(config)
    bucket, _, prefix = str(config.workspace).removeprefix("gs://").partition("/")
    topics, subscriptions = pubsub(as_written(config.written), place.project)
    values = {
        "deploy": place,
        "directory": _inside(target.absolute(), config.base, "the deployment"),
        "config_name": path.name,
        "config_path": f"/recon/{path.name}",
        "files": [path.name, *(_inside(file, config.base, "a file") for file in _named_files(config))],
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "beam": version("apache-beam"),
        "version": version("recon-toolkit"),
        "tag": f"{version('recon-toolkit')}-{config.config_hash[:8]}",
        "bucket": bucket,
        "prefix": f"{prefix.rstrip('/')}/" if prefix else "",
        "template": filesystem.join(str(config.workspace), TEMPLATE),
        "variables": config.variables,
        "sources": _sources(config, bucket),
        "jobs": [_job(place, name, job, config) for name, job in config.jobs.items()],
        "tables": [_table(name, table) for name, job in config.jobs.items() for table in _tables_of(job, config)],
        "dag_jobs": pprint.pformat(_dag_jobs(place, config), sort_dicts=False, width=100),
        "topics": topics,
        "subscriptions": subscriptions,
    }
    named = dict(_FILES)
    if topics or subscriptions:
        named["terraform/pubsub.tf"] = "pubsub.tf.j2"
    if _dag_jobs(place, config):
        named[f"dags/{place.name.replace('-', '_')}.py"] = "dag.py.j2"
    environment = _environment()
    texts = {name: environment.get_template(template).render(values) for name, template in named.items()}
    texts["metadata.json"] = json.dumps(_metadata(place), indent=2) + "\n"
    texts["requirements.lock"] = "\n".join(_locked()) + "\n"
    return texts


def tables(reconciled: bool, compared: bool) -> tuple[str, ...]:
    """What is loaded of a job that has reconciled stock or balances, and compared records or orders."""
    return (LOADED if reconciled else ()) + (tuple(differences.SCHEMAS) if compared else ())


def _tables_of(job: Job, config: Config) -> tuple[str, ...]:
    compared = records.pairs_of(config, job.pairs)
    return tables(len(compared) < len(job.pairs), bool(compared))


def identifier(name: str) -> str:
    """A name as Terraform and BigQuery take it."""
    return re.sub(r"[^A-Za-z0-9]", "_", name).lower()


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  no HTML; `hcl` and `python` quote what comes from the configuration
    )
    made.filters |= {"hcl": _hcl, "identifier": identifier, "python": lambda value: json.dumps(str(value))}
    return made


def _hcl(value: Any) -> str:
    """A value as Terraform reads it: JSON, with its template signs taken literally."""
    return json.dumps(value, ensure_ascii=False).replace("${", "$${").replace("%{", "%%{")


def _job(place: Deploy, name: str, job: Job, config: Config) -> dict[str, Any]:
    return {
        "name": name,
        "tables": _tables_of(job, config),
        "resource": identifier(name),
        "cloud_run_job": place.cloud_run_job(name),
        "schedule": job.schedule,
    }


def _dag_jobs(place: Deploy, config: Config) -> dict[str, dict[str, Any]]:
    return {
        place.cloud_run_job(name): {
            "cron": job.schedule.cron,
            "timezone": job.schedule.timezone,
            "blackout": [day.isoformat() for day in sorted(job.schedule.dates)],
        }
        for name, job in config.jobs.items()
        if job.schedule is not None
    }


def _table(job: str, name: str) -> dict[str, Any]:
    """A table of BigQuery with the columns of an output, or of what is made of one."""
    schema = SCHEMAS[name]() if name in LOADED else differences.SCHEMAS[name]
    columns = [
        {"name": field.name, "type": _bigquery(field.type), "mode": "NULLABLE" if field.nullable else "REQUIRED"}
        for field in schema
    ]
    clustering = [column for column in ("pair", "sku") if column in schema.names]
    return {"name": f"{identifier(job)}_{name}", "columns": columns, "clustering": clustering}


def _bigquery(kind: pa.DataType) -> str:
    if pa.types.is_decimal(kind):
        return "NUMERIC"
    if pa.types.is_timestamp(kind):
        return "TIMESTAMP"
    if pa.types.is_integer(kind):
        return "INTEGER"
    if pa.types.is_floating(kind):
        return "FLOAT"
    if pa.types.is_string(kind):
        return "STRING"
    raise NotImplementedError(f"no BigQuery type for {kind}")


def _metadata(place: Deploy) -> dict[str, Any]:
    """What the Flex Template takes."""
    return {
        "name": place.name,
        "description": "One pipeline of a recon run; launched by recon run JOB --on dataflow.",
        "parameters": [
            {
                "name": "pipeline",
                "label": "Pipeline",
                "helpText": f"Which pipeline of the run: {', '.join(PIPELINES)}.",
                "regexes": [f"^({'|'.join(PIPELINES)})$"],
                "paramType": "TEXT",
            },
            {
                "name": "work",
                "label": "Work",
                "helpText": "The file in the workspace that the run wrote the work to.",
                "regexes": [r"^gs:\/\/[^\n\r]+$"],
                "paramType": "GCS_READ_FILE",
            },
            {
                "name": "calls",
                "label": "Calls",
                "helpText": "How many pieces of work there are.",
                "regexes": ["^[0-9]+$"],
                "paramType": "TEXT",
            },
        ],
    }


def _named_files(config: Config) -> list[Path]:
    """The files beside the configuration that it names, and the user's own profiles."""
    profiles = sorted(config.profiles.glob("*.yaml")) if config.profiles else []
    return sorted({*_paths(config, config.base), *profiles})


def _paths(value: Any, base: Path) -> Iterator[Path]:
    if isinstance(value, Path) and value.is_file():
        yield base / value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _paths(getattr(value, name), base)
    elif isinstance(value, dict):
        for each in value.values():
            yield from _paths(each, base)
    elif isinstance(value, tuple):
        for each in value:
            yield from _paths(each, base)


def _inside(path: Path, base: Path, what: str) -> str:
    """A path relative to the configuration, whose directory is all that the image's build sees."""
    relative = os.path.relpath(path, base)
    if relative.startswith(".."):
        raise ConfigError(f"{path}: {what} must be below {base}, which the image is built from")
    return relative


def _sources(config: Config, workspace: str) -> list[str]:
    """The buckets that exports are read from, beside that of the workspace."""
    paths = [
        str(definition.options.get("path", ""))
        for system in config.places.values()
        for definition in dataset_names(system).values()
    ]
    buckets = {path.removeprefix("gs://").split("/")[0] for path in paths if path.startswith("gs://")}
    return sorted(buckets - {workspace})


def pubsub(data: Any, project: str) -> tuple[list[dict[str, str]], list[dict[str, str | None]]]:
    """The topics and subscriptions of the project that the configuration names, wherever it does."""
    topics: set[str] = set()
    subscriptions: dict[str, str | None] = {}
    for mapping in _mappings(data):
        topic = _id(mapping.get("topic"), "topics", project)
        subscription = _id(mapping.get("subscription"), "subscriptions", project)
        topics |= {topic} if topic else set()
        if subscription:
            subscriptions[subscription] = topic or subscriptions.get(subscription)
    named = [{"id": name, "topic": topic} for name, topic in sorted(subscriptions.items())]
    return [{"id": topic} for topic in sorted(topics)], named


def _mappings(data: Any) -> Iterator[dict[str, Any]]:
    if isinstance(data, dict):
        yield data
    for each in data.values() if isinstance(data, dict) else data if isinstance(data, list) else ():
        yield from _mappings(each)


def _id(name: Any, kind: str, project: str) -> str | None:
    """The id of a topic or subscription in this project; None for one of another project, or none at all."""
    if not isinstance(name, str) or "${" in name:
        return None
    full = re.fullmatch(rf"projects/([^/]+)/{kind}/([^/]+)", name)
    if full:
        return full[2] if full[1] == project else None
    return name if re.fullmatch(r"[A-Za-z][\w.~+%-]{2,254}", name) else None


def _locked() -> list[str]:
    """What recon needs, directly or not, in the versions of this environment."""
    found: dict[str, str] = {}
    asked = [Requirement(text) for text in distribution("recon-toolkit").requires or ()]
    open_ = [need for need in asked if need.marker is None or need.marker.evaluate({"extra": ""})]
    seen: set[tuple[str, str]] = set()
    while open_:
        wanted = open_.pop()
        for extra in ("", *sorted(wanted.extras)):
            key = (canonicalize_name(wanted.name), extra)
            if key in seen:
                continue
            seen.add(key)
            try:
                dist = distribution(wanted.name)
            except PackageNotFoundError:
                continue
            found[key[0]] = f"{key[0]}=={dist.version}"
            needs = [Requirement(text) for text in dist.requires or ()]
            open_ += [need for need in needs if need.marker is None or need.marker.evaluate({"extra": extra})]
    return [found[name] for name in sorted(found)]
