"""The examples of docs/records.md and docs/orders.md run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer.main

from cli.main import app
from jobs import config
from reconcilers.order_rows import ROLES

DOCS = Path(__file__).parent.parent / "docs"
DOCUMENT = (DOCS / "records.md").read_text(encoding="utf-8")
ORDERS = (DOCS / "orders.md").read_text(encoding="utf-8")


def blocks(language, text):
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("example", blocks("python", DOCUMENT) + blocks("python", ORDERS))
def test_the_python_examples_are_true(example):
    exec(compile(example, "docs", "exec"), {})


def test_the_configuration_of_orders_holds_together(tmp_path):
    (example,) = blocks("yaml", ORDERS)
    (tmp_path / "articles.csv").write_text("raw,sku\n")
    (tmp_path / "recon.yaml").write_text(example)
    assert config.load(tmp_path / "recon.yaml").pair("shop.web~erp.web").kind == "orders"


def test_every_column_of_orders_is_documented():
    for name in ROLES:
        assert f"`{name}`" in ORDERS, name


def test_every_option_of_compare_is_documented():
    command = typer.main.get_command(app).commands["compare"]
    for parameter in command.params:
        if parameter.param_type_name == "option" and parameter.name not in ("verbose", "help"):
            assert f"`{parameter.opts[-1]}`" in DOCUMENT, parameter.opts
