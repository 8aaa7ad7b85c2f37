"""The table of worked cases: two numbers, the events around them, and the verdict that is right."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reconcilers import profiles
from reconcilers.cases import read_cases, run_case
from reconcilers.errors import ConfigError

CASES = [
    pytest.param(case, id=f"{path.stem}-{case['id']}")
    for path in sorted((Path(__file__).parent / "cases").glob("*.jsonl"))
    for case in read_cases(path)
]


@pytest.mark.parametrize("case", CASES)
def test_the_verdict_is_right(case):
    outcome = run_case(case, profiles.load)
    assert not outcome.differences, outcome.title


def test_no_case_is_there_twice():
    ids = [param.id for param in CASES]
    assert len(ids) == len(set(ids)) > 20


GOOD = {
    "id": "x",
    "title": "t",
    "a": {"system": "storefront", "basis": "available", "quantity": "1", "as_of": "2026-11-20T00:00:00Z"},
    "b": {"system": "erp", "basis": "on_hand", "quantity": "1", "as_of": "2026-11-20T00:00:00Z"},
    "events": [],
    "expect": {"class": "MATCHED"},
}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"a": {**GOOD["a"], "quantity": "many"}}, "case x"),
        ({"a": {**GOOD["a"], "as_of": "2026-11-20T00:00:00"}}, "has no time zone"),
        ({"a": {**GOOD["a"], "basis": "nothing"}}, "unknown profile 'storefront.nothing'"),
        ({"events": [{"kind": "SOLD", "ref": "1", "quantity": "1", "posted": {"a": "2026-11-20T00:00:00Z"}}]}, "SOLD"),
        ({"sla": {"PLACE": "tomorrow"}}, "not an ISO 8601 duration"),
        ({"expect": {"klass": "MATCHED"}}, "nothing called 'klass'"),
    ],
)
def test_a_case_that_makes_no_sense_says_so(change, words):
    with pytest.raises(ConfigError, match=words):
        run_case({**GOOD, **change}, profiles.load)


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "no case in it"), ("{", ":1: not JSON"), ("[]", ":1: a case is an object"), ('{"id": "x"}', "has no 'a'")],
)
def test_a_file_that_is_no_table(tmp_path, text, words):
    path = tmp_path / "cases.jsonl"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        read_cases(path)


def test_a_wrong_expectation_is_shown(tmp_path):
    path = tmp_path / "cases.jsonl"
    path.write_text(json.dumps({**GOOD, "expect": {"class": "BREAK", "unexplained": "2"}}) + "\n")
    (case,) = read_cases(path)
    assert run_case(case, profiles.load).differences == {"unexplained": ("2", "0.0000"), "class": ("BREAK", "MATCHED")}
