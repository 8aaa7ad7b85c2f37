"""Results of runs in BigQuery: what the workspace holds, once, whoever sends it how often."""

from __future__ import annotations

import json
import re
from decimal import Decimal

import pytest
from compared import ORDERS, PRICES, of_records

from jobs import commands
from jobs.config import load
from jobs.export import send
from jobs.init import init
from jobs.run import silent
from jobs.workspace import Workspace
from pipelines.reconcile import read_output
from reconcilers.errors import ConfigError, Unreachable


def configured(directory, **output):
    """A workspace whose job loads its results."""
    path = init(directory)[0]
    path.write_text(
        path.read_text(encoding="utf-8") + f"\noutputs: {json.dumps({'bigquery': output})}\n", encoding="utf-8"
    )
    return path


@pytest.fixture(scope="module")
def ran(warehouse, tmp_path_factory):
    """The configuration and the summaries of two runs of a job."""
    path = configured(tmp_path_factory.mktemp("shop"), dataset="recon", **warehouse.endpoint)
    return path, [commands.run_job(path, "nightly", silent).summary for _ in range(2)]


def loaded(warehouse, table, columns, run_id):
    return warehouse.run(f"select {columns} from recon.{table} where run_id = '{run_id}' order by 1, 2, 3")


@pytest.mark.parametrize(
    ("output", "columns"),
    [
        ("levels", "sku, location, quantity_a, as_of_a, expected_diff, class, publish"),
        ("breaks", "sku, location, unexplained, runs_seen, severity, causes, value"),
        ("in_flight", "sku, location, ref, quantity, clears_by"),
        ("corrections", "sku, location, mode, value, change_from, idempotency_key"),
    ],
)
def test_outputs_are_there_as_the_workspace_has_them(ran, warehouse, output, columns):
    path, summaries = ran
    workspace = Workspace(str(load(path).workspace))
    for summary in summaries:
        table = read_output(workspace.run_directory(summary["run_id"]), output, columns=columns.split(", "))
        rows = sorted(tuple(row.values()) for row in table.to_pylist())
        assert rows
        assert loaded(warehouse, output, columns, summary["run_id"]) == rows


def test_what_the_summary_says_is_there(ran, warehouse):
    _, (summary, _) = ran
    (pair,) = summary["pairs"].values()
    run_id = summary["run_id"]
    assert loaded(warehouse, "runs", "pair, job, `keys`", run_id) == [("storefront~erp", "nightly", pair["keys"])]
    classes = loaded(warehouse, "classes", "class, `keys`, units, value", run_id)
    assert classes == sorted(
        (name, c["keys"], Decimal(c["units"]), Decimal(c["value"])) for name, c in pair["classes"].items()
    )
    # four snapshots, and what the run concluded: levels, breaks, corrections
    assert len(loaded(warehouse, "validation", "system, dataset, success", run_id)) == 4 + 3
    rows = {(s["system"], s["dataset"]): s["rows"] for s in summary["snapshots"]}
    assert {(a, b): n for a, b, n in loaded(warehouse, "snapshots", "system, dataset, row_count", run_id)} == rows


def test_a_run_that_is_sent_again_replaces_itself_alone(ran, warehouse):
    path, summaries = ran
    before = warehouse.run("select run_id, count(*) from recon.levels group by 1 order by 1")
    assert len(before) == 2
    warehouse.run(f"delete from recon.levels where run_id = '{summaries[0]['run_id']}' and sku like 'M%'")
    counts = send(path, summaries[0]["run_id"])["bigquery"]
    assert warehouse.run("select run_id, count(*) from recon.levels group by 1 order by 1") == before
    assert counts["levels"] == summaries[0]["pairs"]["storefront~erp"]["keys"]
    left = warehouse.run("select table_name from recon.INFORMATION_SCHEMA.TABLES where table_name like 'staging%'")
    assert left == []


def test_a_table_of_an_older_version_gets_the_columns_that_it_lacks(ran, warehouse):
    path, (summary, _) = ran
    warehouse.client.create_dataset("recon_old", timeout=30)
    warehouse.run("create table recon_old.runs (run_id string, run_at timestamp, pair string)")
    older = path.with_name("older.yaml")
    older.write_text(path.read_text(encoding="utf-8").replace('"recon"', '"recon_old"'), encoding="utf-8")
    send(older, summary["run_id"])
    assert warehouse.run("select pair, job from recon_old.runs") == [("storefront~erp", "nightly")]


def test_a_run_with_other_decimals(warehouse, tmp_path):
    path = configured(tmp_path, dataset="recon_fine", **warehouse.endpoint)
    text = path.read_text(encoding="utf-8")
    path.write_text(re.sub("^decimals: .*", "decimals: 6", text, flags=re.MULTILINE), encoding="utf-8")
    summary = commands.run_job(path, "nightly", silent).summary
    (counted,) = warehouse.run("select count(*) from recon_fine.levels")
    assert counted == (summary["pairs"]["storefront~erp"]["keys"],)


def test_views_show_the_newest_run(ran, warehouse):
    _, (_, newest) = ran
    (pair,) = newest["pairs"].values()
    faults = ("BREAK", "CONFLICT", "LATE", "MISSING_IN_A", "MISSING_IN_B", "AMBIGUOUS", "UNKNOWN")
    expected = sum(pair["classes"].get(name, {"keys": 0})["keys"] for name in faults)
    assert warehouse.run("select run_id, count(*) from recon.current_breaks group by 1") == [
        (newest["run_id"], expected)
    ]
    quality = warehouse.run("select run_id, `keys`, keys_fine from recon.quality_by_run order by run_id")
    assert len(quality) == 2
    fine = sum(pair["classes"].get(name, {"keys": 0})["keys"] for name in ("MATCHED", "IN_FLIGHT"))
    assert {(row[1], row[2]) for row in quality} == {(pair["keys"], fine)}
    assert len(warehouse.run("select system, dataset from recon.freshness")) == 4


@pytest.fixture(scope="module")
def compared(warehouse, tmp_path_factory):
    """The configuration and the summaries of two runs that compared records and orders."""
    output = {"bigquery": {"dataset": "recon_records", **warehouse.endpoint}}
    path = of_records(tmp_path_factory.mktemp("records"), outputs=output)
    return path, [commands.run_job(path, "nightly", silent).summary for _ in range(2)]


def test_differences_of_pairs_with_any_key_are_in_one_table(compared, warehouse):
    columns = "key, line, `column`, value_a, value_b, class, reason, value, age"
    for age, summary in enumerate(compared[1], 1):
        of_run = f"from recon_records.differences where run_id = '{summary['run_id']}'"
        found = warehouse.run(f"select pair, {columns} {of_run} order by pair, key")
        a, b = ({"sku": sku, "class": "1"} for sku in "AB")
        assert [(pair, json.loads(key), *more) for pair, key, *more in found] == [
            (PRICES, a, None, "price", "10.00", "11.00", "BREAK", "VALUE_DIFFERS", None, age),
            (PRICES, b, None, None, None, None, "MISSING_IN_B", None, None, age),
            (ORDERS, {"ref": "1"}, "TEA", "price", "4.5000", "5.0000", "BREAK", "PRICE_DIFFERS", Decimal("0.5"), age),
            (ORDERS, {"ref": "2"}, None, None, None, None, "LATE", "ORDER_NOT_IMPORTED", Decimal("4.5"), age),
        ]


def test_what_the_summary_says_of_records_is_there(compared, warehouse):
    of_run = f"where run_id = '{compared[1][0]['run_id']}' order by 1, 2"
    stats = warehouse.run(f"select pair, `column`, compared, different from recon_records.column_stats {of_run}")
    assert stats == [(PRICES, "price", 1, 1), (ORDERS, "price", 1, 1)]
    assert warehouse.run(f"select pair, `keys` from recon_records.runs {of_run}") == [(PRICES, 2), (ORDERS, 2)]
    classes = warehouse.run(f"select pair, class, `keys` from recon_records.classes {of_run}")
    assert classes == [(PRICES, "BREAK", 1), (PRICES, "MISSING_IN_B", 1), (ORDERS, "BREAK", 1), (ORDERS, "LATE", 1)]
    quality = warehouse.run("select distinct pair, `keys`, keys_fine from recon_records.quality_by_run order by 1")
    assert quality == [(PRICES, 2, 0), (ORDERS, 2, 0)]


def test_differences_that_are_sent_again_replace_themselves_alone(compared, warehouse):
    path, summaries = compared
    before = warehouse.run("select run_id, count(*) from recon_records.differences group by 1 order by 1")
    assert [count for _, count in before] == [4, 4]
    counts = send(path, summaries[0]["run_id"])["bigquery"]
    assert (counts["differences"], counts["column_stats"], counts["runs"], counts["levels"]) == (4, 2, 2, 0)
    assert warehouse.run("select run_id, count(*) from recon_records.differences group by 1 order by 1") == before
    newest = warehouse.run("select distinct run_id from recon_records.current_differences")
    assert newest == [(summaries[1]["run_id"],)]


def test_an_output_that_does_not_answer_leaves_a_finished_run(tmp_path):
    path = configured(
        tmp_path, project="recon-test", dataset="recon", api_endpoint="http://127.0.0.1:9", timeout="PT1S"
    )
    with pytest.raises(Unreachable, match=r"bigquery://recon-test\.recon: "):
        commands.run_job(path, "nightly", silent)
    (run,) = commands.list_runs(path)
    with pytest.raises(Unreachable):
        send(path, run["run_id"])


def test_what_is_wrong_with_outputs_is_told_with_its_line(tmp_path):
    path = configured(tmp_path / "a", project="recon-test", dataset="a.b")
    with pytest.raises(ConfigError, match=r"recon\.yaml:\d+: outputs\.bigquery\.dataset"):
        load(path)
    path = configured(tmp_path / "b", project="recon-test", dataset="b", locaton="EU")
    with pytest.raises(ConfigError, match=r"outputs\.bigquery.*locaton.*location"):
        load(path)
    path = init(tmp_path / "c")[0]
    commands.run_job(path, "nightly", silent)
    with pytest.raises(ConfigError, match="has no outputs"):
        send(path, "latest")
