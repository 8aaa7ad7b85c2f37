"""Shopify's Admin GraphQL API, one version of it: who asks, what it costs, what it answers.

Source: shopify.dev, Admin API 2026-04, and its page on API limits: each app has a bucket of points that
fills up again at a steady rate; an answer says how many are left, and what the question was worth.
"""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Generator
from datetime import datetime, timedelta
from typing import Any, Self

import httpx
from pydantic import Field, SecretStr, field_validator, model_validator

from pipelines.connectors.http_auth import Strict
from pipelines.connectors.http_session import Again, Limits, Reply, Request, Session, as_json
from pipelines.connectors.option_values import Timeout
from reconcilers.errors import Unreachable

VERSION = "2026-04"

_HEADER = "X-Shopify-Access-Token"

#: Points that a question is taken to cost before Shopify has said so.
_UNKNOWN_COST = 50.0


class Access(Strict):
    """Which shop, and on whose behalf."""

    shop: str = Field(description="the shop's own domain, such as my-shop.myshopify.com")
    token: SecretStr | None = Field(
        None, description="the Admin API access token of an app, where it has a lasting one"
    )
    client_id: str | None = Field(None, description="or the client ID of an app of the Dev Dashboard")
    client_secret: SecretStr | None = Field(None, description="and its client secret")
    timeout: Timeout = Field(timedelta(seconds=30), description="how long one request may take")

    @field_validator("shop")
    @classmethod
    def _domain(cls, shop: str) -> str:
        # A shop on this machine is a test; anything else is reached over TLS.
        if re.fullmatch(r"[a-z0-9][a-z0-9-]*\.myshopify\.com|http://127\.0\.0\.1:\d+", shop) is None:
            raise ValueError(f"{shop[:60]!r} is not like my-shop.myshopify.com")
        return shop

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.client_id is None) != (self.client_secret is None) or (self.token is None) == (self.client_id is None):
            raise ValueError("needs either token, or client_id and client_secret")
        return self

    @property
    def origin(self) -> str:
        """Where the shop is."""
        return self.shop if self.shop.startswith("http://") else f"https://{self.shop}"

    @property
    def url(self) -> str:
        """The endpoint."""
        return f"{self.origin}/admin/api/{VERSION}/graphql.json"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown."""
        return tuple(each.get_secret_value() for each in (self.token, self.client_secret) if each is not None)


class Credentials(httpx.Auth):
    """An access token: a lasting one, or one that the shop grants to the app's client for a day.

    Source: shopify.dev, "Using the client credentials grant"; new apps have no other token.
    """

    requires_response_body = True

    def __init__(self, access: Access) -> None:
        self._access = access
        self._token = access.token.get_secret_value() if access.token else None
        self._until = math.inf if access.token else 0.0
        self._lock = threading.Lock()

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Ask for a token where there is none that is good for another minute, or where it is refused."""
        with self._lock:
            if time.monotonic() > self._until - 60:
                self._granted((yield self._grant()))
            request.headers[_HEADER] = str(self._token)
        response = yield request
        if response.status_code == 401 and self._access.token is None:
            self._granted((yield self._grant()))
            request.headers[_HEADER] = str(self._token)
            yield request

    def _grant(self) -> httpx.Request:
        secret = self._access.client_secret
        form = {
            "grant_type": "client_credentials",
            "client_id": self._access.client_id,
            "client_secret": secret.get_secret_value() if secret else None,
        }
        return httpx.Request("POST", f"{self._access.origin}/admin/oauth/access_token", data=form)

    def _granted(self, response: httpx.Response) -> None:
        where = f"{self._access.origin}/admin/oauth/access_token: {response.status_code}"
        if response.status_code == 429 or response.status_code >= 500:
            raise Again(where)
        try:
            told = response.json() if response.status_code == 200 else {}
            self._token, self._until = str(told["access_token"]), time.monotonic() + float(told["expires_in"])
        except (ValueError, KeyError, TypeError) as error:
            raise Unreachable(f"{where}: the shop grants no token to this client") from error


class Budget:
    """The points that are left, as far as the last answer and the time since tell."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left = self._rate = self._told_at = 0.0
        self._costs: dict[str, float] = {}

    def due(self, query: str) -> float:
        """Seconds until there are enough points for a query."""
        with self._lock:
            if not self._rate:
                return 0.0
            left = self._left + (time.monotonic() - self._told_at) * self._rate
            return max(0.0, (self._costs.get(query, _UNKNOWN_COST) - left) / self._rate)

    def told(self, query: str, body: Any) -> None:
        """Learn from what an answer says of its cost."""
        cost = (body.get("extensions") or {}).get("cost") or {}
        status = cost.get("throttleStatus") or {}
        with self._lock:
            if status.get("restoreRate"):
                self._left, self._rate = float(status["currentlyAvailable"]), float(status["restoreRate"])
                self._told_at = time.monotonic()
            if cost.get("requestedQueryCost") is not None:
                self._costs[query] = float(cost["requestedQueryCost"])


class Api:
    """One shop, asked by one client; `clock` is what its clock said when it answered last."""

    def __init__(self, access: Access) -> None:
        limits = Limits(access.timeout.total_seconds(), attempts=8)
        self.url = access.url
        self.session = Session(limits, Credentials(access), secrets=access.secrets)
        self.files = Session(limits)
        self.clock: datetime | None = None
        self._budget = Budget()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        self.session.close()
        self.files.close()

    @property
    def where(self) -> str:
        """The shop, as messages name it."""
        return self.session.shown(self.url)

    def query(self, query: str, /, **variables: Any) -> dict[str, Any]:
        """Ask, and again where that failed for a moment. Raises `Unreachable`."""
        return self._ask(query, variables, safe=True)

    def mutate(self, mutation: str, /, **variables: Any) -> dict[str, Any]:
        """Change something; again only where Shopify says that it has not begun (throttled).

        Raises:
            Unreachable: it may have been done, or not.
        """
        try:
            return self._ask(mutation, variables, safe=False)
        except Again as error:
            raise Unreachable(str(error)) from error

    def _ask(self, query: str, variables: dict[str, Any], *, safe: bool) -> dict[str, Any]:
        self.session.rate.pause(self._budget.due(query))
        request = Request(self.url, {}, {"query": query, "variables": variables}, "POST", safe=safe)
        return self.session.ask(request, lambda reply: self._data(query, reply, safe))

    def _data(self, query: str, reply: Reply, safe: bool) -> dict[str, Any]:
        try:
            body = as_json(reply)
        except ValueError as error:
            if safe:
                raise
            raise Unreachable(f"{self.where}: its answer is cut off or not JSON") from error
        self._budget.told(query, body)
        self.clock = reply.clock
        errors = body.get("errors")
        if errors:
            first: dict[str, Any] = errors[0] if isinstance(errors, list) else {"message": str(errors)}
            message = f"{self.where}: {self.session.redacted(str(first.get('message')))}"
            if (first.get("extensions") or {}).get("code") == "THROTTLED":
                raise Again(message, max(0.05, self._budget.due(query)))
            raise Unreachable(message)
        data = body.get("data")
        if not isinstance(data, dict):
            raise Unreachable(f"{self.where}: an answer without data")
        return data
