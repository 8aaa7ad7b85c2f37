"""A Cloud Scheduler job: it does not fire while it is paused."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from pipelines.connectors import pubsub_service


class Options(BaseModel):
    """Which job."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    project: str = Field(description="the Google Cloud project of the job")
    location: str = Field(description="its region, such as europe-west3")
    name: str = Field(description="the job")
    endpoint: str | None = Field(None, description="host:port of a test server; Google's own service if not given")


class Hook:
    """Pauses a job that is enabled; one that is not stays as it is."""

    def __init__(self, options: Options, base: str) -> None:
        self.options = options
        self.path = f"projects/{options.project}/locations/{options.location}/jobs/{options.name}"

    @property
    def name(self) -> str:
        """The job."""
        return self.path

    def look(self) -> dict[str, Any]:
        """Whether it is enabled."""
        from google.cloud.scheduler_v1 import Job

        return {"enabled": self._call("get_job").state == Job.State.ENABLED}

    def pause(self, saved: dict[str, Any]) -> None:
        """Let it not fire."""
        if saved["enabled"]:
            self._call("pause_job")

    def resume(self, saved: dict[str, Any]) -> None:
        """Let it fire again."""
        if saved["enabled"]:
            self._call("resume_job")

    def _call(self, verb: str) -> Any:
        from google.cloud.scheduler_v1 import CloudSchedulerClient
        from google.cloud.scheduler_v1.services.cloud_scheduler.transports import CloudSchedulerGrpcTransport

        client = pubsub_service.client(CloudSchedulerClient, CloudSchedulerGrpcTransport, self.options.endpoint)
        with pubsub_service.told(self.path):
            return getattr(client, verb)(name=self.path, **pubsub_service.bounded())
