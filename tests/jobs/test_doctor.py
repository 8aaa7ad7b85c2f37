from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest

from jobs.config import load
from jobs.doctor import _told_the_time, examine
from jobs.init import init


@pytest.fixture
def path(tmp_path) -> Path:
    """A configuration that is fine."""
    return init(tmp_path / "shop")[0]


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def failures(path: Path) -> dict[str, str]:
    """What is wrong, by check; each says what to do."""
    wrong = [finding for finding in examine(path) if not finding.ok]
    assert all(re.fullmatch(r"[A-Z].*[a-z.')]", finding.remedy) for finding in wrong)
    return {finding.check: finding.message for finding in wrong}


def test_a_fresh_start_is_fine_and_says_what_there_is(path):
    findings = examine(path)
    assert [finding for finding in findings if not finding.ok] == []
    told = {finding.check: finding.message for finding in findings}
    assert told["configuration"] == f"{path}: 2 systems, 1 pair, 1 job"
    assert told["clock"].startswith("fixed at 2026-03-02T06:00:00+00:00")
    assert re.fullmatch(
        r"1 source in 1 split, about \d rows, as of 2026-03-02T05:00:00\+00:00, answered in \d\.\d\d s",
        told["source erp/stock"],
    )
    assert "complete up to 2026-03-02T05:05:00+00:00" in told["source storefront/events"]
    assert told["profile erp.on_hand"] == "version 1: The ERP's book stock"
    assert {"python", "packages", "time zones", "workspace"} <= set(told)


def test_it_leaves_nothing_behind(path):
    before = sorted(path.parent.rglob("*"))
    examine(path)
    assert sorted(path.parent.rglob("*")) == before
    (path.parent / ".recon").mkdir()
    examine(path)
    assert list((path.parent / ".recon").iterdir()) == []


def test_no_configuration(tmp_path):
    wrong = [finding for finding in examine(tmp_path / "recon.yaml") if not finding.ok]
    assert [finding.check for finding in wrong] == ["configuration"]
    assert "recon init" in wrong[0].remedy


def test_each_problem_of_the_configuration_is_a_finding(path):
    edit(path, "profile: erp.on_hand", "profile: erp.onhand")
    edit(path, "debounce: 1", "debounce: 0")
    wrong = [finding for finding in examine(path) if not finding.ok]
    assert [finding.check for finding in wrong] == ["configuration"] * 2
    assert ["erp.onhand" in wrong[0].message, "debounce" in wrong[1].message] == [True, True]


def test_a_source_that_is_not_there_and_one_without_its_column(path):
    (path.parent / "exports" / "erp-stock-20260302T0600.csv").unlink()
    edit(path, "ref: name", "ref: order_name")
    wrong = failures(path)
    assert set(wrong) == {"source erp/stock", "source storefront/events"}
    assert "no file matches" in wrong["source erp/stock"]
    assert "no column 'order_name'" in wrong["source storefront/events"]


def test_exports_newer_than_the_instant_of_judgement(path):
    edit(path, "now: 2026-03-02T06:00:00Z", "now: 2026-03-02T05:02:00Z")
    assert "is in the future" in failures(path)["source storefront/stock"]


def test_aliases_without_their_columns(path):
    (path.parent / "aliases.csv").write_text("from,to\n")
    edit(path, "# aliases: aliases.csv", "aliases: aliases.csv")
    assert "no column 'raw'" in failures(path)["system erp"]


def test_a_secret_in_a_source_is_not_told(path, monkeypatch):
    monkeypatch.setenv("EXPORTS", "hunter2")
    edit(path, "path: exports/erp-stock-*.csv", "path: ${EXPORTS}/erp-stock-*.csv")
    message = failures(path)["source erp/stock"]
    assert "hunter2" not in message
    assert "${EXPORTS}" in message


def test_a_workspace_that_cannot_be_written(path):
    (path.parent / ".recon").write_text("a file")
    assert ".recon: File exists" in failures(path)["workspace"]


def test_a_profile_of_the_users_own_that_nothing_uses_yet(path):
    (path.parent / "profiles").mkdir()
    (path.parent / "profiles" / "shop.available.yaml").write_text("{name: shop.available, basis: available}")
    assert "it is a mapping of kinds to -1, 0 or 1" in failures(path)["profile shop.available"]


def test_what_an_interrupted_run_left_is_told_and_harmless(path):
    root = Path(load(path).workspace)
    (root / "snapshots" / "erp" / "stock" / "20260302T060000Z-half").mkdir(parents=True)
    (root / "runs" / "20260302T060000Z-nightly").mkdir(parents=True)
    told = {finding.check: finding for finding in examine(path)}
    for check, name in (("snapshots", "Z-half"), ("runs", "Z-nightly")):
        assert told[check].ok
        assert "1 unfinished, harmless" in told[check].message
        assert name in told[check].message


def test_sources_and_outputs_tell_the_time(path, postgresql, warehouse):
    """A database and BigQuery are asked, and nothing is written to them."""
    postgresql.run("drop table if exists counted; create table counted as select 'MUG' as a, 'MAIN' as b, 3 as c")
    text = path.read_text(encoding="utf-8")
    start, end = (
        text.index("    stock:\n      connector: files\n      path: exports/erp-"),
        text.index("    events:", text.index("erp:\n")),
    )
    stock = {"connector": "sql", "url": postgresql.url, "table": "counted", "profile": "erp.on_hand",
             "columns": {"sku": "a", "location": "b", "quantity": "c"}}  # fmt: skip
    text = re.sub("now: .*\n", "", text[:start] + f"    stock: {json.dumps(stock)}\n" + text[end:])
    outputs = {"bigquery": {"dataset": "recon_doctor", **warehouse.endpoint}}
    path.write_text(f"{text}\noutputs: {json.dumps(outputs)}\n", encoding="utf-8")
    told = {finding.check: finding.message for finding in examine(path) if finding.ok}
    assert re.fullmatch(
        r"1 source in 1 split, about \d+ rows, as of \S+, answered in \S+ s, its clock agrees with ours",
        told["source erp/stock"],
    )
    assert told["output bigquery"].endswith("its clock agrees with ours")
    assert "recon_doctor" not in {each.dataset_id for each in warehouse.client.list_datasets()}


def test_a_clock_that_is_off_is_told():
    second, minutes = timedelta(seconds=1), timedelta(minutes=2)
    assert _told_the_time("source", "there", second / 2, second).message == "there, its clock agrees with ours"
    for ahead, words in ((minutes, "+120.0"), (-minutes, "-120.0")):
        finding = _told_the_time("source", "there", ahead, second)
        assert (finding.ok, finding.message) == (False, f"there, its clock is {words} s from ours")
    assert _told_the_time("source", "there", -2 * second, second).ok
