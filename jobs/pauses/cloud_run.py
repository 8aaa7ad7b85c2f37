"""A Cloud Run worker pool or service: scaled to no instance, and back to what it was."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipelines.connectors import pubsub_service
from reconcilers.errors import Unreachable

#: Seconds until a change of scale has to be in effect.
_EFFECT_SECONDS = 180


class Options(BaseModel):
    """Which worker pool or service."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    project: str = Field(description="the Google Cloud project")
    location: str = Field(description="the region, such as europe-west3")
    worker_pool: str | None = Field(None, description="a worker pool")
    service: str | None = Field(None, description="a service; it is scaled by hand while it is paused")
    endpoint: str | None = Field(None, description="host:port of a test server; Google's own service if not given")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.worker_pool is None) == (self.service is None):
            raise ValueError("needs either worker_pool or service")
        return self


class Hook:
    """Scales by hand to nothing; `saved` is the scaling as it was."""

    def __init__(self, options: Options, base: str) -> None:
        self.options = options
        kind, name = ("workerPools", options.worker_pool) if options.worker_pool else ("services", options.service)
        self.path = f"projects/{options.project}/locations/{options.location}/{kind}/{name}"

    @property
    def name(self) -> str:
        """The worker pool or service."""
        return self.path

    def look(self) -> dict[str, Any]:
        """How it is scaled."""
        client, _ = self._client()
        with pubsub_service.told(self.path):
            get = client.get_worker_pool if self.options.worker_pool else client.get_service
            scaling = get(name=self.path, **pubsub_service.bounded()).scaling
        saved = {"manual_instance_count": scaling.manual_instance_count}
        return saved if self.options.worker_pool else {**saved, "scaling_mode": scaling.scaling_mode.name}

    def pause(self, saved: dict[str, Any]) -> None:
        """Scale to nothing."""
        self._scale(
            {**saved, "manual_instance_count": 0, **({"scaling_mode": "MANUAL"} if self.options.service else {})}
        )

    def resume(self, saved: dict[str, Any]) -> None:
        """Scale as before."""
        self._scale(saved)

    def _scale(self, scaling: dict[str, Any]) -> None:
        client, update = self._client()
        what = "worker_pool" if self.options.worker_pool else "service"
        request = {
            what: {"name": self.path, "scaling": scaling},
            "update_mask": {"paths": [f"scaling.{key}" for key in scaling]},
        }
        try:
            with pubsub_service.told(self.path):
                getattr(client, update)(request=request, **pubsub_service.bounded()).result(timeout=_EFFECT_SECONDS)
        except TimeoutError as error:
            raise Unreachable(f"{self.path}: not scaled within {_EFFECT_SECONDS} s") from error

    def _client(self) -> tuple[Any, str]:
        from google.cloud import run_v2
        from google.cloud.run_v2.services.services.transports import ServicesGrpcTransport
        from google.cloud.run_v2.services.worker_pools.transports import WorkerPoolsGrpcTransport

        if self.options.worker_pool:
            classes, update = (run_v2.WorkerPoolsClient, WorkerPoolsGrpcTransport), "update_worker_pool"
        else:
            classes, update = (run_v2.ServicesClient, ServicesGrpcTransport), "update_service"
        return pubsub_service.client(*classes, self.options.endpoint), update
