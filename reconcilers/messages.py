"""The message that tells a target of a correction: one JSON document, the same for every kind of sink.

`message_schemas/correction-<version>.schema.json` (and `.avsc`) is the contract with consumers. A change
that a consumer could trip over is a new version beside the old one.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from reconcilers.corrections import Correction, Mode

VERSION = 1
SCHEMA = f"recon.correction/{VERSION}"


def to_message(correction: Correction) -> dict[str, Any]:
    """The correction as the schema has it: quantities are exact decimal text, instants RFC 3339 in UTC."""
    return {
        "schema": SCHEMA,
        "correction_id": correction.correction_id,
        "run_id": correction.run_id,
        "pair": correction.pair,
        "target": correction.target,
        "sku": correction.sku,
        "location": correction.location,
        "basis": correction.basis,
        "mode": str(correction.mode),
        "value": decimal_text(correction.value),
        "change_from": None if correction.change_from is None else decimal_text(correction.change_from),
        "delta": decimal_text(correction.delta),
        "reason": correction.reason,
        "reference": correction.reference,
        "idempotency_key": correction.idempotency_key,
        "created_at": instant_text(correction.created_at),
        "expires_at": None if correction.expires_at is None else instant_text(correction.expires_at),
    }


def from_message(message: dict[str, Any]) -> Correction:
    """The correction that `to_message` wrote. Raises `ValueError` or `KeyError` for anything else."""
    if message["schema"] != SCHEMA:
        raise ValueError(f"schema {message['schema']!r}, this version reads {SCHEMA!r}")
    fields = {name: value for name, value in message.items() if name != "schema"}
    for name in ("value", "change_from", "delta"):
        fields[name] = None if fields[name] is None else Decimal(fields[name])
    for name in ("created_at", "expires_at"):
        fields[name] = None if fields[name] is None else datetime.fromisoformat(fields[name])
    return Correction(**{**fields, "mode": Mode(fields["mode"])})


def to_json(correction: Correction) -> str:
    """The message as compact JSON on one line, keys in the order of the schema."""
    return json.dumps(to_message(correction), ensure_ascii=False, separators=(",", ":"))


@cache
def json_schema() -> dict[str, Any]:
    """The JSON Schema of the message."""
    return _shipped("schema.json")


@cache
def avro_schema() -> dict[str, Any]:
    """The Avro schema of the message."""
    return _shipped("avsc")


def decimal_text(value: Decimal) -> str:
    """The shortest plain text of a decimal: `12`, `-0.5`; never an exponent."""
    text = f"{value:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def instant_text(instant: datetime) -> str:
    """RFC 3339 in UTC, with a Z."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _shipped(ending: str) -> dict[str, Any]:
    path = Path(__file__).parent / "message_schemas" / f"correction-{VERSION}.{ending}"
    schema: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return schema
