"""What must hold for the verdicts of a run before anything is published from them."""

from __future__ import annotations

import great_expectations as gx
import great_expectations.expectations as gxe

from expectations.domain import ExpectShareInEveryGroupToBeAtMost
from reconcilers.schemas import Class, Reason


def suite() -> gx.ExpectationSuite:
    """Every key is judged once, by known words; not too much is unexplained, overall or at one place."""
    return gx.ExpectationSuite("levels", expectations=[*_verdicts(), *_shares()])


def _verdicts() -> list[gxe.Expectation]:
    """What each verdict must be."""
    return [
        *(
            gxe.ExpectColumnValuesToNotBeNull(
                column=column,
                severity="critical",
                description=f"every verdict has a {column}",
                meta={"reason": "a verdict on nothing is a fault of recon"},
            )
            for column in ("pair", "sku", "location", "class")
        ),
        gxe.ExpectCompoundColumnsToBeUnique(
            column_list=["pair", "sku", "location"],
            severity="critical",
            description="no key is judged twice",
            meta={"reason": "which of the two verdicts is right?"},
        ),
        gxe.ExpectColumnValuesToBeInSet(
            column="class",
            value_set=[str(each) for each in Class],
            severity="critical",
            description="every class is known",
            meta={"reason": "nobody would act on a class that has no meaning"},
        ),
        gxe.ExpectColumnValuesToBeInSet(
            column="reason",
            value_set=[str(each) for each in Reason],
            severity="critical",
            description="every reason is known",
            meta={"reason": "nobody would act on a reason that has no meaning"},
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="publish",
            min_value=0,
            severity="critical",
            description="nothing below zero is published",
            meta={"reason": "no channel takes a negative number, and some take it for unlimited stock"},
        ),
    ]


def _shares() -> list[gxe.Expectation]:
    """How much may be unexplained, overall and at one place."""
    return [
        gxe.ExpectColumnValuesToNotBeInSet(
            column="class",
            value_set=[str(Class.BREAK)],
            mostly=0.8,
            severity="warning",
            description="at most a fifth of the keys is unexplained",
            meta={"reason": "a profile, a time zone or a mapping is wrong sooner than a fifth of the stock"},
        ),
        ExpectShareInEveryGroupToBeAtMost(
            column_list=["location", "class"],
            value_set=[str(Class.BREAK)],
            max_value=0.5,
            severity="warning",
            description="no single location is unexplained for the most part",
            meta={"reason": "NODE_MAPPING: such a location is mapped to the wrong one, or its feed is missing"},
        ),
    ]
