"""Words for every class and reason, none missing and none left over."""

from __future__ import annotations

import pytest

from reconcilers.schemas import Class, Reason
from reports import words


def test_every_class_and_reason_has_words_and_nothing_else_has() -> None:
    assert set(words.CLASSES) == set(Class)
    assert set(words.REASONS) == set(Reason)


@pytest.mark.parametrize("member", [*words.CLASSES.items(), *words.REASONS.items()], ids=lambda item: str(item[0]))
def test_words_are_plain(member: tuple[str, words.Words]) -> None:
    code, said = member
    assert said.short
    assert said.counted
    assert said.advice.endswith(".")
    assert said.advice[0].isupper()
    assert "_" not in said.short + said.counted + said.advice
    assert code not in said.short + said.counted + said.advice


def test_names_of_reasons_differ() -> None:
    shorts = [said.short for said in words.REASONS.values()]
    assert len(set(shorts)) == len(shorts)


def test_a_reason_says_more_than_its_class() -> None:
    assert words.name("LATE", "ORDER_NOT_IMPORTED") == "order never imported"
    assert words.name("MISSING_IN_A", None) == "missing in the target"


def test_what_is_on_its_way_for_too_long_is_overdue() -> None:
    assert words.name("LATE", "RETURN_IN_TRANSIT") == "return on its way (overdue)"
    assert words.name("IN_FLIGHT", "RETURN_IN_TRANSIT") == "return on its way"
    assert "overdue" not in words.name("LATE", "ORDER_NOT_IMPORTED")
