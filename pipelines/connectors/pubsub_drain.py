"""Draining one subscription: everything that was published up to an instant, as lists of bounded size."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pipelines.connectors.pubsub_leases import Leases
from pipelines.connectors.pubsub_service import bounded, told
from reconcilers.errors import Unreachable

#: Requests under way at a time, messages of one, and the seconds that one waits for a message.
PULLS = 4
MESSAGES = 1000
POLL_SECONDS = 2.0

#: Message ids remembered to know a redelivery; one that comes later is known by its event id.
REMEMBERED = 100_000

#: Messages of after the instant that are given back at once when the drain ends; more come back by themselves.
GIVEN_BACK = 10_000


@dataclass
class Drain:
    """One subscription under way. `until` is the last publish time that still counts.

    The backlog counts as empty when no message of up to `until` has come for `quiet`, though the service
    answers. A drain that takes longer than `longest` keeps no more, and looks on only until it knows whether
    something is left. `left` is the publish time of the oldest message that was seen and not kept, None
    where none was.
    """

    client: Any
    subscription: str
    until: datetime
    quiet: timedelta
    longest: timedelta
    leases: Leases
    kept: int = 0
    redelivered: int = 0
    left: datetime | None = None
    _later: list[str] = field(default_factory=list)
    _recent: dict[str, None] = field(default_factory=dict)
    _began: float = field(default_factory=time.monotonic)
    _came: float = field(default_factory=time.monotonic)

    def messages(self) -> Iterator[list[Any]]:
        """The messages (`google.pubsub.v1.PubsubMessage`), each once. Raises `Unreachable`."""
        with ThreadPoolExecutor(PULLS) as pool:
            yield from self._pulled(pool)
            while not (cut_short := self._too_long) and (kept := self._taken(self._answered())):
                yield kept
                yield from self._pulled(pool)
        if cut_short:
            self._look_on()
        self._give_back()

    @property
    def _empty(self) -> bool:
        return time.monotonic() - self._came >= self.quiet.total_seconds()

    @property
    def _too_long(self) -> bool:
        return time.monotonic() - self._began >= self.longest.total_seconds()

    def _pulled(self, pool: ThreadPoolExecutor) -> Iterator[list[Any]]:
        """What comes until nothing has come for `quiet`, or it takes too long; several requests at a time."""
        pending = {pool.submit(self._pull) for _ in range(PULLS)}
        while pending:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for pull in done:
                if kept := self._taken(pull.result()):
                    yield kept
                if not (self._empty or self._too_long):
                    pending.add(pool.submit(self._pull))

    def _look_on(self) -> None:
        """Leave what comes, until something is known to be left, or nothing is."""
        while self.left is None or self.left > self.until:
            last = self._empty
            received = self._answered() if last else self._pull()
            for each in received:
                self._leave(each)
            if last and not received:
                return

    def _answered(self) -> list[Any]:
        """What one more request brings, of a service that answers: silence alone may be a network that hangs."""
        with told(self.subscription):
            self.client.get_subscription(subscription=self.subscription, **bounded())
        return self._pull()

    def _pull(self) -> list[Any]:
        """What one request brings; it waits a moment for a first message."""
        from google.api_core.exceptions import DeadlineExceeded
        from google.api_core.timeout import ConstantTimeout
        from google.pubsub_v1 import PullResponse

        options = {**bounded(), "timeout": ConstantTimeout(POLL_SECONDS)}
        with told(self.subscription):
            try:
                request = {"subscription": self.subscription, "max_messages": MESSAGES}
                response = self.client.pull(request=request, **options)
            except DeadlineExceeded:
                return []
        return list(PullResponse.pb(response).received_messages)

    def _taken(self, received: list[Any]) -> list[Any]:
        """What of it is new and of up to `until`; the rest is counted, or left for the next time."""
        kept, ids = [], []
        for each in received:
            if _instant(each.message) > self.until:
                self._leave(each)
                continue
            ids.append(each.ack_id)
            if each.message.message_id in self._recent:
                self.redelivered += 1
            else:
                self._recent[each.message.message_id] = None
                kept.append(each.message)
        if kept:
            self._came = time.monotonic()
        self.leases.take(ids)
        while len(self._recent) > REMEMBERED:
            del self._recent[next(iter(self._recent))]
        self.kept += len(kept)
        return kept

    def _leave(self, received: Any) -> None:
        published = _instant(received.message)
        self.left = published if self.left is None else min(self.left, published)
        if len(self._later) < GIVEN_BACK:
            self._later.append(received.ack_id)

    def _give_back(self) -> None:
        """What is left for the next time need not wait for its lease to end."""
        with suppress(Unreachable), told(self.subscription):
            for start in range(0, len(self._later), MESSAGES):
                ids = self._later[start : start + MESSAGES]
                self.client.modify_ack_deadline(
                    subscription=self.subscription, ack_ids=ids, ack_deadline_seconds=0, **bounded()
                )


def _instant(message: Any) -> datetime:
    """When the service took the message."""
    published: datetime = message.publish_time.ToDatetime(tzinfo=UTC)
    return published
