"""`jobs.<job>.pause`: what stands still while the job captures."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pydantic import BaseModel, Field, ValidationInfo, field_validator

from jobs import pauses
from jobs.config_text import hint
from jobs.config_values import Duration, Strict, own_options, wrong


class PauseHook(Strict):
    """One consumer to pause. `options` are the keys of its kind, checked against that kind's own model."""

    rest = "options"
    kind: str
    maximum: Duration = Field(timedelta(hours=1), gt=timedelta(0))
    options: dict[str, Any]

    @field_validator("kind")
    @classmethod
    def _known(cls, kind: str) -> str:
        if kind not in pauses.REGISTRY:
            raise wrong(f"unknown kind {kind!r}{hint(kind, sorted(pauses.REGISTRY))}")
        return kind

    @field_validator("options")
    @classmethod
    def _options(cls, options: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        """What the kind itself thinks of its keys."""
        return own_options(options, info, "kind", lambda kind: pauses.module(kind).Options)

    @classmethod
    def rest_model(cls, data: Any) -> type[BaseModel] | None:
        """The options of the hook's kind."""
        kind = data.get("kind")
        known = isinstance(kind, str) and kind in pauses.REGISTRY
        return pauses.module(kind).Options if known else None
