"""Corrections as messages: in order for a key, and known again by their attributes.

Google's own publisher repeats an ordered message without end; this one answers in bounded time, and
leaves it to the caller to send the same batch again.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from pipelines.connectors import Context, pubsub_service
from reconcilers.corrections import Correction, Mode, Receipt, Status
from reconcilers.errors import Unreachable
from reconcilers.messages import to_json

#: Requests under way at a time.
_REQUESTS = 16


class SinkOptions(BaseModel):
    """Where corrections are published."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    project: str = Field(description="the Google Cloud project of the topic")
    topic: str = Field(description="the topic")
    ordered: bool = Field(
        True,
        description="whether the corrections of one key keep their order (ordering key sku@location); "
        "without, many go in one request, which is several times faster",
    )
    endpoint: str | None = Field(None, description=pubsub_service.ENDPOINT)


class Sink:
    """A topic; what becomes of a correction is up to who reads it."""

    modes = frozenset(Mode)
    #: As many messages as a request may have.
    batch_size = 1000

    def __init__(self, options: SinkOptions, context: Context) -> None:
        self.options = options
        self.path = f"projects/{options.project}/topics/{options.topic}"
        self._client: Any = None
        self._pool = ThreadPoolExecutor(_REQUESTS, thread_name_prefix="publish")

    def send(self, corrections: Sequence[Correction]) -> list[Receipt]:
        """Publish a batch; SENT is what the service has acknowledged, REJECTED what it will not take.

        After a message that got no answer, no later one of its key is sent.

        Raises:
            Unreachable: no answer for some of them within `CALL_SECONDS`.
        """
        if self._client is None:
            self._client = pubsub_service.publisher(self.options.endpoint)
        if self.options.ordered:
            lanes: dict[str, list[Correction]] = {}
            for each in corrections:
                lanes.setdefault(_key(each), []).append(each)
            groups = list(lanes.values())
        else:
            groups = [list(corrections)] if corrections else []
        answers: dict[str, Receipt] = {}
        failed: list[Unreachable] = []
        for pending in [self._pool.submit(self._publish, group) for group in groups]:
            try:
                answers |= {receipt.idempotency_key: receipt for receipt in pending.result()}
            except Unreachable as error:
                failed.append(error)
        if failed:
            raise failed[0]
        return [answers[each.idempotency_key] for each in corrections]

    def observe(self, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Decimal] | None:
        """A topic cannot be asked what its readers show."""
        return None

    def close(self) -> None:
        """Let go of the connection."""
        self._pool.shutdown()
        if self._client is not None:
            self._client.transport.close()

    def _publish(self, corrections: list[Correction]) -> list[Receipt]:
        """Publish in one request; where the service does not take it, one by one."""
        from google.api_core.exceptions import InvalidArgument

        messages = [self._message(each) for each in corrections]
        with pubsub_service.told(self.path):
            try:
                self._client.publish(topic=self.path, messages=messages, **pubsub_service.bounded())
            except InvalidArgument as error:
                if len(corrections) > 1:
                    return [receipt for each in corrections for receipt in self._publish([each])]
                return [Receipt(corrections[0].idempotency_key, Status.REJECTED, pubsub_service.line(error))]
        return [Receipt(each.idempotency_key, Status.SENT) for each in corrections]

    def _message(self, correction: Correction) -> dict[str, Any]:
        return {
            "data": to_json(correction).encode(),
            "ordering_key": _key(correction) if self.options.ordered else "",
            "attributes": {
                "correction_id": correction.correction_id,
                "idempotency_key": correction.idempotency_key,
                "pair": correction.pair,
                "target": correction.target,
                "mode": str(correction.mode),
            },
        }


def _key(correction: Correction) -> str:
    return f"{correction.sku}@{correction.location}"
