"""The sections of `recon.yaml` about publishing: where a target takes corrections, and when it may get any."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, ValidationInfo, field_validator

from jobs.config_text import hint
from jobs.config_values import Duration, Name, Quantity, Share, Strict, Whole, listed, own_options, wrong
from pipelines import connectors
from reconcilers import approvals, gates
from reconcilers.schemas import Class, Reason


def _offers_sink(name: str) -> str:
    if name not in connectors.REGISTRY:
        raise wrong(f"unknown connector {name!r}{hint(name, sorted(connectors.REGISTRY))}")
    if not hasattr(connectors.module(name), "SinkOptions"):
        raise wrong(f"connector {name!r} only reads")
    return name


def _reason(name: str) -> str:
    if name not in Reason.__members__:
        raise wrong(f"unknown reason {name!r}{hint(name, list(Reason))}")
    return name


def _class(name: str) -> str:
    if name not in ("BREAK", "CONFLICT", "LATE"):
        raise wrong(f"{name!r} is never corrected{hint(name, [Class.BREAK, Class.CONFLICT, Class.LATE])}")
    return name


ReasonName = Annotated[str, BeforeValidator(_reason)]
ClassName = Annotated[str, BeforeValidator(_class)]


class SinkConfig(Strict):
    """Where a system takes corrections; `options` are the keys of the connector's sink.

    `reasons` has the target's word for a reason of ours; a reason that is not there is sent as it is.
    """

    rest = "options"
    connector: Annotated[str, BeforeValidator(_offers_sink)]
    reasons: dict[ReasonName, str] = Field({})
    options: dict[str, Any]

    @field_validator("options")
    @classmethod
    def _checked(cls, options: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        """What the sink itself thinks of its keys."""
        return own_options(options, info, "connector", lambda name: connectors.module(name).SinkOptions)

    @classmethod
    def rest_model(cls, data: Any) -> type[BaseModel] | None:
        """The options of the sink's connector."""
        name = data.get("connector")
        known = isinstance(name, str) and name in connectors.REGISTRY
        return getattr(connectors.module(name), "SinkOptions", None) if known else None


class PublishGates(Strict):
    """Up to where corrections may go out; the values as they stand are those of a careful beginning."""

    row_count: Share | None = Decimal("0.3")
    to_zero: Share | None = Decimal("0.05")
    unmapped: Share | None = Decimal("0.05")
    corrections: Annotated[Whole, Field(ge=0)] | None = None
    units: Quantity | None = None
    value: Quantity | None = None
    largest: Quantity | None = None
    age: Duration | None = timedelta(days=1)
    feed_age: Duration | None = timedelta(days=1)
    expectations: Annotated[Whole, Field(ge=0)] = 0

    def bounds(self) -> gates.Bounds:
        """The same for the gates themselves."""
        return gates.Bounds(**{name: getattr(self, name) for name in asdict(gates.Bounds())})


class Approval(Strict):
    """Which corrections wait for somebody, and whether that is somebody else."""

    policy: Name = "default"
    units: Quantity | None = None
    value: Quantity | None = None
    reasons: Annotated[tuple[ReasonName, ...], BeforeValidator(listed)] = ()
    classes: Annotated[tuple[ClassName, ...], BeforeValidator(listed)] = ("CONFLICT",)
    four_eyes: bool = True

    def rules(self) -> approvals.Policy:
        """The same as the policy that is applied."""
        return approvals.Policy(self.units, self.value, self.reasons, self.classes, self.four_eyes, self.policy)


class Publish(Strict):
    """What a job may publish, and how fast.

    `rate` is corrections a second to one target, `concurrency` how many batches to it at once.
    """

    bounds: PublishGates = Field(default_factory=PublishGates, alias="gates")
    approval: Approval = Field(default_factory=Approval)
    rate: Annotated[Whole, Field(ge=1)] | None = None
    concurrency: Whole = Field(1, ge=1, le=64)
    expires: Duration = timedelta(days=1)

    @field_validator("expires")
    @classmethod
    def _some_time(cls, expires: timedelta) -> timedelta:
        if expires <= timedelta(0):
            raise wrong("is no time at all; nothing could be sent before it expires")
        return expires
