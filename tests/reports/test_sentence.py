"""The verdict in a sentence: what a shop manager reads first."""

from __future__ import annotations

from typing import Any

import pytest
from handmade import PAIR, amounts, breaks_of, corrections_of, in_flight_of, pair_of, snapshot_of, summary_of

from reports import model
from reports.records import Report


def built(*pairs: dict[str, Any], validation: list[dict[str, Any]] | None = None) -> Report:
    summary = summary_of({f"{PAIR}{n or ''}": pair for n, pair in enumerate(pairs)}, [snapshot_of("erp", "stock")])
    return model.build(summary, breaks_of(), corrections_of(), in_flight_of(), validation or [])


def failed(system: str, dataset: str, critical: int) -> dict[str, Any]:
    messages = [f"message {n}" for n in range(critical)]
    return {
        "system": system,
        "dataset": dataset,
        "success": not critical,
        "evaluated": 9,
        "failed": critical,
        "critical": messages,
        "messages": messages,
    }


def test_it_counts_what_needs_somebody_and_why(report: Report) -> None:
    assert report.status == "attention"
    assert report.verdict == (
        "6 of 1,204 stock numbers need somebody: 3 with an order that never reached the other system, "
        "1 that nothing explains, 1 with an order cancelled after it had shipped, 1 with an order imported twice, "
        "worth at least 1,240.50 in all; 85 differ only by orders and movements on their way; "
        "1 could not be judged: 1 that only the target knows; everything else agrees."
    )


def test_everything_agrees() -> None:
    report = built(pair_of({"MATCHED": amounts(12)}))
    assert report.status == "good"
    assert report.verdict == "None of 12 stock numbers needs anybody; everything agrees."


def test_one_of_each_is_grammatical() -> None:
    classes = {"MATCHED": amounts(1), "IN_FLIGHT": amounts(1, "2"), "BREAK": amounts(1, "2", "5")}
    report = built(pair_of(classes, {"BREAK": {"UNEXPLAINED": amounts(1)}}, price_known=1))
    assert report.verdict == (
        "1 of 3 stock numbers needs somebody: 1 that nothing explains, worth 5.00 in all; "
        "1 differs only by orders and movements on their way; everything else agrees."
    )


def test_pairs_add_up_and_no_prices_means_no_worth() -> None:
    late = pair_of({"LATE": amounts(2)}, {"LATE": {"ORDER_NOT_IMPORTED": amounts(2)}}, price_known=0)
    more = pair_of(
        {"LATE": amounts(2)}, {"LATE": {"ORDER_NOT_IMPORTED": amounts(1), "RETURN_IN_QC": amounts(1)}}, price_known=0
    )
    assert built(late, more).verdict == (
        "4 of 4 stock numbers need somebody: 3 with an order that never reached the other system, "
        "1 with a return being inspected (overdue)."
    )


def test_rare_reasons_are_summed_up() -> None:
    reasons = ["ORDER_NOT_IMPORTED", "SHIP_NOT_POSTED", "POS_SALE_NOT_POSTED", "ADJUSTMENT_NOT_PROPAGATED"]
    rare = ["RETURN_IN_QC", "CART_HOLD", "RECEIPT_NOT_POSTED"]
    found = {reason: amounts(2) for reason in reasons} | {reason: amounts(1) for reason in rare}
    verdict = built(pair_of({"LATE": amounts(11)}, {"LATE": found})).verdict
    assert verdict.startswith("11 of 11 stock numbers need somebody: 2 with ")
    assert verdict.endswith(", 2 for other reasons.")


@pytest.mark.parametrize(
    ("class_name", "why"),
    [
        ("EVENTS_INCOMPLETE", "for which an event feed ends too early"),
        ("MISSING_IN_A", "that only the authority knows"),
        ("MISSING_IN_B", "that only the target knows"),
        ("AMBIGUOUS", "read while they moved"),
        ("UNKNOWN", "without any number"),
    ],
)
def test_what_could_not_be_judged_is_never_called_fine(class_name: str, why: str) -> None:
    nothing = built(pair_of({class_name: amounts(7)}))
    assert nothing.status == "unjudged"
    assert nothing.verdict == f"None of 7 stock numbers could be judged: 7 {why}."
    some = built(pair_of({"MATCHED": amounts(5), class_name: amounts(7)}))
    assert some.status == "unjudged"
    assert some.verdict == (
        f"None of 5 stock numbers that could be judged needs anybody; 7 could not be judged: 7 {why}; "
        "everything else agrees."
    )


def test_a_critical_failure_leaves_no_conclusion(refused: Report) -> None:
    assert refused.status == "refused"
    assert refused.verdict == "Nothing can be concluded: storefront/stock failed 1 critical expectation."
    two = built(validation=[failed("erp", "stock", 2), failed("erp", "events", 1), failed("pos", "stock", 0)])
    assert two.verdict == (
        "Nothing can be concluded: erp/stock failed 2 critical expectations, erp/events failed 1 critical expectation."
    )


def test_an_empty_run_says_so(empty: Report) -> None:
    assert empty.status == "unjudged"
    assert empty.verdict == "Nothing was compared: there are no stock numbers."
    assert built().verdict == empty.verdict
