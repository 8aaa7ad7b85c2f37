"""`deploy:` in `recon.yaml`: where on Google Cloud the jobs run, and under which names."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from jobs.config_values import Strict, Whole, like, listed

ProjectId = Annotated[str, like(r"[a-z][a-z0-9-]{4,28}[a-z0-9]", "a project id such as acme-stock")]
Region = Annotated[str, like(r"[a-z]+-[a-z]+[0-9]+", "a region such as europe-west3")]
Prefix = Annotated[str, like(r"[a-z][a-z0-9-]{1,18}[a-z0-9]", "a name of 3 to 20 letters, digits and '-'")]
Subnetwork = Annotated[
    str, like(r"projects/[^/]+/regions/[^/]+/subnetworks/[^/]+", "projects/PROJECT/regions/REGION/subnetworks/NAME")
]
DatasetId = Annotated[str, like(r"[A-Za-z_][A-Za-z0-9_]*", "a data set id of letters, digits and '_'")]
MachineType = Annotated[str, like(r"[a-z0-9]+(?:-[a-z0-9]+)+", "a machine type such as n2-standard-2")]
Address = Annotated[str, like(r"[^@\s\"]+@[^@\s\"]+", "an e-mail address")]


class Deploy(Strict):
    """The project, and what is made in it; every resource begins with `name`."""

    project: ProjectId
    region: Region
    name: Prefix = "recon"
    machine_type: MachineType = "n2-standard-2"
    max_workers: Whole = Field(8, ge=1, le=1000)
    subnetwork: Subnetwork | None = None
    dataset: DatasetId = "recon"
    alerts: Annotated[tuple[Address, ...], BeforeValidator(listed)] = ()

    @property
    def image(self) -> str:
        """The one image of launcher, workers and orchestrator, without its tag."""
        return f"{self.region}-docker.pkg.dev/{self.project}/{self.name}/recon"

    @property
    def worker(self) -> str:
        """The service account of the launcher and the workers of a Dataflow job."""
        return f"{self.name}-worker@{self.project}.iam.gserviceaccount.com"

    def cloud_run_job(self, job: str) -> str:
        """The name of the Cloud Run job that runs a job of the configuration."""
        return f"{self.name}-{job.lower().replace('_', '-').replace('.', '-')}"
