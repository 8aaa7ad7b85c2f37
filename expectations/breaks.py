"""What must hold for the breaks of a run; how much money may be at risk is for the user to say."""

from __future__ import annotations

import great_expectations as gx
import great_expectations.expectations as gxe

from reconcilers.schemas import Class


def suite() -> gx.ExpectationSuite:
    """Every break has an identity of its own, and nothing that agrees is among them."""
    return gx.ExpectationSuite(
        "breaks",
        expectations=[
            gxe.ExpectColumnValuesToBeUnique(
                column="break_id",
                severity="critical",
                description="every break has an identity of its own",
                meta={"reason": "its age and its corrections are kept by it"},
            ),
            gxe.ExpectColumnValuesToNotBeInSet(
                column="class",
                value_set=[str(Class.MATCHED)],
                severity="critical",
                description="nothing that agrees is among the breaks",
                meta={"reason": "it would be corrected"},
            ),
            gxe.ExpectColumnValuesToBeBetween(
                column="value",
                min_value=0,
                severity="critical",
                description="no amount at risk is below zero",
                meta={"reason": "amounts at risk are added up"},
            ),
        ],
    )
