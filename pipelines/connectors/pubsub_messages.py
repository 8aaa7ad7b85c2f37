"""Messages as raw rows: what the body says, and what Pub/Sub says about it (`pubsub.…`).

A body is a JSON object, or Avro of a schema that is known. One that is neither becomes a reject that
holds the whole message: it is acknowledged like any other, and would be gone otherwise.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from datetime import time as clock
from decimal import Decimal
from typing import Any

import pyarrow as pa

from pipelines.connectors import Batch, json_lines
from pipelines.connectors.csv_text import with_origin
from reconcilers.schemas import TEXT, rejects_schema

#: The columns that every row has; an attribute `a` of a message is the column `pubsub.attributes.a`.
ID, PUBLISHED, KEY, ATTRIBUTES = "pubsub.id", "pubsub.publish_time", "pubsub.ordering_key", "pubsub.attributes."

_INSTANT = pa.timestamp("us", tz="UTC")


def json_batches(messages: list[Any], name: str, first: int) -> Iterator[Batch]:
    """The rows of messages whose bodies are JSON objects; `first` is the number of the first message."""
    block = b"\n".join(_one_line(bytes(message.data)) for message in messages) + b"\n"
    for batch in json_lines.read(io.BytesIO(block), name):
        places = batch.rows["source_line"].to_pylist()
        body = batch.rows.drop_columns(["source_file", "source_line"])
        rejects = None
        if batch.rejects is not None:
            wrong = zip(batch.rejects["source_line"].to_pylist(), batch.rejects["reason"].to_pylist(), strict=True)
            rejects = _rejects([(line - 1, reason) for line, reason in wrong], messages, name, first)
        yield _batch(body, [line - 1 for line in places], messages, name, first, rejects)


def avro_batches(messages: list[Any], name: str, first: int, schema: Any) -> Iterator[Batch]:
    """The rows of messages whose bodies are Avro, binary or JSON as their attributes say."""
    rows: list[dict[str, str | None]] = []
    places: list[int] = []
    wrong: list[tuple[int, str]] = []
    for place, message in enumerate(messages):
        try:
            rows.append(_avro(message, schema))
            places.append(place)
        # whatever a decoder trips over when bytes are not what they should be
        except Exception:
            wrong.append((place, "not Avro of the schema"))
    names = list(dict.fromkeys(name for row in rows for name in row))
    body = pa.table({each: pa.array([row.get(each) for row in rows], TEXT) for each in names})
    yield _batch(body, places, messages, name, first, _rejects(wrong, messages, name, first) if wrong else None)


def avro_schema(text: str) -> Any:
    """A parsed Avro schema. Raises `ValueError`."""
    from fastavro import parse_schema
    from fastavro.schema import SchemaParseException, UnknownType

    try:
        return parse_schema(json.loads(text))
    except (SchemaParseException, UnknownType, KeyError, TypeError) as error:
        raise ValueError(f"not an Avro schema: {error}") from error


def _one_line(data: bytes) -> bytes:
    """A body as a line: a line end in JSON is never a part of a value; no body is an object without fields."""
    if b"\0" in data:
        return b"?"  # no JSON, and no reason to take all of them for binary
    return data.replace(b"\n", b" ").removeprefix(b"\xef\xbb\xbf").strip() or b"{}"


def _batch(
    body: pa.Table, places: list[int], messages: list[Any], name: str, first: int, rejects: pa.Table | None
) -> Batch:
    there = [messages[place] for place in places]
    columns = {
        ID: pa.array([message.message_id for message in there], TEXT),
        PUBLISHED: pa.array([message.publish_time.ToDatetime(tzinfo=UTC) for message in there], _INSTANT),
        KEY: pa.array([message.ordering_key for message in there], TEXT),
    }
    attributes = [dict(message.attributes) for message in there]
    for key in dict.fromkeys(key for each in attributes for key in each):
        columns[ATTRIBUTES + key] = pa.array([each.get(key) for each in attributes], TEXT)
    said = {each: body[each] for each in body.column_names if each not in columns}
    lines = pa.array([first + place for place in places], pa.int64())
    return Batch(with_origin(pa.table({**said, **columns}), name, lines), rejects)


def _rejects(wrong: list[tuple[int, str]], messages: list[Any], name: str, first: int) -> pa.Table:
    rows = [
        {
            "source_file": name,
            "source_line": first + place,
            "column": "",
            "reason": reason,
            "raw": _whole(messages[place]),
        }
        for place, reason in wrong
    ]
    return pa.Table.from_pylist(rows, schema=rejects_schema())


def _whole(message: Any) -> str:
    """A message as JSON, with all that there is to publish it again."""
    data = bytes(message.data)
    try:
        body = {"data": data.decode()}
    except UnicodeDecodeError:
        body = {"data_base64": base64.b64encode(data).decode()}
    attributes = {ATTRIBUTES + key: value for key, value in message.attributes.items()}
    published = message.publish_time.ToDatetime(tzinfo=UTC).isoformat()
    document = {ID: message.message_id, PUBLISHED: published, KEY: message.ordering_key, **attributes, **body}
    return json.dumps(document, ensure_ascii=False)


def _avro(message: Any, schema: Any) -> dict[str, str | None]:
    """One body as flat text columns. Raises whatever its decoder raises, `ValueError` for bytes left over."""
    import fastavro

    data = bytes(message.data)
    # how Pub/Sub marks a message that it has checked against the schema of its topic
    if message.attributes.get("googclient_schemaencoding") == "JSON":
        (value,) = fastavro.json_reader(io.StringIO(data.decode()), schema)
    else:
        stream = io.BytesIO(data)
        value = fastavro.schemaless_reader(stream, schema, None)
        if stream.tell() != len(data):
            raise ValueError("bytes left over")
    if not isinstance(value, dict):
        raise ValueError("not a record")
    return json_lines.flat(_plain(value))


def _plain(value: Any) -> Any:
    """Text for every value that has to keep all its digits."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, datetime | date | clock):
        return value.isoformat()
    if isinstance(value, Decimal):
        return f"{value:f}"
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)
