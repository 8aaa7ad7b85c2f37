"""What a finished run found, in BigQuery: a table an output and job, a partition a day."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from typing import Any

import pyarrow.parquet as pq
from google.api_core.exceptions import GoogleAPICallError, RetryError
from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery

from jobs.config_deploy import Deploy
from jobs.deploy import identifier, tables
from jobs.workspace import Workspace
from pipelines import differences, filesystem
from reconcilers.errors import Unreachable


def load_run(place: Deploy, workspace: Workspace, summary: Mapping[str, Any], client: bigquery.Client) -> None:
    """Load the outputs of a run into the tables of its job, in place of what the day had before.

    A job that runs twice a day leaves its last run, and a load that is repeated leaves the same rows.

    Raises:
        Unreachable: BigQuery cannot be reached, or refuses a table; the run itself is finished.
    """
    day = summary["now"][:10].replace("-", "")
    options = bigquery.LoadJobConfig(
        source_format=bigquery.SourceFormat.PARQUET,
        write_disposition=bigquery.WriteDisposition.WRITE_TRUNCATE,
    )
    directory = workspace.run_directory(summary["run_id"])
    for name in tables(bool(summary["pairs"]), bool(summary.get("records"))):
        table = f"{place.project}.{place.dataset}.{identifier(summary['job'])}_{name}"
        target = f"{table}${day}"
        try:
            if name in differences.SCHEMAS:
                job = _load_made(name, directory, summary, target, client, options)
            else:
                parts = filesystem.join(directory, name, "*.parquet")
                job = client.load_table_from_uri(parts, target, job_config=options, timeout=60)
            job.result(timeout=1800)
        except (GoogleAPICallError, GoogleAuthError, RetryError, OSError, TimeoutError) as error:
            raise Unreachable(f"BigQuery table {table}: {' '.join(str(error).split())[:300]}") from error


def _load_made(
    name: str, directory: str, summary: Mapping[str, Any], target: str, client: bigquery.Client,
    options: bigquery.LoadJobConfig,
) -> bigquery.LoadJob:  # fmt: skip
    """Load a table that no output of the run is as it is."""
    with tempfile.TemporaryFile() as file:
        with pq.ParquetWriter(file, differences.SCHEMAS[name], compression="zstd") as writer:
            for part in differences.read_table(name, directory, summary):
                writer.write_table(part)
        return client.load_table_from_file(file, target, rewind=True, job_config=options, timeout=60)
