"""BigQuery for the connector `bigquery` and the results of runs: where it is, and calls that end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from pipelines.connectors.option_values import Timeout
from reconcilers.durations import format_duration
from reconcilers.errors import ConfigError, ReconError, Unreachable

if TYPE_CHECKING:
    from google.cloud import bigquery

#: How long one call may take, retries included; jobs are waited for by many calls.
CALL_SECONDS = 30

_NAME = r"^(?:[a-z][a-z0-9.:-]*\.)?[A-Za-z_]\w*$"


class Place(BaseModel):
    """Where a BigQuery is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    project: str = Field(pattern=r"^[a-z][a-z0-9.:-]*$", description="the project that jobs run in and pay for")
    location: str | None = Field(None, description="where its data is, such as EU")
    api_endpoint: str | None = Field(None, description="another REST endpoint; http://host:port of an emulator")
    grpc_endpoint: str | None = Field(None, description="another Storage endpoint; host:port of an emulator")
    timeout: Timeout = Field(timedelta(minutes=30), description="how long a query or load may take")

    @property
    def place(self) -> Place:
        """Where it is, without what is said of it there."""
        return Place(**self.model_dump(include=set(Place.model_fields)))


@dataclass(frozen=True)
class Warehouse:
    """The clients of a place, made when they are first used, and calls through them that end in time."""

    place: Place

    @property
    def seconds(self) -> float:
        """How long a call may take."""
        return min(CALL_SECONDS, self.place.timeout.total_seconds())

    @property
    def bounds(self) -> dict[str, Any]:
        """The arguments that bound a REST call: the client's own are ten minutes."""
        from google.cloud.bigquery import DEFAULT_RETRY

        return {"retry": DEFAULT_RETRY.with_timeout(self.seconds), "timeout": self.seconds}

    @property
    def stream_bounds(self) -> dict[str, Any]:
        """The same for a call of the Storage API."""
        from google.api_core import exceptions, retry

        again = retry.if_exception_type(exceptions.ServiceUnavailable, exceptions.DeadlineExceeded)
        return {"retry": retry.Retry(predicate=again, timeout=self.seconds), "timeout": self.seconds}

    @cached_property
    def client(self) -> bigquery.Client:
        """The REST client; an emulator at `http://` is talked to without credentials."""
        from google.auth.credentials import AnonymousCredentials
        from google.cloud import bigquery

        place = self.place
        plain = place.api_endpoint is not None and place.api_endpoint.startswith("http://")
        return bigquery.Client(
            project=place.project,
            location=place.location,
            credentials=AnonymousCredentials() if plain else None,
            client_options={"api_endpoint": place.api_endpoint} if place.api_endpoint else None,
        )

    @cached_property
    def reader(self) -> Any:
        """The client of the Storage Read API; an endpoint of one's own is talked to in plain text."""
        import grpc
        from google.cloud.bigquery_storage import BigQueryReadClient

        if self.place.grpc_endpoint is None:
            return BigQueryReadClient()
        transport = BigQueryReadClient.get_transport_class("grpc")
        options = [("grpc.max_receive_message_length", -1)]
        return BigQueryReadClient(transport=transport(channel=grpc.insecure_channel(self.place.grpc_endpoint, options)))

    @cached_property
    def instant(self) -> datetime:
        """The server's own clock, once: what all that is read at this place is as of."""
        ((instant,),) = self.run("select current_timestamp()").result(**self.bounds)
        found: datetime = instant
        return found

    def run(self, sql: str, **config: Any) -> bigquery.QueryJob:
        """Run a statement to its end. Raises `Unreachable` where it takes longer than the timeout."""
        from google.cloud import bigquery

        job = self.client.query(sql, job_config=bigquery.QueryJobConfig(**config), job_retry=None, **self.bounds)
        self.finish(job)
        return job

    def finish(self, job: Any) -> None:
        """Wait for a job, and cancel it where it takes longer than the timeout."""
        from concurrent.futures import TimeoutError as TooLate

        more: dict[str, Any] = {"job_retry": None} if job.job_type == "query" else {}
        try:
            job.result(retry=self.bounds["retry"], timeout=self.place.timeout.total_seconds(), **more)
        except TooLate:
            job.cancel(**self.bounds)
            raise Unreachable(f"took longer than {format_duration(self.place.timeout)} (timeout)") from None

    def close(self) -> None:
        """Let go of connections."""
        for client in ("client", "reader"):
            made = self.__dict__.pop(client, None)
            if client == "client" and made is not None:
                made.close()
            elif made is not None:
                made.transport.close()


@contextmanager
def told(name: str) -> Iterator[None]:
    """The clients' errors as one line each, which begins with `name`."""
    from google.api_core import exceptions
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except ReconError as error:
        raise type(error)(f"{name}: {error}") from error
    except (exceptions.BadRequest, exceptions.NotFound) as error:
        raise ConfigError(f"{name}: {_line(error)}") from error
    except (exceptions.GoogleAPIError, GoogleAuthError, OSError) as error:
        raise Unreachable(f"{name}: {_line(error)}") from error


def _line(error: BaseException) -> str:
    """The message alone, without the request, the job and the doubling around it."""
    from google.api_core.exceptions import RetryError

    if isinstance(error, RetryError):
        refused = re.search(r"\[Errno -?\d+\] ([^'\")\\]+)", str(error.cause))
        return f"no answer in time{': ' + refused[1] if refused else ''}"
    text = getattr(error, "message", "") or str(error)
    first = " ".join(text.split("; reason:")[0].split("\n\n")[0].split())
    return first.rsplit("prettyPrint=false: ", 1)[-1][:300]
