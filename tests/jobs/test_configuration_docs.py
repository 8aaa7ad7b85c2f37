"""Every key of the configuration is in docs/configuration.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs import (
    config,
    config_balance,
    config_deploy,
    config_observe,
    config_orders,
    config_pair,
    config_publish,
    config_records,
    config_schedule,
    config_system,
)

TEXT = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "model",
    [
        config.Config,
        config_system.System,
        config_system.Stock,
        config_system.Events,
        config_pair.PairConfig,
        config_pair.BalancePair,
        config_balance.Balance,
        config_balance.Figure,
        config_balance.Postings,
        config.Job,
        config_deploy.Deploy,
        config_publish.SinkConfig,
        config_publish.PublishGates,
        config_publish.Approval,
        config_publish.Publish,
        config_orders.OrderLines,
        config_orders.OrdersPair,
        config_records.Records,
        config_records.RecordsPair,
        config_records.FieldRule,
        config_records.Conditions,
        config_schedule.Schedule,
        config_observe.Observe,
        config_observe.Retention,
    ],
    ids=str,
)
def test_every_key_is_documented(model):
    for name, field in model.model_fields.items():
        if name != "options":
            assert f"`{field.alias or name}`" in TEXT, f"{model.__name__}.{name}"
