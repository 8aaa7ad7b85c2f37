"""A Pub/Sub push subscription: it becomes a pull subscription that nobody pulls, and its backlog waits."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from pipelines.connectors import pubsub_service
from reconcilers.errors import ConfigError


class Options(BaseModel):
    """Which subscription."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    project: str = Field(description="the Google Cloud project of the subscription")
    subscription: str = Field(description="a push subscription")
    endpoint: str | None = Field(None, description=pubsub_service.ENDPOINT)


class Hook:
    """Takes the push configuration away, and puts the saved one back.

    Never by detaching the subscription: that would drop its backlog.
    """

    def __init__(self, options: Options, base: str) -> None:
        self.options = options
        self.path = f"projects/{options.project}/subscriptions/{options.subscription}"

    @property
    def name(self) -> str:
        """The subscription."""
        return self.path

    def look(self) -> dict[str, Any]:
        """The push configuration. Raises `ConfigError` where there is none."""
        from google.pubsub_v1.types import PushConfig

        client = pubsub_service.subscriber(self.options.endpoint)
        with pubsub_service.told(self.path):
            found = client.get_subscription(subscription=self.path, **pubsub_service.bounded())
        if not found.push_config.push_endpoint:
            raise ConfigError(f"{self.path} does not push; who pulls from it is paused where they run")
        return {"push_config": PushConfig.to_dict(found.push_config)}

    def pause(self, saved: dict[str, Any]) -> None:
        """Push no more."""
        self._push({})

    def resume(self, saved: dict[str, Any]) -> None:
        """Push as before, the backlog first."""
        self._push(saved["push_config"])

    def _push(self, push_config: dict[str, Any]) -> None:
        client = pubsub_service.subscriber(self.options.endpoint)
        with pubsub_service.told(self.path):
            request = {"subscription": self.path, "push_config": push_config}
            client.modify_push_config(request=request, **pubsub_service.bounded())
