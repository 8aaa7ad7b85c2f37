"""`jobs.<job>.notify`: who is told of a run, of what, and in which words."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from jobs.config_values import Strict, Texts, Whole, listed, wrong

#: finished: the end of a run; held: a safety gate or an approval; failed: an error; pause: one that lasted
#: too long, or that the watchdog had to end.
EventName = Literal["finished", "held", "failed", "pause"]


class Webhook(Strict):
    """A URL that takes `{"text": …}`, such as an incoming webhook of Slack."""

    url: str = Field(pattern=r"^https?://")
    headers: dict[str, str] = Field({})


class Email(Strict):
    """A mail server, and whom to write."""

    host: str
    port: Whole = Field(587, ge=1, le=65535)
    tls: Literal["starttls", "implicit", "none"] = "starttls"
    user: str | None = None
    password: str | None = None
    sender: str = Field(alias="from")
    to: Texts = Field(min_length=1)

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.user is None) != (self.password is None):
            raise wrong("user and password need one another")
        if self.user is not None and self.tls == "none":
            raise wrong("a password over tls: none could be read by anybody on the way")
        return self


class Topic(Strict):
    """A Pub/Sub topic; a message is the event as JSON."""

    project: str
    topic: str
    endpoint: str | None = None


class Notification(Strict):
    """One channel: a webhook, e-mail or Pub/Sub."""

    webhook: Webhook | None = None
    email: Email | None = None
    pubsub: Topic | None = None
    on: Annotated[tuple[EventName, ...], BeforeValidator(listed), Field(min_length=1)] = (
        "finished", "held", "failed", "pause",
    )  # fmt: skip
    quiet: Literal["never", "unchanged"] = "never"
    template: str | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(each is not None for each in (self.webhook, self.email, self.pubsub)) != 1:
            raise wrong("needs one of webhook, email, pubsub")
        return self

    @field_validator("template")
    @classmethod
    def _renders(cls, template: str | None) -> str | None:
        """Tried with an event, so that a slip is told now and not at night."""
        from jobs.notify_text import TemplateProblem, try_out

        if template is not None:
            try:
                try_out(template)
            except TemplateProblem as error:
                raise wrong(str(error)) from error
        return template
