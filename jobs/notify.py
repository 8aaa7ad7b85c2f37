"""Telling people and systems of a run. A notification that fails is told of, and never fails the run."""

from __future__ import annotations

import json
import smtplib
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from email.message import EmailMessage
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from jobs.config import Config
from jobs.config_notify import Email, Notification, Topic, Webhook
from jobs.config_text import redacted
from jobs.notify_text import Event, text_of
from jobs.workspace import Workspace
from reconcilers.errors import ReconError, Refused, Unreachable

if TYPE_CHECKING:
    from jobs.run import Progress

__all__ = ["Event", "Telling", "tell", "told"]

#: Seconds that a channel may take.
_SECONDS = 15.0


@contextmanager
def told(config: Config, job: str, progress: Progress) -> Iterator[Telling]:
    """Whom the job notifies learns how the block ends; `Telling.finished` says what a run found.

    An error goes on as it is: `Refused` is told as held, any other as failed. An interruption by hand is
    not told.
    """
    telling = Telling(config, job, progress)
    try:
        yield telling
    except Refused as error:
        tell(config, Event("held", job, str(error)), progress)
        raise
    except Exception as error:
        bug = f"a bug ({type(error).__name__}), its traceback is in the log"
        words = str(error) if isinstance(error, ReconError) else bug
        tell(config, Event("failed", job, words), progress)
        raise


@dataclass(frozen=True)
class Telling:
    """The end of a run that nothing went wrong with, to be told."""

    config: Config
    job: str
    progress: Progress

    def finished(self, summary: Mapping[str, Any], report: str) -> None:
        """Tell of a finished run; who only asks for what is held hears of it where a gate tripped."""
        event = Event(
            "finished",
            self.job,
            summary["verdict"],
            summary["run_id"],
            report,
            summary["pairs"],
            tuple(summary["gates"]),
        )
        tell(self.config, event, self.progress)
        if not all(gate["passed"] for gate in event.gates):
            tell(self.config, replace(event, event="held"), self.progress, unless="finished")


def tell(config: Config, event: Event, progress: Progress, unless: str | None = None) -> None:
    """Send an event over every channel of its job that wants it, `unless` it is told of that event too.

    A channel over which it cannot be sent is told to `progress`.
    """
    for number, notification in enumerate(config.job(event.job).notify, 1):
        if event.event not in notification.on or unless in notification.on:
            continue
        try:
            if notification.quiet == "unchanged" and event.run_id is not None and _unchanged(config, event):
                continue
            _send(notification, event)
        # whatever a channel trips over: the run has ended as it has
        except Exception as error:
            place = f"jobs.{event.job}.notify[{number - 1}]"
            progress(f"not notified ({place}): {redacted(str(error), notification.in_the_file())}")


def _send(notification: Notification, event: Event) -> None:
    text = text_of(event, notification.template)
    if notification.webhook is not None:
        _webhook(notification.webhook, text)
    elif notification.email is not None:
        _email(notification.email, event, text)
    elif notification.pubsub is not None:
        _topic(notification.pubsub, event, text)


def _webhook(channel: Webhook, text: str) -> None:
    import httpx

    # Slack takes these three signs for its own.
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    try:
        answer = httpx.post(channel.url, json={"text": escaped}, headers=channel.headers, timeout=_SECONDS)
    except httpx.HTTPError as error:
        raise Unreachable(f"webhook: {type(error).__name__}: {error}") from error
    if not answer.is_success:
        raise Unreachable(f"webhook: answered {answer.status_code}")


def _email(channel: Email, event: Event, text: str) -> None:
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = event.subject, channel.sender, ", ".join(channel.to)
    message.set_content(text)
    try:
        with _mail_server(channel) as server:
            if channel.tls == "starttls":
                server.starttls(context=ssl.create_default_context())
            if channel.user is not None and channel.password is not None:
                server.login(channel.user, channel.password)
            server.send_message(message)
    except (smtplib.SMTPException, OSError) as error:
        raise Unreachable(f"e-mail over {channel.host}:{channel.port}: {' '.join(str(error).split())[:200]}") from error


def _mail_server(channel: Email) -> smtplib.SMTP:
    if channel.tls == "implicit":
        return smtplib.SMTP_SSL(channel.host, channel.port, timeout=_SECONDS, context=ssl.create_default_context())
    return smtplib.SMTP(channel.host, channel.port, timeout=_SECONDS)


def _topic(channel: Topic, event: Event, text: str) -> None:
    from pipelines.connectors import pubsub_service

    path = f"projects/{channel.project}/topics/{channel.topic}"
    document = json.dumps({**event.document(), "text": text}, default=str, ensure_ascii=False)
    attributes = {"event": event.event, "job": event.job, "run_id": event.run_id or ""}
    client = pubsub_service.publisher(channel.endpoint)
    with pubsub_service.told(path):
        messages = [{"data": document.encode(), "attributes": attributes}]
        client.publish(topic=path, messages=messages, **pubsub_service.bounded())


def _unchanged(config: Config, event: Event) -> bool:
    """Whether the same keys need somebody for the same reason as in the run before, in every pair."""
    workspace = Workspace(str(config.workspace))
    runs = [run["run_id"] for run in workspace.runs() if run["job"] == event.job]
    if event.run_id not in runs or runs.index(event.run_id) == 0:
        return False
    before = runs[runs.index(event.run_id) - 1]
    return bool(_faults(workspace, str(event.run_id)).equals(_faults(workspace, before)))


def _faults(workspace: Workspace, run_id: str) -> pa.Table:
    """The keys, and the differences of records and orders, of a run that need somebody, in order."""
    from jobs.run_state import FAULTS, FINE
    from pipelines.reconcile import read_parts

    schema = pa.schema([(name, pa.string()) for name in ("break_id", "class", "reason")])

    def read(output: str) -> pa.Table:
        parts = read_parts(workspace.run_directory(run_id), output, None, schema.names)
        return pa.concat_tables([schema.empty_table(), *(part.select(schema.names).cast(schema) for part in parts)])

    keys, differences = read("breaks"), read("differences")
    faults = [
        keys.filter(pc.is_in(keys["class"], pa.array(FAULTS))),
        differences.filter(pc.invert(pc.is_in(differences["class"], pa.array(FINE)))),
    ]
    return pa.concat_tables(faults).sort_by([(name, "ascending") for name in schema.names]).combine_chunks()
