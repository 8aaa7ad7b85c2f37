"""Who may import whom (docs/design.md), and what a registry, its files and its documents say of each other."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("cli", "jobs", "reports", "pipelines", "expectations", "reconcilers", "examples")

#: Package → what it may import of ours; what lies further down is allowed too.
MAY_IMPORT = {
    "cli": {"jobs", "reports", "pipelines", "expectations", "reconcilers", "examples"},
    "jobs": {"pipelines", "expectations", "reports", "reconcilers", "examples"},
    "reports": {"expectations", "reconcilers"},
    "pipelines": {"expectations", "reconcilers"},
    "pipelines.connectors": {"reconcilers", "pipelines"},
    "expectations": {"reconcilers"},
    "reconcilers": set(),
    "examples": set(),
}

MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path):
    parts = path.relative_to(ROOT).parts
    package = ".".join(parts[:2]) if parts[:2] == ("pipelines", "connectors") else parts[0]
    for name in imported(path):
        top = name.split(".")[0]
        if top in PACKAGES and top != parts[0]:
            assert top in MAY_IMPORT[package], f"{package} must not import {name}"
        if top == "apache_beam":
            assert parts[0] in ("pipelines", "jobs"), "Beam lives in pipelines/ and jobs/"
        if package == "pipelines.connectors" and top == "pipelines":
            assert name.startswith(("pipelines.connectors", "pipelines.filesystem")) or name == "pipelines", name


def test_there_is_something_to_check():
    assert len(MODULES) > 30


HEAVY = ("apache_beam", "great_expectations", "pandas", "duckdb", "pyarrow", "jinja2")


@pytest.mark.parametrize("arguments", [["--help"], ["diff", "--help"], ["no-such-command"]])
def test_help_imports_nothing_heavy(arguments):
    code = (
        "import sys; sys.argv = ['recon', *sys.argv[1:]]\n"
        "from cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"


def test_workers_never_import_great_expectations():
    code = (
        "import sys, pipelines.capture, pipelines.reconcile, pipelines.validate, pipelines.connectors.files\n"
        "assert 'great_expectations' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_connector_is_registered():
    from pipelines.connectors import REGISTRY, module

    modules = (ROOT / "pipelines" / "connectors").glob("*.py")
    files = {path.stem for path in modules if "\nSUMMARY = " in path.read_text(encoding="utf-8")}
    assert {name.rsplit(".", 1)[-1] for name in REGISTRY.values()} == files
    for name in REGISTRY:
        connector = module(name)
        assert connector.SUMMARY
        assert f"connector: {name}" in connector.EXAMPLE
        sink = getattr(connector, "SinkOptions", None)
        for model in (connector.Options, *([sink] if sink else [])):
            for key, field in model.model_fields.items():
                assert field.description, f"{name}.{key} says nothing about itself"
        documents = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md"))
        assert f"`{name}`" in documents, f"docs/ say nothing about the connector {name}"


def test_every_suite_is_registered():
    from expectations.suites import SUITES

    modules = (ROOT / "expectations").glob("*.py")
    files = {path.stem for path in modules if "\ndef suite() ->" in path.read_text(encoding="utf-8")}
    assert {name: f"expectations.{name}" for name in files} == SUITES
    documents = (ROOT / "docs" / "expectations.md").read_text(encoding="utf-8")
    for name in SUITES:
        assert f"`expectations/{name}.py`" in documents
