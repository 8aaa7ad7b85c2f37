"""Corrections as a signed webhook: a batch a request, an answer a line.

    POST <url>
    Content-Type: application/json
    Idempotency-Key: <the same for the same batch>
    Recon-Signature: t=<seconds since 1970>,v1=<HMAC-SHA256 of "<t>.<body>", hex>

    {"schema": "recon.corrections/1", "corrections": [<message of a correction>, …]}

A consumer answers 202 or 204 where it has taken the batch and will see to it, or 200 with what became of
each line, in any order: `{"results": [{"idempotency_key": …, "status": "APPLIED" | "SENT" | "STALE" |
"REJECTED", "observed": "12", "message": …}]}`. 400 and 422 refuse the whole batch.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from pydantic import Field, SecretStr, field_validator

from pipelines.connectors import Context, http_signature
from pipelines.connectors.http_auth import Auth, Strict, Url
from pipelines.connectors.http_session import Again, Limits, Reply, Request, Session, as_json
from pipelines.connectors.option_values import Timeout
from reconcilers.corrections import Correction, Mode, Receipt, Status
from reconcilers.errors import Unreachable
from reconcilers.messages import to_message

SCHEMA = "recon.corrections/1"

_ANSWERS = frozenset({Status.APPLIED, Status.SENT, Status.STALE, Status.REJECTED})


class SinkOptions(Strict):
    """Who is told of corrections."""

    url: Url = Field(description="where to post them: https://…")
    secret: SecretStr = Field(description="what the body is signed with (HMAC-SHA256), 16 characters or more")
    auth: Auth | None = Field(None, description="credentials besides the signature, as of a source")
    headers: dict[str, str] = Field({}, description="other headers of every request")
    modes: frozenset[Mode] = Field(
        frozenset({Mode.SET, Mode.DELTA}), min_length=1, description="what the consumer offers: set, delta, absolute"
    )
    batch_size: int = Field(250, ge=1, le=10_000, description="corrections a request, at most")
    timeout: Timeout = Field(timedelta(seconds=30), description="how long one request may take")
    rate: float | None = Field(None, gt=0, description="requests a second, at most")

    @field_validator("secret")
    @classmethod
    def _long(cls, secret: SecretStr) -> SecretStr:
        if len(secret.get_secret_value()) < 16:
            raise ValueError("secret is shorter than 16 characters")
        return secret


class Sink:
    """One consumer."""

    def __init__(self, options: SinkOptions, context: Context) -> None:
        self.options = options
        self.modes = options.modes
        self.batch_size = options.batch_size
        auth = options.auth
        self._secret = options.secret.get_secret_value()
        self._session = Session(
            Limits(options.timeout.total_seconds(), rate=options.rate),
            auth.signer() if auth else None,
            options.headers,
            (self._secret, *(auth.secrets if auth else ())),
        )

    def send(self, corrections: Sequence[Correction]) -> list[Receipt]:
        """Post a batch; a receipt each.

        Raises:
            Unreachable: no answer, refused credentials, or an answer that leaves lines out.
        """
        if not corrections:
            return []
        body = json.dumps(
            {"schema": SCHEMA, "corrections": [to_message(each) for each in corrections]}, separators=(",", ":")
        ).encode()
        keys = [each.idempotency_key for each in corrections]
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": hashlib.sha256("\n".join(keys).encode()).hexdigest(),
            http_signature.HEADER: http_signature.sign(self._secret, body, int(time.time())),
        }
        # Only what was turned away at the door (429) is tried again here; else the publisher decides.
        request = Request(self.options.url, {}, body, "POST", safe=False, headers=headers, refusals=(400, 422))
        try:
            return self._session.ask(request, lambda reply: self._receipts(keys, reply))
        except Again as error:
            raise Unreachable(str(error)) from error

    def observe(self, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Decimal] | None:
        """A webhook cannot be asked."""
        return None

    def close(self) -> None:
        """Let go of the connection."""
        self._session.close()

    def _receipts(self, keys: list[str], reply: Reply) -> list[Receipt]:
        if reply.status in (400, 422):
            message = self._session.redacted(reply.content.decode("utf-8", "replace")) or f"refused ({reply.status})"
            return [Receipt(key, Status.REJECTED, message) for key in keys]
        if not reply.content.strip():
            return [Receipt(key, Status.SENT) for key in keys]
        where = self._session.shown(self.options.url)
        try:
            results = as_json(reply)["results"]
            found = {each["idempotency_key"]: self._receipt(each) for each in results}
        except (ValueError, TypeError, KeyError, InvalidOperation) as error:
            raise Unreachable(f"{where}: its answer does not say what became of each line") from error
        missing = [key for key in keys if key not in found]
        if missing:
            raise Unreachable(f"{where}: {len(keys) - len(missing)} of {len(keys)} lines were answered")
        return [found[key] for key in keys]

    def _receipt(self, told: dict[str, Any]) -> Receipt:
        status = Status(told["status"])
        if status not in _ANSWERS:
            raise ValueError(f"{status} is no answer")
        observed = told.get("observed")
        message = self._session.redacted(str(told.get("message") or ""))
        return Receipt(told["idempotency_key"], status, message, None if observed is None else Decimal(str(observed)))
