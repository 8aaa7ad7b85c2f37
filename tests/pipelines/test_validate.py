"""The validation pipeline says of a snapshot what its in-memory twin says, and lists every failing row."""

from __future__ import annotations

from pathlib import Path

import great_expectations as gx
import great_expectations.expectations as gxe
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from captures import take

from expectations import judge, memory
from expectations.domain import ExpectKeysToBeKept, ExpectKeysToBeKnown, ExpectOrderLinesToAddUp
from pipelines.tables import SnapshotRows, in_parts
from pipelines.validate import Measurement, list_failing, measure_rows
from reconcilers.errors import ConfigError, Unreachable

EXPECTATIONS = [
    gxe.ExpectColumnValuesToBeBetween(column="quantity", min_value=0),
    gxe.ExpectCompoundColumnsToBeUnique(column_list=["sku", "location"]),
    gxe.ExpectColumnValuesToBeUnique(column="quantity"),
    gxe.ExpectColumnValuesToBeInSet(column="location", value_set=["w"]),
    gxe.ExpectColumnValuesToNotBeOutliers(column="quantity", multiplier=0.1),
    gxe.ExpectColumnMedianToBeBetween(column="quantity", min_value=1),
    gxe.ExpectColumnDistinctValuesToBeInSet(column="location", value_set=["w"]),
    gxe.ExpectColumnSumToBeBetween(column="quantity", min_value=0),
    ExpectKeysToBeKept(column_list=["sku", "location"]),
    ExpectKeysToBeKnown(column_list=["sku"], other="previous"),
]


def suite():
    return gx.ExpectationSuite("mine", expectations=[each.copy() for each in EXPECTATIONS])


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("validate")
    rows = [f"S{n % 23},{'w' if n % 5 else 'x'},{n % 40 - 3}" for n in range(200)]
    (folder / "now.csv").write_text("sku,location,quantity\n" + "\n".join(rows) + "\n")
    (folder / "before.csv").write_text("sku,location,quantity\nS1,w,4\nGONE,w,4\n")
    return folder


def measured(base, buckets, out):
    now = take(base, buckets=buckets, path="now.csv")
    before = take(base, buckets=2, path="before.csv")
    plan = judge.plan(suite(), now.schema)
    measurement = Measurement("erp.stock", SnapshotRows(now), plan.metrics, {"previous": before})
    (values,) = measure_rows([measurement], str(out / "work"))
    (samples,) = list_failing([(measurement, plan.failing(values), str(out / "unexpected.parquet"))], str(out / "work"))
    result = plan.judge(values, samples, {}, {})
    return result, pq.read_table(out / "unexpected.parquet"), now.read_bucket(0, 1), before.read_bucket(0, 1)


def plain(result):
    return [(each.expectation_config.type, each.success, each.result) for each in result.results]


def ordered(table):
    return sorted(map(repr, table.to_pylist()))


@pytest.mark.parametrize("buckets", [1, 8])
def test_the_pipeline_says_what_its_twin_says(base, buckets, tmp_path):
    result, unexpected, rows, before = measured(base, buckets, tmp_path)
    twin = memory.validate(rows, suite(), others={"previous": before})
    assert plain(result) == plain(twin.result)
    assert ordered(unexpected) == ordered(twin.unexpected)


def test_every_failing_row_is_listed_with_its_key_file_and_line(base, tmp_path):
    result, unexpected, _, _ = measured(base, 4, tmp_path)
    below = [row for row in unexpected.to_pylist() if row["number"] == 1]
    lines = [n + 2 for n in range(200) if n % 40 < 3]
    assert sorted(row["source_line"] for row in below) == lines
    assert {Path(row["source_file"]).name for row in below} == {"now.csv"}
    assert {(row["sku"], row["location"]) for row in below} == {
        (f"S{n % 23}", "w" if n % 5 else "x") for n in range(200) if n % 40 < 3
    }
    counts = [each.result.get("unexpected_count", 0) for each in result.results]
    for number in (1, 2, 3, 4, 5, 9, 10):
        assert sum(row["number"] == number for row in unexpected.to_pylist()) == counts[number - 1]
    assert len(result.results[1].result["partial_unexpected_index_list"]) == 20


def test_order_lines_that_do_not_add_up():
    rows = pa.Table.from_pylist(
        [
            {"ref": ref, "sku": "A", "kind": kind, "quantity": quantity}
            for ref, kind, quantity in [
                ("1", "PLACE", 5), ("1", "SHIP", 3), ("1", "CANCEL", 2),
                ("2", "PLACE", 5), ("2", "SHIP", 4), ("2", "CANCEL", 2),
                ("3", "SHIP", 1),
            ]
        ]
    )  # fmt: skip
    found = memory.validate(rows, gx.ExpectationSuite("lines", expectations=[ExpectOrderLinesToAddUp()]), 4)
    assert found.result.results[0].result["unexpected_count"] == 1
    assert found.result.results[0].result["partial_unexpected_list"] == [{"ref": "2", "sku": "A"}]
    assert found.unexpected["ref"].to_pylist() == ["2"]


def test_a_file_of_any_kind_in_parts(tmp_path):
    (tmp_path / "a.csv").write_text("sku,qty\nS1,3\n,4\n")
    rows = in_parts(str(tmp_path / "a.csv"), str(tmp_path / "parts"))
    assert rows.read(0, ["sku", "qty", "source_line"]).to_pylist() == [
        {"sku": "S1", "qty": 3, "source_line": 2},
        {"sku": None, "qty": 4, "source_line": 3},
    ]
    pq.write_table(pa.table({"sku": pa.array([], pa.string())}), tmp_path / "empty.parquet")
    empty = in_parts(str(tmp_path / "empty.parquet"), str(tmp_path / "none"))
    assert empty.read(0, ["sku"]).num_rows == 0
    (tmp_path / "a.xml").write_text("<a/>")
    with pytest.raises(ConfigError, match=r"a\.xml: neither"):
        in_parts(str(tmp_path / "a.xml"), str(tmp_path))
    (tmp_path / "bad.parquet").write_text("no")
    with pytest.raises(Unreachable, match="cannot be read"):
        in_parts(str(tmp_path / "bad.parquet"), str(tmp_path))
