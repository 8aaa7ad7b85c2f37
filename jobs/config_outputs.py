"""The section `outputs` of `recon.yaml`: where the results of a run go besides the workspace."""

from __future__ import annotations

from pydantic import Field

from jobs.config_values import Strict
from pipelines.connectors.bigquery_client import Place


class BigQueryOutput(Place):
    """A dataset of BigQuery that takes the results of runs."""

    dataset: str = Field(pattern=r"^\w+$", description="the dataset, made where missing")


class Outputs(Strict):
    """The outputs; none is needed."""

    bigquery: BigQueryOutput | None = None
