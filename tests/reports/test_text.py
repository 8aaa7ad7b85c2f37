"""The report for a terminal."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from handmade import PAIR, amounts, break_row, breaks_of, corrections_of, in_flight_of, pair_of, summary_of

from reports import html, model, text
from reports.records import Report


def test_the_verdict_is_worth_reading(report: Report) -> None:
    first, *blocks = text.verdict(report).split("\n\n")
    assert first == report.verdict
    assert blocks[0] == (
        "storefront~erp: 1,204 keys\n"
        "                  keys  units     value\n"
        "  agree          1,112      0      0.00\n"
        "  on their way      85    310  2,000.00\n"
        "  late               3     12    900.00\n"
        "  contradictory      1      2     40.50\n"
        "  unexplained        2   14.5    300.00\n"
        "  not judged         1      8      0.00"
    )
    faults = blocks[1].splitlines()
    assert faults[0].split()[:2] == ["sku", "location"]
    assert " ".join(faults[1].split()) == "85099B web 24.5 20 +4.5 critical order imported twice 536581"
    assert len(faults) == 1 + 6


def test_it_says_what_will_be_corrected_and_what_was_not_judged(report: Report) -> None:
    said = text.verdict(report)
    assert "\n  2 corrections proposed for storefront\n" in said
    assert "\n  1 not judged, missing in the authority: Only the target knows it" in said
    assert "; such as 99999 at web\n" in said
    assert "\n  4 order lines begin before the feed does: left out of the sums\n" in said


def test_it_tells_of_poor_data_and_of_tripped_gates_only(report: Report) -> None:
    said = text.verdict(report)
    assert "  erp/stock: quantity is below zero in 2 rows: 22113 at web: -4\n" in said
    assert "  erp/stock: 3 rows rejected: quantity is not a number\n" in said
    assert "  storefront~erp: breaks 6 is beyond 5" in said
    assert "units 28.5" not in said


def test_only_the_worst_faults_are_listed_and_the_rest_counted() -> None:
    whole = summary_of({PAIR: pair_of({"BREAK": amounts(1500)}, {"BREAK": {"UNEXPLAINED": amounts(1500)}})})
    breaks = breaks_of(*(break_row(f"SKU-{n:04}", "BREAK", "UNEXPLAINED") for n in range(1500)))
    said = text.verdict(model.build(whole, breaks, corrections_of(), in_flight_of(), []))
    assert said.count("SKU-") == text.FAULTS
    assert "… and 1,490 more, in the report" in said


def test_an_empty_run_and_a_refused_one(empty: Report, refused: Report) -> None:
    assert text.verdict(empty) == "Nothing was compared: there are no stock numbers.\n\nstorefront~erp: 0 keys"
    assert text.verdict(refused) == (
        "Nothing can be concluded: storefront/stock failed 1 critical expectation.\n\n"
        "data quality\n"
        "  storefront/stock: 400 rows where 1,204 were last time: the export is cut off"
    )


def test_a_table_is_aligned_with_numbers_to_the_right() -> None:
    rows: list[dict[str, Any]] = [
        {"run": "a", "keys": 1675, "share": 0.5, "units": Decimal("12.5000")},
        {"run": "later", "keys": 3, "share": None, "units": Decimal(-1200)},
    ]
    assert text.table(rows, ["run", "keys", "share", "units"]) == (
        "run     keys  share   units\na      1,675    0.5    12.5\nlater      3         -1,200"
    )


def test_wide_characters_take_two_columns() -> None:
    rows = [{"sku": "茶碗", "n": 1}, {"sku": "cup", "n": 22}]
    assert text.table(rows, ["sku", "n"]) == "sku    n\n茶碗   1\ncup   22"


def test_a_table_of_nothing_is_its_heading() -> None:
    assert text.table([], ["run_id", "keys"]) == "run_id  keys"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        (True, "yes"),
        (1234567, "1,234,567"),
        (Decimal("1234567.1230"), "1,234,567.123"),
        (Decimal("100.0000"), "100"),
        (Decimal("100"), "100"),
        (Decimal("0.0000"), "0"),
        (Decimal("-0.0"), "0"),
        (Decimal("0.000001"), "0.000001"),
        (1234567.0, "1,234,567"),
        (0.25, "0.25"),
        (datetime(2026, 11, 23, 2, 0, tzinfo=UTC), "2026-11-23 02:00:00 UTC"),
        ("as it is", "as it is"),
        ("two\nlines \x1b[31mred\u202e", "two\\nlines \\x1b[31mred\\u202e"),
    ],
)
def test_values_are_shown_for_people(value: Any, shown: str) -> None:
    assert text.plain(value) == shown


def test_a_difference_has_its_sign() -> None:
    assert [text.signed(Decimal(n)) for n in ("3", "-3", "0.0000")] == ["+3", "-3", "0"]


def test_a_share_is_never_rounded_to_all_or_nothing() -> None:
    assert [text.share(n, 10000) for n in (0, 1, 2500, 9999, 10000)] == [
        "0 %",
        "< 0.1 %",
        "25.0 %",
        "> 99.9 %",
        "100 %",
    ]
    assert text.share(0, 0) == "0 %"


def test_a_long_sku_does_not_push_the_numbers_off_the_screen() -> None:
    whole = summary_of({PAIR: pair_of({"BREAK": amounts(1)}, {"BREAK": {"UNEXPLAINED": amounts(1)}})})
    breaks = breaks_of(break_row("S" * 300, "BREAK", "UNEXPLAINED"))
    said = text.verdict(model.build(whole, breaks, corrections_of(), in_flight_of(), []))
    assert "S" * (text.LENGTH - 1) + "…" in said
    assert "S" * text.LENGTH not in said


def test_what_may_be_one_article_is_suggested(summary: Any, breaks: Any, corrections: Any, in_flight: Any) -> None:
    alias = {"sku_a": "0012", "sku_b": "12", "units": "17.0000", "locations": 1, "score": 0.9}
    summary["pairs"][PAIR]["aliases"] = [alias]
    report = model.build(summary, breaks, corrections, in_flight, [])
    assert "perhaps one article: storefront 0012, erp 12 (17 units each): an alias?" in text.verdict(report)
    assert "<code>0012</code> in storefront and <code>12</code> in erp, 17 units each" in html.render(report)
