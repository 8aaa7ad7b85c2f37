"""Messages that were received and not acknowledged yet: theirs is a lease, extended until it is decided."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import IO, Any, Self

from pipelines.connectors.pubsub_service import IDS_A_REQUEST, bounded, told
from reconcilers.errors import Unreachable

#: How long a service is asked to hand messages out again; they come by themselves when their time is over.
_RELEASE_SECONDS = 5.0


class Leases:
    """The acknowledgement ids of one subscription, in a temporary file: a backlog may be longer than memory.

    A thread extends all of them three times in `seconds`, the subscription's acknowledgement deadline.
    When a process dies, nobody extends them, and the messages come again after at most that long.
    """

    def __init__(self, client: Any, subscription: str, seconds: int, file: IO[bytes]) -> None:
        self.client = client
        self.subscription = subscription
        self.seconds = seconds
        self._file = file
        self._chunks: list[tuple[int, int]] = []
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._extend, name="leases", daemon=True)

    @classmethod
    def begin(cls, client: Any, subscription: str, seconds: int) -> Self:
        """Leases that are extended from now on, until they are acknowledged or released."""
        leases = cls(client, subscription, seconds, tempfile.TemporaryFile())  # noqa: SIM115  they close it
        leases._thread.start()
        return leases

    def take(self, ids: Iterable[str]) -> None:
        """Keep more of them."""
        data = "\n".join(ids).encode()
        if data:
            with self._lock:
                start = self._file.tell()
                self._file.write(data)
                self._file.flush()
                self._chunks.append((start, len(data)))

    def acknowledge(self) -> None:
        """The messages need not come again. Raises `Unreachable`; then some of them may."""
        self._stop()
        with self._file, told(self.subscription):
            self._each(lambda ids: self.client.acknowledge(subscription=self.subscription, ack_ids=ids, **bounded()))

    def release(self) -> None:
        """Let them come again at once, or, where the service does not answer, when their time is over."""
        self._stop()
        with self._file, suppress(Unreachable), told(self.subscription):
            self._each(lambda ids: self._deadline(ids, 0, _RELEASE_SECONDS))

    def _stop(self) -> None:
        self._closed.set()
        self._thread.join()

    def _extend(self) -> None:
        while not self._closed.wait(self.seconds / 3):
            # A message whose lease ends comes again, and is known by its id: nothing to do about an error.
            with suppress(Unreachable), told(self.subscription):
                self._each(lambda ids: self._deadline(ids, self.seconds, self.seconds))

    def _deadline(self, ids: list[str], seconds: int, within: float) -> None:
        self.client.modify_ack_deadline(
            subscription=self.subscription, ack_ids=ids, ack_deadline_seconds=seconds, **bounded(within)
        )

    def _each(self, call: Callable[[list[str]], object]) -> None:
        for ids in self._requests():
            call(ids)

    def _requests(self) -> Iterator[list[str]]:
        """All ids so far, as many at a time as a request may have."""
        with self._lock:
            chunks = list(self._chunks)
        ids: list[str] = []
        for start, length in chunks:
            ids += os.pread(self._file.fileno(), length, start).decode().split("\n")
            while len(ids) >= IDS_A_REQUEST:
                yield ids[:IDS_A_REQUEST]
                del ids[:IDS_A_REQUEST]
        if ids:
            yield ids
