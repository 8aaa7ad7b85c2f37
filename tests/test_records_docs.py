"""The examples of docs/records.md run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer.main

from cli.main import app

DOCUMENT = (Path(__file__).parent.parent / "docs" / "records.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("example", re.findall(r"^```python\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL))
def test_the_python_examples_are_true(example):
    exec(compile(example, "docs/records.md", "exec"), {})


def test_every_option_of_compare_is_documented():
    command = typer.main.get_command(app).commands["compare"]
    for parameter in command.params:
        if parameter.param_type_name == "option" and parameter.name not in ("verbose", "help"):
            assert f"`{parameter.opts[-1]}`" in DOCUMENT, parameter.opts
