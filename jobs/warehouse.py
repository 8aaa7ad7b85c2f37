"""What a finished run found, in BigQuery: a table an output and job, a partition a day."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.api_core.exceptions import GoogleAPICallError, RetryError
from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery

from jobs.config_deploy import Deploy
from jobs.deploy import LOADED, identifier
from jobs.workspace import Workspace
from pipelines import filesystem
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
    for output in LOADED:
        table = f"{place.project}.{place.dataset}.{identifier(summary['job'])}_{output}"
        parts = filesystem.join(workspace.run_directory(summary["run_id"]), output, "*.parquet")
        try:
            client.load_table_from_uri(parts, f"{table}${day}", job_config=options, timeout=60).result(timeout=1800)
        except (GoogleAPICallError, GoogleAuthError, RetryError, OSError, TimeoutError) as error:
            raise Unreachable(f"BigQuery table {table}: {' '.join(str(error).split())[:300]}") from error
