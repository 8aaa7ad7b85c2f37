"""The examples of docs/records.md and docs/python.md run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer.main

from cli.main import app

DOCS = Path(__file__).parent.parent / "docs"
DOCUMENT = (DOCS / "records.md").read_text(encoding="utf-8")
EXAMPLES = [
    (page, example)
    for page in ("records.md", "python.md")
    for example in re.findall(r"^```python\n(.*?)^```", (DOCS / page).read_text(encoding="utf-8"), re.M | re.S)
]


@pytest.mark.parametrize(("page", "example"), EXAMPLES)
def test_the_python_examples_are_true(page, example):
    exec(compile(example, page, "exec"), {})


def test_stock_balances_and_records_have_an_example():
    assert [page for page, _ in EXAMPLES] == ["records.md", "python.md", "python.md"]


def test_every_option_of_compare_is_documented():
    command = typer.main.get_command(app).commands["compare"]
    for parameter in command.params:
        if parameter.param_type_name == "option" and parameter.name not in ("verbose", "help"):
            assert f"`{parameter.opts[-1]}`" in DOCUMENT, parameter.opts
