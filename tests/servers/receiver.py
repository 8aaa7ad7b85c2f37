"""A local HTTP endpoint for the tests: it keeps what it is sent, in order."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Received:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """A running endpoint; `answers` are the status codes of the next requests, 200 after them."""

    port: int
    requests: queue.Queue[Received] = field(default_factory=queue.Queue)
    answers: list[int] = field(default_factory=list)

    @property
    def url(self):
        """How it is reached."""
        return f"http://127.0.0.1:{self.port}"

    def take(self, count, timeout=60):
        """The next requests; fails where they do not come."""
        return [self.requests.get(timeout=timeout) for _ in range(count)]


@contextmanager
def receiver() -> Iterator[Receiver]:
    """An endpoint on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self):
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            running.requests.put(Received(self.command, self.path, dict(self.headers), body))
            self.send_response(running.answers.pop(0) if running.answers else 200)
            self.send_header("content-length", "0")
            self.end_headers()

        do_POST = do_PUT = do_GET = do_DELETE = do_PATCH = _answer  # noqa: N815

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running = Receiver(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        server.server_close()
