"""Pairs in a configuration: the rules between a target and its authority, by the kind of what is compared."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    PlainValidator,
    ValidationInfo,
    field_validator,
    model_validator,
)

from jobs.config_expectations import Expectations
from jobs.config_orders import OrdersPair, Spelling
from jobs.config_records import RecordsPair
from jobs.config_values import (
    Duration,
    File,
    KindName,
    Quantity,
    Share,
    Strict,
    Texts,
    Whole,
    belongs,
    wrong,
    wrong_at,
)
from reconcilers.errors import ConfigError
from reconcilers.shares import Shares


class References(Spelling):
    """How references become canonical: for both sides, or for one of its own (`a`: the target)."""

    a: Spelling | None = None
    b: Spelling | None = None


class Tolerance(Strict):
    """Up to which unexplained difference a key is fine: in units, or as a share of the larger number."""

    absolute: Quantity = Decimal(0)
    relative: Share = Decimal(0)


class GoodsClass(Strict):
    """The rules of a class of goods; what is not given is as the pair says."""

    tolerance: Tolerance | None = None
    safety_stock: Quantity | None = None


class Channels(Strict):
    """How what can be promised is split over the channels of one authority."""

    weights: dict[str, Annotated[Whole, Field(ge=0)]]
    caps: dict[str, Annotated[Whole, Field(ge=0)]] = Field({})

    @model_validator(mode="after")
    def _splits(self) -> Self:
        try:
            Shares(self.weights, self.caps)
        except ConfigError as error:
            raise wrong(str(error).removeprefix("shares: ")) from error
        return self


class PairConfig(Strict):
    """The rules between the stock of a target and of its authority.

    `goods` is a table of SKUs with their class (sku, class), `classes` has the rules of each class.
    """

    kind: Literal["stock"] = "stock"
    locations: dict[str, Texts] = Field({})
    references: References = References()
    sla: dict[KindName, Duration] = Field({})
    tolerance: Tolerance = Tolerance()
    safety_stock: Quantity = Decimal(0)
    goods: File | None = None
    classes: dict[str, GoodsClass] = Field({})
    shares: Channels | None = None
    returns_sellable: bool = False
    debounce: Whole = Field(1, ge=1)
    high_value: Quantity | None = None
    expectations: dict[Literal["levels", "breaks", "corrections"], Expectations] = Field({})

    @model_validator(mode="after")
    def _both(self) -> Self:
        if bool(self.classes) != (self.goods is not None):
            raise wrong("goods (which SKU is of which class) and classes (the rules of each) need one another")
        return self

    @field_validator("locations")
    @classmethod
    def _pools(cls, locations: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        owner: dict[str, str] = {}
        refused = {place: "names no location of the authority" for place, pooled in locations.items() if not pooled}
        for place, pooled in locations.items():
            for each in pooled:
                if each in owner:
                    refused[place] = f"{each!r} is in two pools ({owner[each]!r} and {place!r})"
                owner[each] = place
        if refused:
            raise wrong_at(refused)
        return locations


class BalancePair(PairConfig):
    """The rules between two balances; with `publish` the target is told what it should show."""

    kind: Literal["balance"]  # type: ignore[assignment]
    sla: dict[str, Duration] = Field({})  # type: ignore[assignment]
    publish: bool = False
    locations: Annotated[dict[str, Any], belongs("stock")] = Field({})
    safety_stock: Annotated[Decimal, belongs("stock")] = Decimal(0)
    goods: Annotated[None, belongs("stock")] = None
    classes: Annotated[dict[str, Any], belongs("stock")] = Field({})
    shares: Annotated[None, belongs("stock")] = None
    returns_sellable: Annotated[bool, belongs("stock")] = False
    high_value: Annotated[None, belongs("stock")] = None


AnyPairConfig = PairConfig | RecordsPair | OrdersPair


def _by_kind(data: Any, info: ValidationInfo) -> AnyPairConfig:
    """A pair of its kind: stock, if it says nothing else."""
    kind = data.get("kind") if isinstance(data, dict) else None
    models: dict[Any, type[AnyPairConfig]] = {"records": RecordsPair, "orders": OrdersPair, "balance": BalancePair}
    return models.get(kind, PairConfig).model_validate(data, context=info.context)


AnyPair = Annotated[AnyPairConfig, PlainValidator(_by_kind)]
