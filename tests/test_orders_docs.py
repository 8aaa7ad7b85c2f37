"""docs/orders.md against the code: its examples run, and every column and key is documented."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from jobs import config, config_orders
from reconcilers.order_rows import ROLES, STATUSES

DOCS = Path(__file__).parent.parent / "docs"
ORDERS = (DOCS / "orders.md").read_text(encoding="utf-8")
CONFIGURATION = (DOCS / "configuration.md").read_text(encoding="utf-8")


def block(language):
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", ORDERS, re.MULTILINE | re.DOTALL)
    return found


def test_the_python_example_is_true():
    exec(compile(block("python"), "docs/orders.md", "exec"), {})


def test_the_configuration_holds_together(tmp_path):
    (tmp_path / "articles.csv").write_text("raw,sku\n")
    (tmp_path / "recon.yaml").write_text(block("yaml"))
    assert config.load(tmp_path / "recon.yaml").pair("shop.web~erp.web").kind == "orders"


def test_every_column_and_state_is_documented():
    for name in (*ROLES, *STATUSES):
        assert f"`{name}`" in ORDERS, name


@pytest.mark.parametrize("model", [config_orders.OrderLines, config_orders.OrderRule, config_orders.OrdersPair])
def test_every_key_is_documented(model):
    for name in model.model_fields:
        if name != "options":
            assert f"`{name}`" in CONFIGURATION, name
