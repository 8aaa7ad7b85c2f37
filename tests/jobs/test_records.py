"""Pairs of records in a run, from exports to outputs, summary, report and exit code."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs import commands
from jobs.config import load
from jobs.run import silent
from reconcilers.errors import ConfigError

CONFIG = """
now: 2030-01-01T00:00:00Z
buckets: {buckets}
systems:
  shop:
    records:
      prices:
        connector: files
        path: shop.csv
        delimiter: ";"
        as_of: {{from: value, value: "2029-12-31T00:00:00Z"}}
        key: [sku, place]
        columns: [sku, place, price, name]
        types: {{price: "decimal(18,2)"}}
  erp:
    records:
      prices:
        connector: files
        path: erp.csv
        as_of: {{from: value, value: "2029-12-31T00:00:00Z"}}
        key: [item, place]
        columns: {{item: item, place: place, net: net, name: name}}
        types: {{net: "decimal(18,4)"}}
pairs:
  shop.prices~erp.prices:
    kind: records
    map: {{price: net}}
    rules: {{name: {{case: ignore}}, price: {{tolerance: 0.01}}}}
jobs:
  nightly: {{pairs: [shop.prices~erp.prices], gates: {{breaks: {allowed}}}}}
"""


def exports(directory: Path, changed: int = 3, buckets: int = 4, allowed: int = 0) -> Path:
    """200 records a side; `changed` have another price, one is only in each side, one cannot be read."""
    rows = range(200)
    shop = [f"SKU-{n};P{n % 3};{n}.50;Name {n}\n" for n in rows] + ["ONLY-A;P0;1;x\n", "BAD;P0;one;x\n", ";;1;x\n"]
    erp = [f"SKU-{n},P{n % 3},{n}.{'75' if n < changed else '51'},NAME {n}\n" for n in rows] + ["ONLY-B,P0,1,x\n"]
    (directory / "shop.csv").write_text("sku;place;price;name\n" + "".join(shop))
    (directory / "erp.csv").write_text("item,place,net,name\n" + "".join(reversed(erp)))
    path = directory / "recon.yaml"
    path.write_text(CONFIG.format(buckets=buckets, allowed=allowed))
    return path


def differences(outcome) -> pa.Table:
    directory = Path(outcome.report_path).parent / "differences"
    return pa.concat_tables(pq.read_table(path) for path in sorted(directory.iterdir()))


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory):
    """A run, and one a night later, when one of three prices has been corrected."""
    directory = tmp_path_factory.mktemp("records")
    first = commands.run_job(exports(directory), "nightly", silent)
    second = commands.run_job(exports(directory, changed=2), "nightly", silent)
    return first, second


def test_counts_close_and_everything_is_told(two_runs):
    first, _ = two_runs
    pair = first.summary["records"]["shop.prices~erp.prices"]
    assert pair["classes"] == {"BREAK": 3, "MATCHED": 197, "MISSING_IN_A": 1, "MISSING_IN_B": 1}
    assert pair["records"] == 202
    assert (pair["a"]["read"], pair["a"]["rejected"], pair["b"]["read"]) == (201, 2, 201)
    columns = {row["column"]: row for row in pair["columns"]}
    assert (columns["price"]["different"], columns["price"]["within_tolerance"]) == (3, 197)
    assert columns["name"]["equal"] == 200
    found = differences(first)
    assert found.column_names[:9] == [
        "pair", "sku", "place", "column", "value_a", "value_b", "class", "reason", "difference",
    ]  # fmt: skip
    assert len(found) == 5
    assert not first.within_gates
    assert "5 of 202 records differ" in first.text()


def test_a_difference_gets_older_until_it_is_gone(two_runs):
    first, second = two_runs
    ages = {row["sku"]: row for row in differences(second).to_pylist()}
    assert sorted(ages) == ["ONLY-A", "ONLY-B", "SKU-0", "SKU-1"]
    assert {row["age"] for row in ages.values()} == {2}
    assert {row["first_seen_run"] for row in ages.values()} == {first.summary["run_id"]}
    before = {row["sku"]: row["break_id"] for row in differences(first).to_pylist()}
    assert {sku: row["break_id"] for sku, row in ages.items()} == {sku: before[sku] for sku in ages}


def test_the_report_has_the_classical_sections(two_runs):
    first, _ = two_runs
    page = Path(first.report_path).read_text()
    for words in ("shop.prices against erp.prices", "Columns that differ", "The most frequent changes", "SKU-2"):
        assert words in page
    assert json.loads(Path(first.report_path).with_name("summary.json").read_text())["records"]


def test_buckets_are_nothing(tmp_path, two_runs):
    first, _ = two_runs
    other = commands.run_job(exports(tmp_path, buckets=1), "nightly", silent)

    def told(outcome):
        pair = {**outcome.summary["records"]["shop.prices~erp.prices"]}
        rows = sorted(differences(outcome).select(["sku", "column", "value_a", "value_b"]).to_pylist(), key=str)
        return pair, rows

    assert told(other) == told(first)


def junit(outcome) -> dict[str, str | None]:
    (suite,) = ET.parse(Path(outcome.report_path).with_name("junit.xml")).getroot()
    return {case.get("name"): next((child.tag for child in case), None) for case in suite}


def test_gates_allow_what_they_say(tmp_path, two_runs):
    within = commands.run_job(exports(tmp_path, allowed=5), "nightly", silent)
    assert within.within_gates
    unlike = ("column price", "only in shop.prices", "only in erp.prices", "rows that were compared")
    assert {name for name, kind in junit(within).items() if kind == "skipped"} == set(unlike)
    assert {name for name, kind in junit(two_runs[0]).items() if kind == "failure"} == set(unlike)


def test_a_column_that_one_side_has_not_trips_a_gate(tmp_path):
    path = exports(tmp_path, allowed=5)
    path.write_text(path.read_text().replace("net: net, name: name", "net: net, title: name"))
    path.write_text(path.read_text().replace("name: {case: ignore}, ", ""))
    outcome = commands.run_job(path, "nightly", silent)
    gates = {gate["gate"]: (gate["value"], gate["passed"]) for gate in outcome.summary["gates"]}
    assert gates == {"breaks": (5, True), "columns_missing": (2, False)}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("shop.prices~erp.prices:", "shop.price~erp.prices:", "no records 'shop.price'; did you mean 'shop.prices'?"),
        ("kind: records", "kind: record", "'record'"),
        ("key: [sku, place]", "key: [sku, shelf]", "'shelf' is not one of the columns"),
        ("case: ignore", "case: upper", "'upper'"),
        ("tolerance: 0.01", "tolerance: much", "'much' is not a number"),
        ("map: {price: net}", "settle: PT5M", "settle needs changed_at"),
    ],
)
def test_mistakes_are_told_with_their_line(tmp_path, old, new, message):
    path = exports(tmp_path)
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ConfigError) as raised:
        load(path)
    assert any(message in problem and "recon.yaml:" in problem for problem in raised.value.problems), raised.value


def test_records_are_as_of_one_instant(tmp_path):
    path = exports(tmp_path)
    path.write_text(
        path.read_text().replace('{from: value, value: "2029-12-31T00:00:00Z"}', "{from: column, column: t}")
    )
    with pytest.raises(ConfigError, match="shop/prices: records are as of one instant"):
        commands.run_job(path, "nightly", silent)
