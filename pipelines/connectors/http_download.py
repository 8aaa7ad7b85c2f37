"""A large file over HTTP to disk: a dropped connection goes on where it was, a file that is cut off is not taken."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import httpx
import stamina

from pipelines.connectors import http_session
from pipelines.connectors.http_session import Again, Request, Session
from reconcilers.errors import Unreachable


def download(session: Session, request: Request, path: Path) -> httpx.Headers:
    """Write what is at a URL to a file, and say the answer's headers.

    Raises:
        Unreachable: it cannot be had whole within the tries of the session, of which each has to get further.
    """
    path.write_bytes(b"")
    for attempt in stamina.retry_context(
        on=http_session.backoff, attempts=session.limits.attempts, timeout=None, **http_session.PAUSES
    ):
        with attempt:
            return _more(session, request, path)
    raise AssertionError("stamina raises the last error")


def _more(session: Session, request: Request, path: Path) -> httpx.Headers:
    """The rest of a file, from what is there already where the server can do that."""
    there = path.stat().st_size
    asked = replace(request, headers={**request.headers, "Range": f"bytes={there}-"}) if there else request
    where = session.shown(request.url)
    with session.stream(asked) as response:
        continues = response.status_code == 206 and _starts(response.headers, there)
        with path.open("ab" if continues else "wb") as file:
            for block in response.iter_bytes():
                file.write(block)
        headers = response.headers
    whole = _length(headers, there if continues else 0)
    if whole is not None and path.stat().st_size != whole:
        raise Again(f"{where}: {path.stat().st_size} bytes came of {whole}")
    if path.stat().st_size == 0:
        raise Unreachable(f"{where}: empty")
    return headers


def _starts(headers: httpx.Headers, at: int) -> bool:
    return str(headers.get("content-range", "")).startswith(f"bytes {at}-")


def _length(headers: httpx.Headers, before: int) -> int | None:
    """How long the whole file should be; not told where it is packed on the way."""
    if headers.get("content-encoding") or "content-length" not in headers:
        return None
    return before + int(headers["content-length"])
