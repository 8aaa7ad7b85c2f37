"""An example of who takes corrections: a web service over one SQLite table, in plain Python.

    RECON_SECRET=… python -m examples.consumer stock.db --port 8080

It shows what a consumer owes: the signature is checked, in constant time, before anything is parsed; every
idempotency key is applied once, in the same transaction as the number that it changes; a `set` is refused
where the number is not what the correction was computed from; what has expired is refused; and one bad line
never fails the others. `docs/publishing.md` has the protocol.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import os
import sqlite3
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SCHEMA = "recon.corrections/1"

#: Seconds after which a signature is too old: what was overheard cannot be sent again later.
TOLERANCE = 300.0

#: A body larger than this is not read.
LARGEST = 32 * 1024 * 1024

TABLES = """
create table if not exists stock (
    sku text not null, location text not null, quantity text not null, primary key (sku, location)
);
create table if not exists applied (
    idempotency_key text primary key, correction_id text not null, sku text not null, location text not null,
    was text not null, became text not null, reason text not null, reference text not null, applied_at text not null
);
"""


def is_signed(secret: str, header: str, body: bytes, now: float) -> bool:
    """Whether `Recon-Signature` (t=<seconds>,v1=<hex>) is of this body, by somebody who knows the secret."""
    parts = [part.strip().partition("=") for part in header.split(",")]
    at = next((value for name, _, value in parts if name == "t"), "")
    if not (at.isascii() and at.isdigit()) or abs(now - int(at)) > TOLERANCE:
        return False
    expected = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest().encode()
    return sum(hmac.compare_digest(expected, value.encode()) for name, _, value in parts if name == "v1") > 0


def connect(path: str) -> sqlite3.Connection:
    """The stock table, durable, with a transaction begun by hand."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=30)
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = full")
    connection.executescript(TABLES)
    return connection


def apply(connection: sqlite3.Connection, messages: Iterable[Mapping[str, Any]], now: datetime) -> list[dict[str, Any]]:
    """Apply corrections, a transaction for all; returns what became of each, in their order."""
    connection.execute("begin immediate")
    try:
        results = [_judged(connection, message, now) for message in messages]
        connection.execute("commit")
    except BaseException:
        connection.execute("rollback")
        raise
    return results


def _judged(connection: sqlite3.Connection, message: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    key = str(message.get("idempotency_key"))
    try:
        status, told, observed = _applied(connection, message, now)
    except (KeyError, TypeError, ValueError, InvalidOperation) as error:
        status, told, observed = "REJECTED", f"not a correction: {type(error).__name__} {error}", None
    return {"idempotency_key": key, "status": status, "message": told, "observed": observed}


def _applied(connection: sqlite3.Connection, message: Mapping[str, Any], now: datetime) -> tuple[str, str, str | None]:
    if message["schema"] != "recon.correction/1":
        return "REJECTED", f"schema {message['schema']} is not known here", None
    key, place = message["idempotency_key"], (message["sku"], message["location"])
    known = connection.execute("select became from applied where idempotency_key = ?", (key,)).fetchone()
    if known is not None:
        return "APPLIED", "applied before", None
    if message["expires_at"] is not None and datetime.fromisoformat(message["expires_at"]) <= now:
        return "REJECTED", "expired", None
    row = connection.execute("select quantity from stock where sku = ? and location = ?", place).fetchone()
    if row is None:
        return "REJECTED", "no such SKU at this location", None
    shown = Decimal(row[0])
    if message["mode"] == "set" and shown != Decimal(message["change_from"]):
        return "STALE", f"shows {shown}", str(shown)
    becomes = shown + Decimal(message["delta"]) if message["mode"] == "delta" else Decimal(message["value"])
    connection.execute("update stock set quantity = ? where sku = ? and location = ?", (str(becomes), *place))
    connection.execute(
        "insert into applied values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (key, message["correction_id"], *place, str(shown), str(becomes), message["reason"], message["reference"],
         now.isoformat()),
    )  # fmt: skip
    return "APPLIED", "", None


class Handler(BaseHTTPRequestHandler):
    """`POST /corrections`: a signed batch. `GET /health`: whether it is there."""

    database = ""
    secret = ""

    def do_GET(self) -> None:
        """Say that it is there."""
        self.answer(200, {"ok": True})

    def do_POST(self) -> None:
        """Take a batch."""
        length = int(self.headers.get("Content-Length") or 0)
        if length > LARGEST:
            self.answer(413, {"error": f"more than {LARGEST} bytes"})
            return
        body = self.rfile.read(length)
        if not is_signed(self.secret, self.headers.get("Recon-Signature", ""), body, time.time()):
            self.answer(401, {"error": "the signature is missing, wrong or too old"})
            return
        try:
            batch = json.loads(body)
            messages = batch["corrections"]
            if batch["schema"] != SCHEMA:
                raise ValueError(f"schema {batch['schema']!r}")
        except (ValueError, KeyError, TypeError) as error:
            self.answer(400, {"error": f"not a batch of corrections: {error}"})
            return
        connection = connect(self.database)
        try:
            self.answer(200, {"results": apply(connection, messages, datetime.now(UTC))})
        finally:
            connection.close()

    def answer(self, status: int, document: Mapping[str, Any]) -> None:
        """Send one JSON document."""
        text = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: Any) -> None:
        """Stay quiet; the table says what happened."""


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(description="Take corrections into a SQLite table.")
    parser.add_argument("database")
    parser.add_argument("--port", type=int, default=8080)
    arguments = parser.parse_args()
    Handler.database, Handler.secret = arguments.database, os.environ["RECON_SECRET"]
    connect(arguments.database).close()
    ThreadingHTTPServer(("127.0.0.1", arguments.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
