"""An HTTP call, such as to a consumer that has a switch, and the one that undoes it."""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

from reconcilers.errors import Unreachable


class Call(BaseModel):
    """One request; an answer below 300 means that it is done."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(pattern=r"^https?://")
    method: Literal["POST", "PUT", "PATCH", "DELETE", "GET"] = "POST"
    headers: dict[str, str] = Field({})
    body: str | None = None


class Options(BaseModel):
    """Two requests."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pause: Call = Field(description="the request that stops the consumer: url, method (POST), headers, body")
    resume: Call = Field(description="the request that starts it again; it may be sent more than once")
    seconds: int = Field(30, ge=1, description="how long an answer may take")


class Hook:
    """Sends the requests."""

    def __init__(self, options: Options, base: str) -> None:
        self.options = options

    @property
    def name(self) -> str:
        """Who is called, without what may be a secret in the address."""
        return f"HTTP {urlsplit(self.options.pause.url).hostname}"

    def look(self) -> dict[str, Any]:
        """Nothing: the two requests know what they do."""
        return {}

    def pause(self, saved: dict[str, Any]) -> None:
        """Send the first request."""
        self._send(self.options.pause)

    def resume(self, saved: dict[str, Any]) -> None:
        """Send the second request."""
        self._send(self.options.resume)

    def _send(self, call: Call) -> None:
        import httpx

        try:
            answer = httpx.request(
                call.method, call.url, headers=call.headers, content=call.body, timeout=self.options.seconds
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unreachable(f"{self.name}: {type(error).__name__}: {error}") from error
        if not answer.is_success:
            raise Unreachable(f"{self.name}: {call.method} answered {answer.status_code}")
