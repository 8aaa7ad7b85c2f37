"""Pairs of orders in a run, from exports to outputs, summary, gates and exit code, night after night."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from xml.etree import ElementTree as ET

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from jobs import commands
from jobs.config import load
from jobs.explain import explain
from jobs.run import silent
from jobs.suggest import suggest
from reconcilers.errors import ConfigError, ExpectationsFailed
from reconcilers.order_rows import STATUSES

PAIR = "shop.web~erp.web"

CONFIG = """
now: 2030-01-{night:02d}T02:00:00Z
buckets: {buckets}
systems:
  shop:
    timezone: Europe/London
    orders:
      web:
        connector: files
        path: shop.csv
        as_of: {{from: value, value: "2030-01-{night:02d}T02:00:00Z"}}
        columns: {{ref: Name, sku: [SKU, Variant], quantity: Qty, price: Price, status: Status, placed_at: Created, note: Note}}
        references: {{strip_prefix: "#"}}
        statuses: {{"": open, fulfilled: shipped}}
  erp:
    timezone: Europe/Berlin
    aliases: articles.csv
    orders:
      web:
        connector: files
        path: erp.csv
        delimiter: ";"
        decimal: ","
        time_format: "%d.%m.%Y %H:%M"
        as_of: {{from: value, value: "2030-01-{night:02d}T02:00:00Z"}}
        columns: {{ref: Kundenref, doc: Auftrag, sku: Artikel, quantity: Menge, price: Preis, status: Status, placed_at: Angelegt, note: Notiz}}
        references: {{strip_prefix: "WEB-", xref: xref.csv}}
        statuses: {{offen: open, geliefert: shipped, storniert: cancelled}}
pairs:
  shop.web~erp.web:
    kind: orders
    sla: PT12H
    rules: {{price: {{tolerance: 0.01, currencies: {{JPY: 1}}}}, note: {{case: ignore}}}}
    high_value: 100
jobs:
  nightly: {{pairs: [shop.web~erp.web], gates: {{breaks: {allowed}}}}}
"""  # noqa: E501


def exports(directory: Path, night: int = 2, buckets: int = 4, allowed: int = 0, imported: bool = False) -> Path:
    """100 fine orders of two lines; 7 was imported twice, 8 has another price, 9 is lost until `imported`."""
    shop, erp = ["Name,SKU,Variant,Qty,Price,Status,Created,Note"], []
    for n in range(1, 101):
        status = ("fulfilled", "geliefert") if n % 2 else ("", "offen")
        for sku, price in (("TEA", "4.50"), ("CUP", "7.00")):
            variant = f"{sku}," if n % 3 else f",{sku}"
            shop.append(f"#{n},{variant},1,{price},{status[0]},2030-01-01T08:00:00,Gift")
            there = "9,00" if n == 8 and sku == "CUP" else price.replace(".", ",")
            ref = "LEGACY-50" if n == 50 else f"WEB-{n}"
            if n != 9 or imported:
                erp.append(f"{ref};A{n};ART-{sku};1;{there};{status[1]};01.01.2030 09:10;GIFT")
    erp += [line.replace("A7;", "A7-2;").replace("09:10", "10:10") for line in erp if line.startswith("WEB-7;")]
    shop += ["#200,TEA,,1,4.50,,2030-01-02T01:00:00,", ",TEA,,1,4.50,,2030-01-02T01:00:00,"]
    (directory / "shop.csv").write_text("\n".join(shop) + "\n")
    header = "Kundenref;Auftrag;Artikel;Menge;Preis;Status;Angelegt;Notiz"
    (directory / "erp.csv").write_text("\n".join([header, *reversed(erp)]) + "\n")
    (directory / "articles.csv").write_text("raw,sku\nART-TEA,TEA\nART-CUP,CUP\n")
    (directory / "xref.csv").write_text("raw,ref\nLEGACY-50,50\n")
    path = directory / "recon.yaml"
    path.write_text(CONFIG.format(night=night, buckets=buckets, allowed=allowed))
    return path


def differences(outcome) -> list[dict]:
    directory = Path(outcome.report_path).parent / "differences"
    rows = pa.concat_tables(pq.read_table(path) for path in sorted(directory.iterdir())).to_pylist()
    return sorted(rows, key=lambda row: (int(row["ref"]), row["column"] or ""))


def pair_of(outcome) -> dict:
    return outcome.summary["records"][PAIR]


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return tmp_path_factory.mktemp("orders") / "recon.yaml"


@pytest.fixture(scope="module")
def nights(config):
    """Three nights: order 9 is lost, imported after all, and lost again."""
    return [
        commands.run_job(exports(config.parent, night, imported=imported), "nightly", silent)
        for night, imported in ((2, False), (3, True), (4, False))
    ]


def test_counts_close_and_each_fault_is_told_once(nights):
    pair = pair_of(nights[0])
    assert (pair["kind"], pair["records"]) == ("orders", 101)
    assert pair["classes"] == {"BREAK": 2, "IN_FLIGHT": 1, "LATE": 1, "MATCHED": 97}
    assert pair["reasons"]["BREAK"] == {"DUPLICATE_BACKEND_ORDER": 1, "PRICE_DIFFERS": 1}
    assert (pair["a"]["read"], pair["a"]["rejected"], pair["b"]["read"]) == (201, 1, 200)
    # two lines of each of the 99 orders that both sides have; a second document is not compared
    assert {each["column"]: (each["compared"], each["equal"], each["different"]) for each in pair["columns"]} == {
        "quantity": (198, 198, 0),
        "price": (198, 197, 1),
        "status": (198, 198, 0),
        "note": (198, 198, 0),
    }
    found = [(row["ref"], row["class"], row["reason"], row["severity"]) for row in differences(nights[0])]
    assert found == [
        ("7", "BREAK", "DUPLICATE_BACKEND_ORDER", "high"),
        ("8", "BREAK", "PRICE_DIFFERS", "medium"),
        ("9", "LATE", "ORDER_NOT_IMPORTED", "medium"),
        ("200", "IN_FLIGHT", "ORDER_OPEN", "low"),
    ]
    assert not nights[0].within_gates
    price = pair["findings"]["BREAK"]["PRICE_DIFFERS"]
    assert (price["findings"], float(price["value"])) == (1, 2.0)


def test_a_finding_has_an_age_is_closed_and_is_reopened(nights):
    first, second, third = ({row["ref"]: row for row in differences(night)} for night in nights)
    runs = [night.summary["run_id"] for night in nights]
    assert [night["8"]["age"] for night in (first, second, third)] == [1, 2, 3]
    assert third["8"]["first_seen_run"] == runs[0]
    assert "9" not in second
    assert (first["9"]["status"], third["9"]["status"]) == ("OPEN", "REOPENED")
    assert (third["9"]["age"], third["9"]["first_seen_run"]) == (1, runs[2])
    assert third["9"]["break_id"] == first["9"]["break_id"]
    # what was on its way is late now, which is another matter
    assert (first["200"]["status"], second["200"]["status"], second["200"]["age"]) == ("TRANSIENT", "OPEN", 1)


def test_buckets_are_nothing(tmp_path, nights):
    other = commands.run_job(exports(tmp_path, buckets=1), "nightly", silent)
    assert differences(other) == differences(nights[0])
    assert {**pair_of(other)} == {**pair_of(nights[0])}


def test_an_order_is_explained_with_both_sides(nights, config):
    run = nights[0].summary["run_id"]
    twice = explain(config, "7", None, run).text()
    for words in (
        f"order 7, {PAIR}: BREAK (order imported twice)",
        "1 at 4.50, shipped and 1 at 4.50, shipped",
        "A7, A7-2",
        "what to do: Cancel the second document",
    ):
        assert words in twice
    (price,) = explain(config, "WEB-8", None, run).document()
    assert [row["price"] for row in price["rows_a"]] == [Decimal(7), Decimal("4.5")]
    assert (price["findings"][0]["value_a"], price["findings"][0]["value_b"]) == ("7.0000", "9.0000")
    assert "MATCHED" in explain(config, "#50", None, run).text()
    lost = explain(config, "9", None, None).text()
    assert "LATE (order never imported)" in lost
    assert "nothing" in lost
    with pytest.raises(ConfigError, match="no SKU or order '999'"):
        explain(config, "999", None, None)


def test_the_report_shows_what_needs_somebody(nights):
    page = Path(nights[0].report_path).read_text()
    for words in (
        "3 of 101 orders need somebody: 1 with an order imported twice",
        "order imported twice",
        "another price",
        "A7-2",
        "25.00 at risk",
    ):
        assert words in page, words
    assert "3 of 101 orders need somebody" in nights[0].text()


def junit(outcome):
    """The suite of the pair, and the cases in it that did not pass."""
    suite = ET.parse(Path(outcome.report_path).with_name("junit-orders.xml")).find("testsuite")
    return suite, {case.get("name"): case[0] for case in suite if len(case)}


def test_a_build_server_sees_what_needs_somebody(nights):
    suite, failed = junit(nights[0])
    assert (suite.get("name"), suite.get("failures"), suite.get("skipped")) == (PAIR, "3", "0")
    assert {name: case.get("message") for name, case in failed.items()} == {
        "late": "1 order",
        "different": "2 orders",
        "rows that could be read": "shop.web: 1 row",
    }
    assert "order 8, CUP, another price, price: 7 / 9, 2.00" in failed["different"].text


def test_gates_allow_what_they_say(tmp_path):
    outcome = commands.run_job(exports(tmp_path, allowed=3), "nightly", silent)
    assert outcome.within_gates
    assert (junit(outcome)[0].get("failures"), junit(outcome)[0].get("skipped")) == ("0", "3")


def rule(severity: str, description: str, kind: str, **arguments: object) -> dict[str, object]:
    return {"type": f"expect_{kind}", "kwargs": arguments, "severity": severity, "description": description}


#: What a shop may say of an export with a row an order line.
LINES = [
    rule("critical", "every line has an article", "column_values_to_not_be_null", column="sku"),
    rule("critical", "every state is translated", "column_values_to_be_in_set", column="status", value_set=[*STATUSES]),
    rule("critical", "an article is in an order once", "compound_columns_to_be_unique", column_list=["ref", "sku"]),
    rule("critical", "the orders of last time are there", "keys_to_be_kept", column_list=["ref"], mostly=0.9),
    rule("warning", "no quantity is below one", "column_values_to_be_between", column="quantity", min_value=1),
]  # fmt: skip


def judged_by(path: Path, rules: list[dict[str, object]]) -> Path:
    """The same configuration with a suite for the shop's export."""
    suite = {"name": "export", "expectations": rules, "meta": {"great_expectations_version": "1.24.1"}}
    path.with_name("export.json").write_text(json.dumps(suite))
    path.write_text(
        path.read_text().replace("path: shop.csv", "path: shop.csv\n        expectations: {suite: export.json}")
    )
    return path


def test_a_good_export_of_lines_meets_its_suite(tmp_path):
    path = judged_by(exports(tmp_path), LINES)
    for _ in range(2):
        outcome = commands.run_job(path, "nightly", silent)
        assert pair_of(outcome)["classes"] == {"BREAK": 2, "IN_FLIGHT": 1, "LATE": 1, "MATCHED": 97}
    shop, erp = commands.validate(path, [], silent).results
    assert (shop["dataset"], shop["evaluated"] - erp["evaluated"]) == ("web", len(LINES))
    # the one row without a reference is no line
    assert shop["messages"] == ["not met: no row is rejected: it is 0.00495"]


def changed(path: Path, old: str, new: str) -> None:
    """Write the shop's lines otherwise."""
    export = path.with_name("shop.csv")
    header, lines = export.read_text().split("\n", 1)
    export.write_text(header + "\n" + re.sub(old, new, lines))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (r"TEA|CUP", "", "every line has an article: 201 of 201 rows"),
        (r"fulfilled", "sent", "every state is translated: 100 of 201 rows, e.g. 1 TEA: sent"),
        (r"CUP", "TEA", "an article is in an order once: 200 of 201 rows"),
        # 101 of tea, and the row without a reference, of 202
        (r"4\.50", "4x50", "at most half of the rows is rejected: it is 0.505"),
    ],
)
def test_a_bad_export_of_lines_stops_the_run(tmp_path, old, new, message):
    path = judged_by(exports(tmp_path), LINES)
    changed(path, old, new)
    with pytest.raises(ExpectationsFailed, match=f"^shop/web: not met: {re.escape(message)}"):
        commands.run_job(path, "nightly", silent)
    (run,) = commands.list_runs(path)
    assert not (tmp_path / ".recon/runs" / run["run_id"] / "differences").exists()
    (again, _) = commands.validate(path, [], silent).results
    assert any(message in each for each in again["critical"])


def test_an_export_without_the_orders_of_last_time_stops_the_run(tmp_path):
    path = judged_by(exports(tmp_path), LINES)
    commands.run_job(path, "nightly", silent)
    changed(path, r"(?m)^#", "SHOP-")
    with pytest.raises(ExpectationsFailed, match="^shop/web: not met: the orders of last time are there"):
        commands.run_job(path, "nightly", silent)
    changed(path, r"(?m)^SHOP-[2-9].*\n", "")
    with pytest.raises(ExpectationsFailed, match="^shop/web: not met: at least half as many rows as last time"):
        commands.run_job(path, "nightly", silent)


def test_a_warning_about_lines_is_told_and_the_run_goes_on(tmp_path):
    path = judged_by(exports(tmp_path), LINES)
    export = tmp_path / "shop.csv"
    export.write_text(export.read_text().replace("#10,,TEA,1", "#10,,TEA,0").replace("#10,TEA,,1", "#10,TEA,,0"))
    outcome = commands.run_job(path, "nightly", silent)
    assert "no quantity is below one: 1 of 201 rows, e.g. 10 TEA: 0.0000" in outcome.text()
    assert pair_of(outcome)["reasons"]["BREAK"]["QUANTITY_DIFFERS"] == 1


#: What a shop may say of an export with a row an order.
HEADS = [
    rule("critical", "an order is there once", "column_values_to_be_unique", column="ref"),
    rule("critical", "every order has a total", "column_values_to_not_be_null", column="total"),
    rule("warning", "no total is below zero", "column_values_to_be_between", column="total", min_value=0),
]


def heads(directory: Path, *rows: str) -> Path:
    """An export a side with a row an order, that of the shop with these rows instead of 10 good ones."""
    good = [f"{n},{n}.50,2030-01-01T08:00:00Z" for n in range(1, 11)]
    for side, lines in (("shop", rows or good), ("erp", good)):
        (directory / f"{side}.csv").write_text("\n".join(["Name,Total,Created", *lines]) + "\n")
    export = {
        "connector": "files",
        "as_of": {"from": "value", "value": "2030-01-02T02:00:00Z"},
        "columns": {"ref": "Name", "total": "Total", "placed_at": "Created"},
    }
    systems = {side: {"orders": {"web": {**export, "path": f"{side}.csv"}}} for side in ("shop", "erp")}
    (directory / "recon.yaml").write_text(
        yaml.safe_dump(
            {
                "now": "2030-01-02T02:00:00Z",
                "systems": systems,
                "pairs": {PAIR: {"kind": "orders"}},
                "jobs": {"nightly": {"pairs": [PAIR]}},
            }
        )
    )
    return judged_by(directory / "recon.yaml", HEADS)


def test_an_export_of_orders_without_lines_meets_its_suite(tmp_path):
    outcome = commands.run_job(heads(tmp_path), "nightly", silent)
    assert pair_of(outcome)["classes"] == {"MATCHED": 10}
    assert [each["failed"] for each in outcome.summary["validation"]] == [0, 0]


@pytest.mark.parametrize(
    ("last", "message"),
    [
        ("9,9.50,2030-01-01T08:00:00Z", "an order is there once: 2 of 10 rows, e.g. 9"),
        ("10,,2030-01-01T08:00:00Z", "every order has a total: 1 of 10 rows, e.g. 10"),
    ],
)
def test_a_bad_export_of_orders_without_lines_stops_the_run(tmp_path, last, message):
    path = heads(tmp_path, *(f"{n},{n}.50,2030-01-01T08:00:00Z" for n in range(1, 10)), last)
    with pytest.raises(ExpectationsFailed, match=f"shop/web: not met: {message}"):
        commands.run_job(path, "nightly", silent)


def test_a_suite_is_suggested_of_a_dataset_that_there_is(tmp_path):
    path = exports(tmp_path)
    commands.take_snapshots(path, ["shop"], silent)
    with pytest.raises(ConfigError, match=r"^no snapshot of shop/stock yet; there are some of web \(--dataset\)$"):
        suggest(path, "shop", "stock", 5, None)
    suggest(path, "shop", "web", 5, tmp_path / "export.json")
    learned = json.loads((tmp_path / "export.json").read_text())["expectations"]
    outcome = commands.run_job(judged_by(path, learned), "nightly", silent)
    assert "every row has a quantity" in {each["description"] for each in learned}
    assert outcome.summary["validation"][0]["messages"] == ["not met: no row is rejected: it is 0.00495"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("shop.web~erp.web:", "shop.wob~erp.web:", "no orders 'shop.wob'; did you mean 'shop.web'?"),
        ("kind: orders", "kind: order", "'order'"),
        ("{ref: Name,", "{reference: Name,", "columns name no 'ref'"),
        ("fulfilled: shipped", "fulfilled: sent", "'sent', which is not one of open, shipped, cancelled, returned"),
        ("path: shop.csv", "path: shop.csv\n        key: sku", "orders are known by their reference, the column ref"),
        ("sla: PT12H", "sla: soon", "'soon' is not an ISO 8601 duration"),
        ("high_value: 100", "debounce: 2", "unknown key"),
        ("aliases: articles.csv", "records: {web: {connector: files, path: x.csv, key: a, columns: [a]}}",
         "'web' is in records and in orders"),
    ],
)  # fmt: skip
def test_mistakes_are_told_with_their_line(tmp_path, old, new, message):
    path = exports(tmp_path)
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ConfigError) as raised:
        load(path)
    assert any(message in problem and "recon.yaml:" in problem for problem in raised.value.problems), raised.value


def test_a_rule_needs_its_column_on_both_sides(tmp_path):
    path = exports(tmp_path)
    path.write_text(path.read_text().replace("note: {case: ignore}", "tax: {tolerance: 0.01}"))
    with pytest.raises(ConfigError, match="the rule of 'tax' needs this column on both sides"):
        commands.run_job(path, "nightly", silent)
