"""The sections of `recon.yaml` about expectations: a suite of one's own, and what is changed in ours."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from jobs.config_values import File, Strict, listed, wrong


class Change(Strict):
    """One change: the expectations that are meant, and the arguments that they get instead.

    `where` tells an expectation from others of its type; `drop` leaves it out.
    """

    expectation: str
    where: dict[str, Any] = Field(default={})
    set: dict[str, Any] = Field(default={})
    drop: bool = False

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.drop == bool(self.set):
            raise wrong("needs either set, such as {max_value: 72, severity: warning}, or drop: true")
        return self


class Expectations(Strict):
    """What a dataset must meet: our suite and one of the user's, or only theirs (`extend: false`)."""

    suite: File | None = None
    extend: bool = True
    parameters: dict[str, Any] = Field(default={})
    change: Annotated[tuple[Change, ...], BeforeValidator(listed)] = ()

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.extend and self.suite is None:
            raise wrong("extend: false needs a suite")
        return self
