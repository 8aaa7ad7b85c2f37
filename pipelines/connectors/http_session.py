"""How to ask over HTTP: never for longer than agreed, not too often, again only where that is safe.

A message names server and path, never parameters, headers or what the server echoes of them.
"""

from __future__ import annotations

import json
import logging
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any, TypeVar

import httpx
import stamina

from reconcilers.errors import Unreachable

# They would log URLs and errors, and a key may be a parameter of one.
for _name in ("httpx", "httpcore", "stamina"):
    logging.getLogger(_name).setLevel(logging.ERROR)

Parsed = TypeVar("Parsed")

#: What a server that is busy or was restarted answers; the same request may succeed in a moment.
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})

#: The first pause before another try, the longest one, and how much chance is added, in seconds.
PAUSES = {"wait_initial": 0.2, "wait_max": 20.0, "wait_jitter": 1.0}

#: The largest answer that is kept in memory.
_LARGEST = 64 << 20


class Again(Unreachable):
    """It failed, and may be tried again after `after` seconds (None: as the back-off says)."""

    def __init__(self, message: str, after: float | None = None) -> None:
        super().__init__(message)
        self.after = after


@dataclass(frozen=True)
class Limits:
    """What one session may take: seconds a request, tries, seconds that a server may ask to wait, requests a second."""

    timeout: float = 30.0
    attempts: int = 6
    patience: float = 120.0
    rate: float | None = None


@dataclass(frozen=True)
class Request:
    """What is asked. `safe`: asking twice does no more than asking once.

    A `body` of bytes is sent as it is, anything else as JSON. `refusals` are answers to be read, not errors.
    """

    url: str
    params: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    method: str = "GET"
    safe: bool = True
    headers: Mapping[str, str] = field(default_factory=dict)
    refusals: tuple[int, ...] = ()


@dataclass(frozen=True)
class Reply:
    """What was answered, and between which instants of our clock."""

    status: int
    headers: httpx.Headers
    content: bytes
    sent_at: datetime
    received_at: datetime

    @property
    def clock(self) -> datetime | None:
        """What the server's clock said, which tells whole seconds: of these, the instant nearest to ours.

        What a cache has kept is so much older as it says (RFC 9110 6.6.1, RFC 9111 5.1).
        """
        try:
            told = parsedate_to_datetime(self.headers["date"]).astimezone(UTC)
            told += timedelta(seconds=int(self.headers.get("age", "0")))
        except (KeyError, ValueError):
            return None
        return min(max(told, self.received_at), told + timedelta(seconds=1))


class Rate:
    """A leaky bucket that all threads of a session share: so many requests a second, none before a pause is over."""

    def __init__(self, rate: float | None) -> None:
        self._gap = 1 / rate if rate else 0.0
        self._next = 0.0
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Wait for this request's turn."""
        with self._lock:
            turn = max(self._next, time.monotonic())
            self._next = turn + self._gap
        if (seconds := turn - time.monotonic()) > 0:
            time.sleep(seconds)

    def pause(self, seconds: float) -> None:
        """Nobody asks for so long."""
        with self._lock:
            self._next = max(self._next, time.monotonic() + seconds)


class Session:
    """Connections to a server, and how it is asked. Threads may share one."""

    def __init__(
        self,
        limits: Limits,
        auth: httpx.Auth | None = None,
        headers: Mapping[str, str] | None = None,
        secrets: tuple[str, ...] = (),
    ) -> None:
        self.limits = limits
        self.rate = Rate(limits.rate)
        self._secrets = tuple(sorted((secret for secret in secrets if secret), key=len, reverse=True))
        timeout = httpx.Timeout(limits.timeout)
        # Redirects are not followed: they would take the credentials elsewhere.
        self._client = httpx.Client(verify=_tls(), auth=auth, headers=headers, timeout=timeout, follow_redirects=False)

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def shown(self, url: str) -> str:
        """A URL as messages name it: server and path."""
        return self.redacted(url.split("?")[0].split("#")[0])

    def redacted(self, text: str) -> str:
        """Text in one line without the session's secrets."""
        for secret in self._secrets:
            text = text.replace(secret, "…")
        return " ".join(text.split())[:200]

    def ask(self, request: Request, parse: Callable[[Reply], Parsed]) -> Parsed:
        """Ask until there is an answer that `parse` can read, within the limits.

        Raises:
            Unreachable: there is none; or `parse` raised it.
        """
        for attempt in stamina.retry_context(on=backoff, attempts=self.limits.attempts, timeout=None, **PAUSES):
            with attempt:
                reply = self._once(request)
                try:
                    return parse(reply)
                except ValueError as error:
                    where = self.shown(request.url)
                    raise Again(f"{where}: its answer is cut off or not JSON: {self.redacted(str(error))}") from error
        raise AssertionError("stamina raises the last error")

    @contextmanager
    def stream(self, request: Request) -> Iterator[httpx.Response]:
        """An answer that is read bit by bit. Raises `Again` where it fails, also while it is read."""
        self.rate.wait()
        try:
            # `params` of httpx would replace what the URL has itself.
            url = httpx.URL(request.url).copy_merge_params(dict(request.params))
            with self._client.stream(
                request.method,
                url,
                json=None if isinstance(request.body, bytes) else request.body,
                content=request.body if isinstance(request.body, bytes) else None,
                headers=dict(request.headers),
            ) as response:
                self._check(response, request)
                yield response
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise Again(f"{self.shown(request.url)}: {self._reason(error)}") from error
        except (httpx.TransportError, httpx.DecodingError) as error:
            told = f"{self.shown(request.url)}: {self._reason(error)}"
            raise (Again if request.safe else Unreachable)(told) from error
        except (httpx.InvalidURL, httpx.HTTPError) as error:
            raise Unreachable(f"{self.shown(request.url)}: {type(error).__name__}") from error

    def _once(self, request: Request) -> Reply:
        began = time.monotonic()
        sent_at = datetime.now(UTC)
        with self.stream(request) as response:
            content = bytearray()
            for block in response.iter_bytes():
                content += block
                if len(content) > _LARGEST:
                    raise Unreachable(f"{self.shown(request.url)}: its answer is larger than {_LARGEST >> 20} MiB")
                if time.monotonic() - began > self.limits.timeout:
                    raise httpx.ReadTimeout("the whole answer took too long")
            return Reply(response.status_code, response.headers, bytes(content), sent_at, datetime.now(UTC))

    def _check(self, response: httpx.Response, request: Request) -> None:
        status = response.status_code
        if status < 300 or status in request.refusals:
            return
        told = f"{self.shown(request.url)}: {status} {response.reason_phrase}".rstrip()
        if status < 400:
            raise Unreachable(f"{told}: it is elsewhere; redirects are not followed, give its final address")
        if status in (401, 403):
            raise Unreachable(f"{told}: the credentials are refused, or have expired")
        if status == 429 or (status in _TRANSIENT and request.safe):
            raise Again(told, self._asked_to_wait(response, told))
        raise Unreachable(told)

    def _asked_to_wait(self, response: httpx.Response, told: str) -> float | None:
        seconds = retry_after(response.headers.get("retry-after"))
        if seconds is None:
            return None
        if seconds > self.limits.patience:
            raise Unreachable(f"{told}: it asks to wait {seconds:.0f} s, more than {self.limits.patience:.0f} s")
        self.rate.pause(seconds)
        return seconds

    def _reason(self, error: Exception) -> str:
        if isinstance(error, httpx.ConnectTimeout):
            return f"no connection within {self.limits.timeout:g} s"
        if isinstance(error, httpx.TimeoutException):
            return f"no whole answer within {self.limits.timeout:g} s"
        if isinstance(error, httpx.ConnectError):
            return f"no connection: {self.redacted(str(error))}"
        return "the connection dropped before the answer was whole"


def backoff(error: Exception) -> bool | float:
    """Whether to try again after an error, and in how many seconds if it says so (for stamina)."""
    if not isinstance(error, Again):
        return False
    return True if error.after is None else error.after


@cache
def _tls() -> ssl.SSLContext:
    """The certificates that are trusted: they take as long to load as many pages to read."""
    return httpx.create_ssl_context()


def retry_after(text: str | None) -> float | None:
    """Seconds that a `Retry-After` header asks for (RFC 9110 10.2.3); None where it says nothing."""
    if text is None:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (at - datetime.now(UTC)).total_seconds())


def as_json(reply: Reply) -> Any:
    """The JSON of an answer; a fraction is a decimal, never a float. Raises `ValueError`."""
    return json.loads(reply.content, parse_float=Decimal, parse_constant=str)
