"""A run is held to its expectations, and what it found is written for people and machines."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pandas as pd
import pytest

from jobs import commands
from jobs.ad_hoc import validate_file
from jobs.init import init
from jobs.run import silent
from jobs.suggest import suggest
from reconcilers.errors import ConfigError, ExpectationsFailed


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A run with a changed suite, and a second one that a critical expectation stops."""
    base = tmp_path_factory.mktemp("shop")
    path = init(base)[0]
    text = path.read_text(encoding="utf-8")
    mine = {
        "name": "mine",
        "expectations": [
            {
                "type": "expect_column_values_to_be_between",
                "kwargs": {"column": "quantity", "max_value": {"$PARAMETER": "most"}},
                "severity": "warning",
                "description": "no more than fits on the shelf",
            }
        ],
    }
    (base / "mine.json").write_text(json.dumps(mine))
    configured = re.sub(
        r"(  erp:\n(?:.*\n)*?    stock:\n)",
        r"\1      expectations: {suite: mine.json, parameters: {most: 30}}\n",
        text,
        count=1,
    )
    assert configured != text
    path.write_text(configured, encoding="utf-8")
    outcome = commands.run_job(path, "nightly", silent)
    export = next((base / "exports").glob("*erp*stock*"), None) or next((base / "exports").glob("erp*"))
    lines = export.read_text(encoding="utf-8").splitlines()
    export.write_text("\n".join([*lines, lines[1], lines[2]]) + "\n", encoding="utf-8")
    with pytest.raises(ExpectationsFailed) as stopped:
        commands.run_job(path, "nightly", silent)
    return path, outcome, str(stopped.value), export.name, lines


def test_a_warning_of_ones_own_suite_is_told_and_the_run_goes_on(ran):
    _, outcome, *_ = ran
    (erp,) = [each for each in outcome.summary["validation"] if (each["system"], each["dataset"]) == ("erp", "stock")]
    assert any("no more than fits on the shelf" in message for message in erp["messages"])
    assert erp["critical"] == []
    assert {each["dataset"] for each in outcome.summary["validation"]} >= {"levels", "breaks", "corrections"}


def test_a_critical_failure_stops_the_run_and_names_expectation_count_and_keys(ran):
    _, _, stopped, _, lines = ran
    assert stopped.startswith("erp/stock: not met: no SKU is twice at one location: 4 of ")
    keys = [" at ".join(line.split(";")[:2]) for line in lines[1:3]]
    assert f"rows, e.g. {', '.join(keys)} (1 critical;" in stopped


def test_everything_that_is_written_about_it(ran):
    path, _, _, export, _ = ran
    workspace = path.parent / ".recon"
    runs = sorted((workspace / "runs").iterdir())
    stopped = runs[-1] / "validation"
    failing = pd.read_parquet(stopped / "erp.stock" / "unexpected.parquet")
    twice = failing[failing.expectation == "expect_compound_columns_to_be_unique"]
    assert len(twice) == 4
    assert {Path(file).name for file in twice.source_file} == {export}
    assert twice.source_line.is_unique
    table = pd.read_parquet(workspace / "dq_results")
    assert list(table[table.kind == "run"].sort_values("run_id").failed_critical) == [0, 1]
    assert len(table[table.kind == "expectation"]) == table[table.kind == "run"].expectations.sum()
    junit = ET.parse(stopped / "junit.xml").getroot()
    failures = [case.get("name") for case in junit.iter("testcase") if case.find("failure") is not None]
    assert failures == ["no SKU is twice at one location"]
    page = (stopped / "erp.stock.html").read_text(encoding="utf-8")
    index = (stopped / "index.html").read_text(encoding="utf-8")
    for text in (page, index):
        assert re.findall(r"""(?:src|href)=["']?(?:https?:)?//|@import|url\(""", text) == []
    assert f"../../{runs[0].name}/validation/erp.stock.html" in index
    assert (stopped / f"../../{runs[0].name}/validation/erp.stock.html").resolve().is_file()
    assert 'href="validation/index.html"' in (runs[-1] / "report.html").read_text(encoding="utf-8")
    assert not (stopped / "work").exists()


def test_a_suite_that_does_not_fit_is_told_before_anything_is_captured(tmp_path):
    path = init(tmp_path)[0]
    rule = {"type": "expect_column_max_to_be_between", "kwargs": {"column": "colour", "max_value": 1}}
    (tmp_path / "mine.json").write_text(json.dumps({"name": "mine", "expectations": [rule]}))
    text = path.read_text(encoding="utf-8")
    path.write_text(
        re.sub(r"(    stock:\n)", r"\1      expectations: {suite: mine.json, extend: false}\n", text), encoding="utf-8"
    )
    with pytest.raises(ConfigError) as told:
        commands.run_job(path, "nightly", silent)
    assert len(told.value.problems) == 2
    assert told.value.problems[0].startswith("systems.storefront.stock: suite 'mine': expect_column_max_to_be_between")
    assert not (tmp_path / ".recon" / "snapshots").exists()


def test_a_suggested_suite_is_written_once(ran, tmp_path):
    path, *_ = ran
    found = suggest(path, "erp", "stock", 1, tmp_path / "suite.json")
    assert found.snapshots == 1
    assert json.loads((tmp_path / "suite.json").read_text())["expectations"] == found.document["expectations"]
    with pytest.raises(ConfigError, match="is never overwritten"):
        suggest(path, "erp", "stock", 1, tmp_path / "suite.json")


def test_a_file_that_somebody_has(tmp_path):
    rule = {"type": "expect_column_values_to_be_unique", "kwargs": {"column": "code"}, "severity": "critical"}
    (tmp_path / "mine.json").write_text(json.dumps({"name": "mine", "expectations": [rule]}))
    (tmp_path / "codes.csv").write_text("code\n1\n2\n1\n")
    outcome = validate_file([str(tmp_path / "codes.csv")], tmp_path / "mine.json", tmp_path / "out")
    assert outcome.results[0]["critical"] == [
        "file/codes.csv: not met: expect_column_values_to_be_unique of code: 2 of 3 rows, "
        "e.g. codes.csv:2: 1, codes.csv:4: 1"
    ]
    rows = pd.read_parquet(tmp_path / "out" / "file.codes.csv" / "unexpected.parquet")
    assert list(rows.source_line) == [2, 4]
    assert list(rows.found) == ["1", "1"]
