"""What must hold for corrections before anybody is asked to approve them."""

from __future__ import annotations

import great_expectations as gx
import great_expectations.expectations as gxe


def suite() -> gx.ExpectationSuite:
    """Each says what, where, from which number and to which; none is there twice, none changes nothing."""
    return gx.ExpectationSuite(
        "corrections",
        expectations=[
            *(
                gxe.ExpectColumnValuesToNotBeNull(
                    column=column,
                    severity="critical",
                    description=f"every correction has a {column}",
                    meta={"reason": "it could not be sent, or not be undone"},
                )
                for column in ("correction_id", "target", "sku", "location", "value", "idempotency_key")
            ),
            gxe.ExpectColumnValuesToBeUnique(
                column="idempotency_key",
                severity="critical",
                description="no correction is there twice",
                meta={"reason": "a target would take the second one for a repetition of the first"},
            ),
            gxe.ExpectCompoundColumnsToBeUnique(
                column_list=["target", "sku", "location"],
                severity="critical",
                description="a number is corrected once",
                meta={"reason": "two corrections of one number undo one another"},
            ),
            gxe.ExpectColumnValuesToBeBetween(
                column="value",
                min_value=0,
                severity="critical",
                description="no correction to below zero",
                meta={"reason": "no channel takes a negative number, and some take it for unlimited stock"},
            ),
        ],
    )
