"""Orders in a configuration: exports of order lines, and the rules by which two of them are compared."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator

from jobs.config_records import Conditions, FieldRule, Records
from jobs.config_values import Duration, File, Quantity, Strict, Texts, listed, wrong
from reconcilers.rules import Rule
from reconcilers.schemas import SCALE

if TYPE_CHECKING:
    import pyarrow as pa

    from reconcilers.order_rows import OrdersMapping

#: A raw column, or several: the first that is not blank.
Columns = str | Annotated[tuple[str, ...], Field(min_length=1)]


class Spelling(Strict):
    """How the references of one side become canonical.

    `xref` is a table of what the side says (raw) and what it stands for (ref); it wins over the rest.
    """

    xref: File | None = None
    strip_prefix: Texts = ()
    case: Literal["keep", "upper", "lower"] = "keep"


class OrderLines(Records):
    """An export with a row an order line, or a row an order: records whose key is the reference."""

    key: Annotated[tuple[str, ...], BeforeValidator(listed)] = ("ref",)
    columns: dict[str, Columns] = Field(min_length=1)  # type: ignore[assignment]
    references: Spelling = Spelling()
    statuses: dict[str, str] = Field({})
    tax_included: bool = False

    @field_validator("key")
    @classmethod
    def _always_the_reference(cls, key: tuple[str, ...]) -> tuple[str, ...]:
        if key != ("ref",):
            raise wrong("orders are known by their reference, the column ref")
        return key

    def mapping(
        self, timezone: str, scale: int = SCALE, aliases: pa.Table | None = None, xref: pa.Table | None = None
    ) -> OrdersMapping:
        """What its columns mean; `timezone` and `aliases` (raw, sku) are those of its system."""
        from reconcilers.order_rows import OrdersMapping
        from reconcilers.references import Normaliser

        time, number = self.writing(timezone)
        return OrdersMapping.of(
            self.columns,
            scale,
            self.types,
            time=time,
            number=number,
            references=Normaliser(self.references.strip_prefix, self.references.case),
            xref=xref,
            skus=aliases,
            statuses=self.statuses,
        )


class OrderRule(FieldRule):
    """How one column of orders is compared; `currencies` has the absolute tolerance in some of them."""

    currencies: dict[str, Quantity] = Field({})

    def rule(self) -> Rule:
        """The rule as the kernel has it."""
        rule = super().rule()
        return replace(rule, number=rule.number or bool(self.currencies), bounds=self.currencies)


class OrdersPair(Strict):
    """The rules between two exports of order lines."""

    kind: Literal["orders"]
    sla: Duration = timedelta(days=1)
    settle: Duration = timedelta(0)
    rules: dict[str, OrderRule] = Field({})
    ignore: Texts = ()
    where: Conditions = Conditions()
    high_value: Quantity | None = None
