"""Where a dataset of a configuration comes from: a connector, and the connector's own keys."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ValidationInfo, field_validator

from jobs.config_text import did_you_mean, hint
from jobs.config_values import Strict, unknown, wrong
from pipelines import connectors


class Sourced(Strict):
    """A dataset; `options` are the keys of its connector, checked against its own model."""

    rest = "options"

    connector: str
    options: dict[str, Any]

    @field_validator("connector")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in connectors.REGISTRY:
            raise wrong(f"unknown connector {name!r}{hint(name, sorted(connectors.REGISTRY))}")
        return name

    @field_validator("options")
    @classmethod
    def _options(cls, options: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        """What the connector itself thinks of its keys."""
        if "connector" not in info.data:
            misspelt = [key for key in options if did_you_mean(key, ["connector"])]
            if misspelt:
                raise unknown(misspelt)
            return {}
        model = connectors.module(info.data["connector"]).Options
        given = {key: value for key, value in options.items() if value is not None or key not in model.model_fields}
        model(**given)
        return given

    @classmethod
    def rest_model(cls, data: Any) -> type[BaseModel] | None:
        """The options of the dataset's connector."""
        name = data.get("connector")
        known = isinstance(name, str) and name in connectors.REGISTRY
        return connectors.module(name).Options if known else None
