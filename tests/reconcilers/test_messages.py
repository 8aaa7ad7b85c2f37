"""The message is what its schemas say, and comes back as the correction that it was."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from decimal import Decimal

import fastavro
import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcilers.corrections import Correction, Mode
from reconcilers.messages import avro_schema, from_message, json_schema, to_json, to_message

QUANTITIES = st.decimals(-(10**13), 10**13, places=4, allow_nan=False)
INSTANTS = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))
WORDS = st.text(min_size=1, max_size=12)

TEXTS = [field["name"] for field in avro_schema()["fields"] if field["name"] not in (
    "schema", "mode", "value", "change_from", "delta", "created_at", "expires_at")]  # fmt: skip

corrections = st.builds(
    Correction,
    **dict.fromkeys(TEXTS, WORDS),
    mode=st.sampled_from(Mode),
    value=QUANTITIES,
    change_from=st.none() | QUANTITIES,
    delta=QUANTITIES,
    created_at=INSTANTS,
    expires_at=st.none() | INSTANTS,
)  # fmt: skip

VALIDATOR = jsonschema.Draft202012Validator(json_schema(), format_checker=jsonschema.FormatChecker())


@given(corrections)
def test_a_message_is_valid_and_comes_back_as_it_was(correction):
    message = json.loads(to_json(correction))
    VALIDATOR.validate(message)
    assert from_message(message) == correction


@given(corrections)
def test_avro_carries_the_same_message(correction):
    message = to_message(correction)
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, fastavro.parse_schema(avro_schema()), message)
    buffer.seek(0)
    assert fastavro.schemaless_reader(buffer, fastavro.parse_schema(avro_schema()), None) == message


def test_both_schemas_have_the_same_fields_in_the_same_order():
    names = [field["name"] for field in avro_schema()["fields"]]
    assert names == list(json_schema()["properties"]) == json_schema()["required"]


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("value", 12), ("value", "1e3"), ("value", "NaN"), ("mode", "add"), ("schema", "recon.correction/2"),
     ("created_at", None), ("sku", ""), ("extra", 1)],
)  # fmt: skip
def test_the_schema_refuses_what_is_no_message(name, wrong):
    correction = Correction("c", "r", "a~b", "a", "S", "L", "available", Mode.SET, Decimal(1), None, Decimal(1), "R",
                            "ref", "key", datetime(2026, 1, 1, tzinfo=UTC))  # fmt: skip
    assert VALIDATOR.is_valid(to_message(correction))
    assert not VALIDATOR.is_valid({**to_message(correction), name: wrong})
