"""Reaching Pub/Sub: clients, calls that end, and its errors as one line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from reconcilers.errors import Unreachable

#: Seconds that a call may take, its repetitions included: Google's own default is ten minutes and more.
CALL_SECONDS = 30.0

#: Most acknowledgement ids of one request, which may not be larger than 512 KiB.
IDS_A_REQUEST = 1000

ENDPOINT = "host:port of an emulator; Google's own service if not given"


def subscriber(endpoint: str | None) -> Any:
    """A client that pulls. Raises `Unreachable` without credentials."""
    from google.pubsub_v1 import SubscriberClient
    from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

    return client(SubscriberClient, SubscriberGrpcTransport, endpoint or _emulator())


def publisher(endpoint: str | None) -> Any:
    """A client that publishes: one request, one answer. Raises `Unreachable` without credentials."""
    from google.pubsub_v1 import PublisherClient
    from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

    return client(PublisherClient, PublisherGrpcTransport, endpoint or _emulator())


def bounded(seconds: float | None = None) -> dict[str, Any]:
    """Call options: repeat what may be repeated, with growing pauses, for `CALL_SECONDS` at most, or fewer."""
    from google.api_core import exceptions
    from google.api_core.retry import Retry, if_exception_type

    seconds = CALL_SECONDS if seconds is None else min(seconds, CALL_SECONDS)
    transient = (exceptions.ServiceUnavailable, exceptions.Aborted, exceptions.InternalServerError,
                 exceptions.ResourceExhausted, exceptions.Unknown)  # fmt: skip
    repeat = Retry(if_exception_type(*transient), initial=0.1, maximum=5.0, multiplier=2.0, timeout=seconds)
    return {"retry": repeat, "timeout": seconds}


@contextmanager
def told(name: str) -> Iterator[None]:
    """An error of the service as `Unreachable`, in one line that begins with `name`."""
    from google.api_core.exceptions import GoogleAPICallError, RetryError
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except RetryError as error:
        raise Unreachable(f"{name}: no answer within {CALL_SECONDS:.0f} s: {line(error.cause)}") from error
    except (GoogleAPICallError, GoogleAuthError) as error:
        raise Unreachable(f"{name}: {line(error)}") from error


def line(error: object) -> str:
    """A message of the service as one short line."""
    return " ".join(str(getattr(error, "message", None) or error).split())[:300]


def client(kind: Any, transport: Any, endpoint: str | None) -> Any:
    """A client of a Google service, or of what speaks like one at `endpoint`, without credentials.

    Raises:
        Unreachable: Google's own service, and no credentials for it.
    """
    import grpc

    if endpoint is not None:
        # Lists of messages and of acknowledgement ids are large: as large as the service allows.
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        return kind(transport=transport(channel=grpc.insecure_channel(endpoint, options=options)))
    with told("Google Cloud"):
        return kind()


def _emulator() -> str | None:
    """What every Pub/Sub client takes for the address of an emulator."""
    return os.environ.get("PUBSUB_EMULATOR_HOST")
