"""A sink for tests: the webhook of `docs/publishing.md`, and reading back what the consumer shows."""

from __future__ import annotations

import hashlib
import hmac
import json
import sqlite3
import time
import urllib.error
import urllib.request
from decimal import Decimal

from pydantic import BaseModel, ConfigDict, Field

from reconcilers.corrections import Mode, Receipt, Status
from reconcilers.errors import Unreachable
from reconcilers.messages import to_message


class SinkOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")

    url: str
    secret: str
    database: str | None = Field(None, description="where to read back from")
    modes: list[Mode] = Field([Mode.SET])
    batch: int = 10
    timeout: float = 5.0


class Sink:
    def __init__(self, options, context):
        self.options = options
        self.modes = frozenset(options.modes)
        self.batch_size = options.batch

    def send(self, corrections):
        body = json.dumps(
            {"schema": "recon.corrections/1", "corrections": [to_message(each) for each in corrections]}
        ).encode()
        at = int(time.time())
        digest = hmac.new(self.options.secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
        request = urllib.request.Request(self.options.url, body, {"Recon-Signature": f"t={at},v1={digest}"})
        try:
            with urllib.request.urlopen(request, timeout=self.options.timeout) as reply:
                results = {each["idempotency_key"]: each for each in json.loads(reply.read())["results"]}
        except (OSError, ValueError) as error:
            raise Unreachable(f"{self.options.url}: {error}") from error
        missing = [c for c in corrections if c.idempotency_key not in results]
        if missing:
            raise Unreachable(f"{self.options.url}: {len(missing)} lines without an answer")
        return [_receipt(results[c.idempotency_key]) for c in corrections]

    def observe(self, keys):
        if self.options.database is None:
            return None
        with sqlite3.connect(self.options.database, timeout=30) as connection:
            rows = connection.execute("select sku, location, quantity from stock").fetchall()
        shown = {(sku, place): Decimal(quantity) for sku, place, quantity in rows}
        return {key: shown[key] for key in keys if key in shown}

    def close(self):
        pass


def _receipt(told):
    observed = None if told["observed"] is None else Decimal(told["observed"])
    return Receipt(told["idempotency_key"], Status(told["status"]), told["message"], observed)


SUMMARY = "a webhook, for tests"
EXAMPLE = "connector: webhook"


class Options(BaseModel):
    pass
