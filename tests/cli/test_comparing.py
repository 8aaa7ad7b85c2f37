"""`recon compare` as a newcomer runs it: files, an answer, an exit code."""

from __future__ import annotations

import gzip
import json
import sqlite3
from decimal import Decimal
from xml.etree import ElementTree as ET

import databases
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from shell import recon

LEFT = """\
sku;price;name
A-1;10.50;Tea pot
B-2;7;Kettle
C-3;1.00;Cup
"""
RIGHT = """\
sku,price,name
A-1,10.5,Tea pot
B-2,7.01,kettle
D-4,2,Spoon
"""


@pytest.fixture
def shop(tmp_path):
    (tmp_path / "left.csv").write_text(LEFT)
    (tmp_path / "right.csv").write_text(RIGHT)
    return tmp_path


def test_two_files_one_command(shop):
    done = recon("compare", "left.csv", "right.csv", "--key", "sku", at=shop)
    assert done.code == 1
    assert done.out.startswith("4 of 4 records differ.\n")
    for line in (
        "sku=B-2  price   7        7.01",
        "sku=C-3          there    missing",
        "column price: 1 of its differences are only how a number is written; --tolerance price=0 compares by value",
    ):
        assert line in done.out


def test_a_difference_is_no_formula_in_a_spreadsheet(shop):
    (shop / "left.csv").write_text("sku,price,name\n=A1,-7,@cup\nB,1,+1-1\n")
    (shop / "right.csv").write_text("sku,price,name\n=A1,-8,cup\nB,1,Pot\n")
    assert recon("compare", "left.csv", "right.csv", "-k", "sku", "-o", "all.csv", at=shop).code == 1
    rows = [line.split(",")[1:5] for line in (shop / "all.csv").read_text().splitlines()[1:]]
    assert sorted(rows) == [
        ["'=A1", "name", "'@cup", "cup"],
        ["'=A1", "price", "-7", "-8"],
        ["B", "name", "'+1-1", "Pot"],
    ]


def test_a_tolerance_compares_numbers_and_json_has_everything(shop):
    options = ("--tolerance", "price=0.01", "--ignore", "name", "--json", "-o", "all.csv", "--html", "report.html")
    done = recon("compare", "left.csv", "right.csv", "-k", "sku", *options, at=shop)
    assert done.code == 1
    records = {name: number for name, number in done.json["records"].items() if number}
    assert records == {"equal": 2, "only_a": 1, "only_b": 1}
    assert [row["column"] for row in done.json["columns"]] == ["price"]
    lines = (shop / "all.csv").read_text().splitlines()
    assert lines[0] == "pair,sku,column,value_a,value_b,class,reason,difference,age"
    assert sorted(line.split(",")[1] for line in lines[1:]) == ["C-3", "D-4"]
    page = (shop / "report.html").read_text()
    assert "2 of 4 records differ." in page
    assert "C-3" in page


def test_a_build_server_gets_junit(shop):
    done = recon("compare", "left.csv", "right.csv", "-k", "sku", "--junit", "junit.xml", at=shop)
    assert done.code == 1
    (suite,) = ET.parse(shop / "junit.xml").getroot()
    told = {case.get("name"): case.find("failure") for case in suite}
    assert {name for name, failure in told.items() if failure is not None} == {
        "column price", "column name", "only in left.csv", "only in right.csv",
    }  # fmt: skip
    assert told["column name"].get("message") == "1 of 2 records differs"
    assert told["column name"].text == "sku=B-2: Kettle | kettle"
    assert (suite.get("tests"), suite.get("failures")) == ("7", "4")


def test_no_difference_is_exit_code_0(shop):
    (shop / "again.csv").write_text("".join(sorted(RIGHT.splitlines(keepends=True), reverse=True)))
    done = recon("compare", "right.csv", "again.csv", "--key", "sku", at=shop)
    assert (done.code, done.out.splitlines()[0]) == (0, "No difference: 3 records, each equal in 2 columns.")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["left.csv", "right.csv", "--key", "nr"], 2, "no column 'nr' on left; there are sku, price, name"),
        (["left.csv", "nosuch.csv", "--key", "sku"], 4, "nosuch.csv: no such file"),
        (["left.csv", "right.csv", "--key", "sku", "--tolerance", "price=x"], 2, "'x' is not a number"),
        (["left.csv", "right.csv", "--key", "sku", "-o", "x.xls"], 2, "its name ends in none of"),
        (["left.csv", "sqlite:///no.db", "--key", "sku"], 2, "name a table or a query behind a #"),
        (["left.csv", "right.csv", "--key", "sku", "--duplicates", "drop"], 2, "is not one of pair, refuse, aggregate"),
        (["left.csv", "broken.parquet", "--key", "sku"], 4, "not a whole Parquet file"),
    ],
)
def test_an_expected_error_is_one_line(shop, arguments, code, message):
    (shop / "broken.parquet").write_bytes(b"PAR1 and then nothing")
    done = recon("compare", *arguments, at=shop)
    assert done.code == code
    assert len(done.told) == 1
    assert message in done.told[0]
    assert done.out == ""


def test_what_cannot_be_read_is_never_equal(shop):
    (shop / "short.csv").write_text(LEFT + "D-4;1\n")
    done = recon("compare", "left.csv", "short.csv", "--key", "sku", at=shop)
    assert done.code == 1
    assert "short.csv: 1 row could not be read, the first" in done.out
    assert "short.csv:5: too few fields" in done.out


def test_every_kind_of_file_holds_the_same_records(shop):
    rows = [("A-1", Decimal("10.50"), "Tea pot"), ("B-2", Decimal("7.00"), "Kettle"), ("C-3", Decimal("1.00"), "Cup")]
    names = ("sku", "price", "name")
    table = pa.table({name: [row[i] for row in rows] for i, name in enumerate(names)})
    pq.write_table(table, shop / "rows.parquet", compression="zstd", row_group_size=1)
    pq.write_table(table.take(pa.array([2, 0, 1])), shop / "other.parquet", compression="none")
    for number in range(3):
        pq.write_table(table.slice(number, 1), shop / f"part-{number}.parquet")
    lines = [json.dumps({"sku": s, "price": float(p), "name": n}) for s, p, n in rows]
    (shop / "rows.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode() + b"\n"))
    with pa.CompressedOutputStream(shop / "rows.csv.zst", "zstd") as file:
        file.write(LEFT.encode())
    with sqlite3.connect(shop / "shop.db") as database:
        database.execute("create table prices (sku text, price text, name text)")
        database.executemany("insert into prices values (?, ?, ?)", [(s, str(p), n) for s, p, n in rows])
    for other in (
        "other.parquet",
        "part-*.parquet",
        "rows.jsonl.gz",
        "rows.csv.zst",
        "sqlite:///shop.db#prices",
        "sqlite:///shop.db#select * from prices",
    ):
        done = recon("compare", "rows.parquet", other, "--key", "sku", at=shop)
        assert done.out.startswith("No difference: 3 records"), (other, done.out, done.err)
        assert done.code == 0


def test_what_it_says_about_every_night_runs(shop):
    done = recon("compare", "left.csv", "right.csv", "-k", "sku", "--tolerance", "price=0", "--json", at=shop)
    (shop / "recon.yaml").write_text(done.json["nightly"])
    run = recon("run", "nightly", "--json", at=shop)
    assert run.code == 1, run.err
    (pair,) = run.json["records"].values()
    unlike = sum(n for name, n in done.json["records"].items() if name != "equal")
    assert (pair["records"], pair["classes"]["MATCHED"]) == (done.json["total"], done.json["total"] - unlike)
    exported = recon("export", "latest", "differences", at=shop)
    assert len(exported.out.splitlines()) == 1 + len(done.json["samples"])
    assert recon("doctor", at=shop).code == 0


def test_a_map_names_what_the_other_side_calls_a_column(shop):
    (shop / "renamed.csv").write_text(LEFT.replace("sku;price;name", "item;net;title"))
    mapped = ("--map", "sku=item", "--map", "price=net", "--map", "name=title")
    assert recon("compare", "left.csv", "renamed.csv", "--key", "sku", *mapped, at=shop).code == 0
    done = recon("compare", "left.csv", "renamed.csv", "--key", "sku", *mapped[:4], at=shop)
    assert done.code == 1
    assert "column name (VARCHAR) is only on the left" in done.out


def test_all_of_many_differences_are_written(tmp_path):
    keys = pa.array(range(30_000), pa.int64())
    pq.write_table(pa.table({"id": keys, "v": keys}), tmp_path / "a.parquet")
    changed = pc.if_else(pc.less(keys, 5_000), pc.add(keys, 1), keys)
    pq.write_table(pa.table({"id": keys, "v": changed}), tmp_path / "b.parquet")
    done = recon("compare", "a.parquet", "b.parquet", "-k", "id", "-o", "d.parquet", "--json", at=tmp_path)
    assert (done.code, done.json["records"]["different"]) == (1, 5_000)
    written = pq.read_table(tmp_path / "d.parquet")
    assert written["id"].sort().to_pylist() == list(range(5_000))
    assert {str(written.schema.field(name).type) for name in ("pair", "column", "class", "reason")} == {"string"}
    assert written["class"].unique().to_pylist() == ["BREAK"]


PRICES = [("A-1", Decimal("10.50")), ("B-2", Decimal("123456789012345.01")), ("Ç/3", None)]


@pytest.fixture
def prices(tmp_path):
    """Three prices in a file, of which the second of another one differs in its last digit."""
    for name, last in (("same", "01"), ("other", "02")):
        values = [value if sku != "B-2" else Decimal(f"123456789012345.{last}") for sku, value in PRICES]
        table = pa.table({"sku": [sku for sku, _ in PRICES], "price": pa.array(values, pa.decimal128(19, 2))})
        pq.write_table(table, tmp_path / f"{name}.parquet")
    return tmp_path


def agrees(url: str, at) -> None:
    """What is there is what the one file has, and differs from the other in exactly one digit."""
    done = recon("compare", url, "same.parquet", "-k", "sku", at=at)
    assert (done.code, done.out.splitlines()[0]) == (0, "No difference: 3 records, each equal in 1 column."), done
    done = recon("compare", url, "other.parquet", "-k", "sku", "--json", at=at)
    (found,) = done.json["samples"]
    assert (done.code, found["sku"]) == (1, "B-2")
    assert found["value_a"].startswith("123456789012345.01")
    assert "right" in done.json["nightly"]


def test_a_table_and_a_query_of_postgresql(postgresql, prices):
    postgresql.run(
        """drop table if exists prices;
        create table prices (sku text, price numeric(19, 2));
        insert into prices values ('A-1', 10.50), ('B-2', 123456789012345.01), ('Ç/3', null);"""
    )
    agrees(f"{postgresql.url}#prices", prices)
    agrees(f"{postgresql.url}#select sku, price from prices order by price", prices)
    done = recon("compare", f"{postgresql.url}#nosuch", "same.parquet", "-k", "sku", at=prices)
    assert (done.code, len(done.told)) == (2, 1)
    assert databases.PASSWORD not in done.out + done.err
    told = recon("compare", f"{postgresql.url}#prices", "other.parquet", "-k", "sku", at=prices)
    assert databases.PASSWORD not in told.out
    assert "url: ${LEFT_URL}" in told.out


def test_a_table_and_a_query_of_bigquery(warehouse, prices):
    warehouse.run(
        "create or replace table shop.prices (sku string, price numeric)",
        *(f"insert shop.prices values ('{sku}', {value})" for sku, value in (("A-1", "10.5"), ("Ç/3", "null"))),
        "insert shop.prices values ('B-2', numeric '123456789012345.01')",
    )
    place = warehouse.endpoint
    options = f"api_endpoint={place['api_endpoint']}&grpc_endpoint={place['grpc_endpoint']}&scratch=shop"
    url = f"bigquery://{place['project']}?{options}"
    agrees(f"{url}#shop.prices", prices)
    agrees(f"{url}#select sku, price from shop.prices", prices)
    done = recon("compare", f"{url}&colour=red#shop.prices", "same.parquet", "-k", "sku", at=prices)
    assert (done.code, len(done.told)) == (2, 1)
