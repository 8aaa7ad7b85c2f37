"""Datasets of records in a run: keys of any type and spelling, aliases, and what a snapshot must meet."""

from __future__ import annotations

import csv
import json
from datetime import date
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from jobs import commands
from jobs.config import load
from jobs.run import silent
from pipelines.records import DIFFERENCES
from reconcilers.errors import ConfigError, ExpectationsFailed

PAIR = "shop.prices~erp.prices"
KEY = ("sku", "number", "day", "size")
TYPES = {"number": "integer", "day": "date", "size": "decimal(18,4)", "price": "decimal(18,2)"}

#: Names that have cost somebody a record.
SPELLED = (
    "TSHIRT-3/XL-12", "x" * 300, 'a "quoted", one', "tab\there", "two\nlines", "it's", "100%", "a~b", "Größe",
    "尺寸 👕", " leading", "a\\b", "null", "0", "007", "--", "a,b;c|d",
)  # fmt: skip


def rows() -> list[tuple]:
    """Neighbours in each part of the key, which a key that is rounded or cut off would make one."""
    spelled = [(sku, 1, date(2026, 1, 1), Decimal("1.5")) for sku in SPELLED]
    large = [("n", 900719925474099200 + n, date(2026, 1, 1), Decimal(1)) for n in range(6)]
    days = [("d", 1, date(2026, 1, 1 + n), Decimal(1)) for n in range(6)]
    sizes = [("s", 1, date(2026, 1, 1), Decimal("12345678901234.5670") + Decimal(n) / 10_000) for n in range(6)]
    return [*spelled, *large, *days, *sizes]


def written(directory: Path, changed: dict | None = None, **changes) -> Path:
    """A CSV of text in the shop, Parquet of typed columns in the ERP; `changed` has other prices there."""
    keys = rows()
    with (directory / "shop.csv").open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow([*KEY, "price"])
        out.writerows([*key, "10.00"] for key in keys)
    columns = {name: [key[i] for key in reversed(keys)] for i, name in enumerate(KEY)}
    prices = [(changed or {}).get(key, Decimal("10.00")) for key in reversed(keys)]
    pq.write_table(pa.table({**columns, "price": pa.array(prices, pa.decimal128(18, 2))}), directory / "erp.parquet")
    as_of = {"from": "value", "value": "2029-12-31T00:00:00Z"}
    common = {"connector": "files", "as_of": as_of, "key": list(KEY), "columns": [*KEY, "price"]}
    shop = {**common, "path": "shop.csv", "types": TYPES, **changes.pop("shop", {})}
    erp = {**common, "path": "erp.parquet", **changes.pop("erp", {})}
    text = {
        "now": "2030-01-01T00:00:00Z",
        "systems": {"shop": {"records": {"prices": shop}}, "erp": {"records": {"prices": erp}}},
        "pairs": {PAIR: {"kind": "records"}},
        "jobs": {"nightly": {"pairs": [PAIR]}},
        **changes,
    }
    path = directory / "recon.yaml"
    path.write_text(yaml.safe_dump(text))
    return path


def differences(outcome) -> list[dict]:
    directory = Path(outcome.report_path).parent / DIFFERENCES
    return [row for path in sorted(directory.iterdir()) for row in pq.read_table(path).to_pylist()]


@pytest.mark.parametrize("buckets", [1, 8])
def test_keys_of_any_type_and_spelling_meet(tmp_path, buckets):
    changed = {key: Decimal("10.01") for key in rows()[::3]}
    outcome = commands.run_job(written(tmp_path, changed, buckets=buckets), "nightly", silent)
    pair = outcome.summary["records"][PAIR]
    assert pair["classes"] == {"BREAK": len(changed), "MATCHED": len(rows()) - len(changed)}
    found = differences(outcome)
    assert {tuple(row[name] for name in KEY) for row in found} == set(changed)
    assert {(row["column"], row["value_a"], row["value_b"]) for row in found} == {("price", "10.00", "10.01")}


def test_an_alias_is_the_key_that_it_stands_for(tmp_path):
    (tmp_path / "skus.csv").write_text('raw,key\nit\'s,"it is"\nn,N-1\n')
    aliases = {"sku": "skus.csv", "number": {"1": "7"}}
    outcome = commands.run_job(written(tmp_path, shop={"aliases": aliases}), "nightly", silent)
    skus = {"it's": "it is", "n": "N-1"}
    shop = {(skus.get(s, s), 7 if n == 1 else n, d, z) for s, n, d, z in rows()}
    erp = set(rows())
    assert outcome.summary["records"][PAIR]["classes"] == {
        "MISSING_IN_B": len(shop - erp),
        "MISSING_IN_A": len(erp - shop),
    }

    both = written(tmp_path, shop={"aliases": aliases}, erp={"aliases": aliases})
    assert commands.run_job(both, "nightly", silent).within_gates


@pytest.mark.parametrize(
    ("aliases", "message"),
    [
        ({"sku": {"A": "B", "B": "C"}}, "'A' stands for 'B', which is an alias itself"),
        ({"sku": {"A": "A"}}, "'A' stands for 'A', which is an alias itself"),
        ({"sku": {"A": ""}}, "'A' for '' names nothing"),
        ({"number": {"A-1": "seven"}}, "'seven' is not integer"),
        ({"price": {"1": "2"}}, "not one of the key sku, number, day, size"),
        ({"sku": "nosuch.csv"}, "no such file"),
        ({"sku": "twice.csv"}, "'A' stands for 'B' and for 'C'"),
        ({"sku": "narrow.csv"}, "no column 'key'; it needs raw, key"),
    ],
)
def test_a_bad_alias_is_an_error_of_the_configuration(tmp_path, aliases, message):
    (tmp_path / "twice.csv").write_text("raw,key\nA,B\nA,C\n")
    (tmp_path / "narrow.csv").write_text("raw\nA\n")
    with pytest.raises(ConfigError) as raised:
        load(written(tmp_path, shop={"aliases": aliases}))
    assert any(message in problem and "recon.yaml:" in problem for problem in raised.value.problems), raised.value


def test_an_alias_that_the_column_cannot_hold_is_told_by_the_run(tmp_path):
    with pytest.raises(ConfigError, match="aliases of 'number': the column is int64"):
        commands.run_job(written(tmp_path, erp={"aliases": {"number": {"1": "one"}}}), "nightly", silent)


def suite(directory: Path, severity: str) -> str:
    rule = {
        "type": "expect_column_values_to_be_between",
        "kwargs": {"column": "price", "max_value": 10},
        "severity": severity,
        "description": "no price is above 10",
    }
    document = {"name": "prices", "expectations": [rule], "meta": {"great_expectations_version": "1.24.1"}}
    (directory / "prices.json").write_text(json.dumps(document))
    return "prices.json"


def test_a_critical_expectation_stops_the_run(tmp_path):
    changed = {rows()[0]: Decimal("11.00")}
    path = written(tmp_path, changed, erp={"expectations": {"suite": suite(tmp_path, "critical")}})
    with pytest.raises(ExpectationsFailed, match=r"erp/prices: .*no price is above 10.*1 of 35 rows"):
        commands.run_job(path, "nightly", silent)
    (run,) = commands.list_runs(path)
    directory = tmp_path / ".recon" / "runs" / run["run_id"]
    assert not (directory / DIFFERENCES).exists()
    (failing,) = pq.read_table(directory / "validation" / "erp.prices" / "unexpected.parquet").to_pylist()
    assert (failing["found"], Path(failing["source_file"]).name) == ("11.00", "erp.parquet")
    assert "erp/prices cannot be trusted" in (directory / "report.html").read_text()


def test_a_warning_and_a_truncated_export_are_told(tmp_path):
    path = written(tmp_path, {rows()[0]: Decimal("11.00")}, erp={"expectations": {"suite": suite(tmp_path, "warning")}})
    outcome = commands.run_job(path, "nightly", silent)
    assert "no price is above 10" in outcome.text()
    assert commands.validate(path, [], silent).results[0]["evaluated"]

    head = (tmp_path / "shop.csv").read_text().split("\n")[:12]
    (tmp_path / "shop.csv").write_text("\n".join(head) + "\n")
    with pytest.raises(ExpectationsFailed, match="shop/prices: .*at least half as many rows as last time"):
        commands.run_job(path, "nightly", silent)


def test_a_column_that_there_is_not_is_an_error_of_its_dataset(tmp_path):
    rule = '{"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "prise"}}'
    (tmp_path / "own.json").write_text(f'{{"name": "own", "expectations": [{rule}]}}')
    with pytest.raises(ConfigError, match="erp/prices: .*no column 'prise'; there are: sku"):
        commands.run_job(written(tmp_path, erp={"expectations": {"suite": "own.json"}}), "nightly", silent)


def test_a_suite_that_does_not_fit_is_an_error_of_the_configuration(tmp_path):
    change = [{"expectation": "expect_table_row_count_to_be_betwen", "drop": True}]
    path = written(tmp_path, shop={"expectations": {"change": change}})
    with pytest.raises(ConfigError, match=r"systems.shop.records.prices: .*did you mean"):
        commands.run_job(path, "nightly", silent)
    assert not (tmp_path / ".recon" / "snapshots").exists()
