"""Every command of the contract, through a real process: output, JSON, exit codes, errors."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from shell import recon

COMMANDS = (
    *("init", "demo", "doctor", "snapshot", "validate", "diff", "run", "report", "explain"),
    *("test", "runs", "show", "export", "profiles", "connectors", "replay", "gc"),
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """What `recon init` writes, run once."""
    directory = tmp_path_factory.mktemp("shop")
    assert recon("init", ".", at=directory).code == 0
    assert recon("run", "nightly", at=directory).code == 0
    return directory


@pytest.fixture
def fresh(tmp_path):
    """What `recon init` writes, not yet run."""
    assert recon("init", ".", at=tmp_path).code == 0
    return tmp_path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_help_lists_every_command():
    done = recon("--help", at=Path.cwd())
    listed = re.findall(r"^  (\w+) +\S", done.out.split("Commands:")[1], re.MULTILINE)
    assert set(listed) >= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command):
    done = recon(command, "--help", at=Path.cwd())
    assert done.code == 0
    assert "--json" in done.out
    assert len(done.out.splitlines()[2].strip()) > 20


def test_init_runs_as_it_stands_and_overwrites_nothing(fresh):
    again = recon("init", ".", at=fresh)
    assert again.code == 2
    assert all("exists already; nothing was written" in line for line in again.told)
    done = recon("run", "nightly", at=fresh)
    assert done.code == 0
    assert "1 of 6 stock numbers needs somebody" in done.out
    assert "report: " in done.out
    assert (fresh / ".recon" / "runs").is_dir()


@pytest.mark.parametrize(
    ("arguments", "keys"),
    [
        (["show"], {"run_id", "pairs", "snapshots", "validation", "gates", "verdict", "timings"}),
        (["report"], {"run_id", "pairs"}),
        (["run", "nightly"], {"run_id", "pairs"}),
        (["diff"], {"run_id", "pairs"}),
        (["diff", "storefront~erp"], {"run_id", "pairs"}),
    ],
)
def test_json_of_a_run_is_one_document_and_nothing_else(shop, arguments, keys):
    done = recon(*arguments, "--json", at=shop)
    assert done.json.keys() >= keys
    assert done.err == ""
    pair = done.json["pairs"]["storefront~erp"]
    assert pair["keys"] == sum(amounts["keys"] for amounts in pair["classes"].values()) == 6


@pytest.mark.parametrize(
    "arguments",
    [
        ["snapshot", "list"], ["snapshot", "erp"], ["validate"], ["runs"], ["doctor"], ["profiles"], ["connectors"],
        ["profiles", "show", "erp.on_hand"], ["explain", "STRAINER"],
    ],
)  # fmt: skip
def test_json_of_a_list_is_one_document_and_nothing_else(shop, arguments):
    done = recon(*arguments, "--json", at=shop)
    assert done.code == 0
    assert len(done.json) >= 1
    assert done.err == ""


def test_progress_is_on_stderr_in_plain_lines(shop):
    done = recon("run", "nightly", at=shop)
    assert "reconcile" in done.err
    assert "\x1b" not in done.err
    assert "snapshot …" not in done.out


def test_progress_says_what_was_rejected_and_why(tmp_path):
    recon("init", at=tmp_path)
    stock = next((tmp_path / "exports").glob("storefront-stock-*.csv"))
    stock.write_text(stock.read_text().replace(",37,", ",many,"))
    assert "storefront/stock: 5 rows, 1 rejected (available: not a number)" in recon("snapshot", at=tmp_path).err


def test_a_terminal_gets_a_line_that_is_overwritten(shop):
    main, terminal = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "cli.main", "diff"], cwd=shop, stdout=subprocess.PIPE, stderr=terminal
    ) as process:
        process.stdout.read()
    os.close(terminal)
    said = os.read(main, 1 << 16).decode()
    os.close(main)
    assert "\r\x1b[Kreconcile" in said
    assert said.endswith("\r\x1b[K")


def test_show_explain_and_runs(shop):
    assert "storefront~erp" in recon("show", at=shop).out
    explained = recon("explain", "STRAINER", "web", at=shop).out
    assert re.search(r"difference +\+3\n", explained)
    assert re.search(r"unexplained +\+3 ", explained)
    assert "nightly" in recon("runs", at=shop).out


def test_explain_adds_up(shop):
    for row in recon("explain", "STRAINER", "--json", at=shop).json:
        total = float(row["expected_diff"]) + float(row["unexplained"])
        assert total == float(row["raw_diff"]) == float(row["quantity_a"]) - float(row["quantity_b"])


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("what", ["levels", "breaks", "in_flight", "corrections"])
def test_export(shop, what, form):
    expected = {"levels": 6, "breaks": 4, "in_flight": 3, "corrections": 1}[what]
    path = shop / f"{what}.{form}"
    done = recon("export", "latest", what, "--format", form, "-o", path, at=shop)
    assert (done.code, done.out.split()[0]) == (0, str(expected))
    if form == "parquet":
        assert pq.read_table(path).num_rows == expected
    else:
        lines = path.read_text().splitlines()
        assert len(lines) == expected + (form == "csv")
        assert recon("export", "latest", what, "--format", form, at=shop).out.splitlines() == lines
    if form == "jsonl":
        assert all(json.loads(line)["pair"] == "storefront~erp" for line in lines)


def test_worked_cases(tmp_path):
    case = {
        "id": "C1",
        "title": "an open order",
        "a": {"system": "storefront", "basis": "available", "quantity": "8", "as_of": "2026-11-20T12:00:00Z"},
        "b": {"system": "erp", "basis": "on_hand", "quantity": "10", "as_of": "2026-11-20T12:00:00Z"},
        "events": [{"kind": "PLACE", "ref": "1", "quantity": "2", "posted": {"a": "2026-11-20T11:00:00Z"}}],
        "expect": {"class": "IN_FLIGHT", "reason": "ORDER_OPEN", "unexplained": "0", "publish": "8"},
    }
    (tmp_path / "good.jsonl").write_text(json.dumps(case) + "\n")
    assert recon("test", "good.jsonl", at=tmp_path).code == 0
    (tmp_path / "bad.jsonl").write_text(json.dumps({**case, "expect": {"class": "MATCHED"}}) + "\n")
    done = recon("test", "good.jsonl", "bad.jsonl", at=tmp_path)
    assert done.code == 1
    assert "class: expected MATCHED, found IN_FLIGHT" in done.out
    assert "1 passed, 1 failed" in done.out
    (found,) = recon("test", "bad.jsonl", "--json", at=tmp_path).json
    assert found["differences"] == {"class": {"expected": "MATCHED", "found": "IN_FLIGHT"}}


def test_a_chosen_snapshot(shop):
    taken = recon("snapshot", "list", "--json", at=shop).json
    first = next(row["snapshot_id"] for row in taken if (row["system"], row["dataset"]) == ("erp", "stock"))
    done = recon("diff", "--snapshot", f"erp/stock={first}", "--json", at=shop)
    used = {(s["system"], s["dataset"]): s["snapshot_id"] for s in done.json["snapshots"]}
    assert used["erp", "stock"] == first


def test_what_follows_two_dashes_goes_to_beam(shop):
    assert recon("diff", "--", "--runner=FnApiRunner", at=shop).code == 1
    done = recon("diff", "--", "--runner=NoSuchRunner", at=shop)
    assert done.code == 2
    assert "NoSuchRunner" in done.told[0]


def test_beyond_the_gates_is_1(fresh):
    edit(fresh / "recon.yaml", "breaks: 1", "breaks: 0")
    done = recon("run", "nightly", at=fresh)
    assert done.code == 1
    assert "breaks 1 is beyond 0" in done.out


def test_breaks_without_a_job_are_1(shop):
    assert recon("diff", at=shop).code == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "nightli"], "did you mean 'nightly'"),
        (["diff", "storefront~erpp"], "did you mean 'storefront~erp'"),
        (["snapshot", "erpp"], "did you mean 'erp'"),
        (["show", "nope"], "no finished run 'nope'"),
        (["explain", "NOPE"], "no SKU 'NOPE'"),
        (["export", "latest", "everything"], "nothing called 'everything'"),
        (["export", "latest", "levels", "--format", "xlsx"], "no format 'xlsx'"),
        (["profiles", "show", "erp.onhand"], "did you mean 'erp.on_hand'"),
        (["connectors", "nope"], "unknown connector 'nope'"),
        (["diff", "--snapshot", "erp"], "is not system=ID"),
        (["diff", "--snapshot", "erp/stock=nope"], "no snapshot 'nope'"),
        (["test", "none.jsonl"], "none.jsonl"),
        (["run"], "job"),
        (["--nope"], "No such option"),
        (["nope"], "No such command"),
    ],
)
def test_usage_is_2_in_one_line(shop, arguments, words):
    done = recon(*arguments, at=shop)
    assert (done.code, done.out) == (2, "")
    assert len(done.told) == 1
    assert words.lower() in done.told[0].lower()


def test_no_configuration(tmp_path):
    done = recon("run", "nightly", at=tmp_path)
    assert done.code == 2
    assert "recon init" in done.told[0]


def test_every_problem_of_a_configuration_at_once(fresh):
    edit(fresh / "recon.yaml", "profile: erp.on_hand", "profile: erp.onhand")
    edit(fresh / "recon.yaml", "timezone: Europe/Berlin", "timezone: Europe/Berlim")
    done = recon("run", "nightly", at=fresh)
    assert done.code == 2
    assert len(done.told) == 2
    assert all(re.search(r"recon\.yaml:\d+: ", line) for line in done.told)
    assert recon("doctor", at=fresh).code == 2


def stock_of(directory, system="storefront"):
    return next((directory / "exports").glob(f"{system}-stock-*.csv"))


def test_a_critical_expectation_is_3(fresh):
    path = stock_of(fresh)
    path.write_text(path.read_text() + path.read_text().splitlines()[1] + "\n")
    done = recon("run", "nightly", at=fresh)
    assert done.code == 3
    assert "no SKU is twice at one location" in done.told[0]
    (report,) = (fresh / ".recon/runs").glob("*/report.html")
    assert "no SKU is twice at one location" in report.read_text()
    assert recon("validate", at=fresh).code == 3


BAD_FILES = {
    "missing": (None, 4, "no file matches"),
    "empty": (b"", 4, "empty"),
    "binary": (bytes(range(256)) * 8, 4, "binary"),
    "wrong columns": (b"a,b\n1,2\n", 2, "no column"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_that_cannot_be_used(fresh, name):
    data, code, words = BAD_FILES[name]
    path = stock_of(fresh)
    path.unlink()
    if data is not None:
        path.write_bytes(data)
    done = recon("run", "nightly", at=fresh)
    assert done.code == code
    assert len(done.told) == 1
    assert words in done.told[0]
    assert "storefront/stock" in done.told[0] or path.name in done.told[0]
    assert not list(fresh.rglob("manifest.json"))


def test_a_file_cut_off_in_the_middle(fresh):
    path = stock_of(fresh)
    data = path.read_bytes().rstrip()
    path.write_bytes(data[: data.rindex(b",")].rsplit(b",", 1)[0])
    done = recon("run", "nightly", at=fresh)
    assert (done.code, len(done.told)) == (4, 1)
    assert "cut off" in done.told[0]


def test_strange_skus_and_bad_rows_are_kept_or_counted(fresh):
    path = stock_of(fresh)
    header = path.read_text().splitlines()[0]
    width = header.count(",") + 1
    row = path.read_text().splitlines()[1].split(",")
    strange = ["0012", "É/ü", "x" * 300, '"=1+1"', "<script>"]
    lines = [",".join([sku, *row[1:]]) for sku in strange]
    lines += [",".join(["T1", *["many"] * (width - 1)]), ",".join(["", *row[1:]])]
    path.write_text(path.read_text() + "\n".join(lines) + "\n")
    taken = recon("snapshot", "storefront", "--json", at=fresh).json
    stock = next(each for each in taken if each["dataset"] == "stock")
    assert (stock["rows"], stock["rejected"]) == (6 + len(strange), 2)
    assert recon("diff", at=fresh).code in (1, 2)  # the other system was never captured
    exported = [recon("snapshot", "erp", at=fresh), recon("diff", at=fresh)]
    assert exported[1].code == 3 or exported[1].code == 1
    if exported[1].code == 1:
        out = recon("export", "latest", "levels", at=fresh).out
        assert '"\'=1+1"' in out
        assert "0012" in out


def test_an_as_of_in_the_future(fresh):
    path = stock_of(fresh)
    path.rename(path.with_name(re.sub(r"\d{8}T", "20990101T", path.name)))
    done = recon("run", "nightly", at=fresh)
    assert (done.code, len(done.told)) == (4, 1)
    assert "2099-01-01" in done.told[0]
    assert "future" in done.told[0]


def test_a_workspace_that_cannot_be_written(fresh):
    shutil.rmtree(fresh / ".recon", ignore_errors=True)
    (fresh / ".recon").write_text("in the way")
    done = recon("run", "nightly", at=fresh)
    assert (done.code, len(done.told)) == (4, 1)
    assert ".recon" in done.told[0]


def test_an_output_that_cannot_be_written(shop):
    done = recon("export", "latest", "levels", "-o", "/no/such/place/levels.csv", at=shop)
    assert (done.code, len(done.told)) == (4, 1)
    done = recon("report", "-o", "/proc/nothing/report.html", at=shop)
    assert (done.code, len(done.told)) == (4, 1)


def test_an_interrupt_is_130(fresh):
    with subprocess.Popen(
        [sys.executable, "-m", "cli.main", "run", "nightly"], cwd=fresh, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr.readline()  # it has begun
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    assert process.returncode == 130
    assert said.splitlines()[-1] == "recon: interrupted"
    assert "Traceback" not in said


def test_a_second_run_remembers_the_first(fresh):
    recon("run", "nightly", at=fresh)
    recon("run", "nightly", at=fresh)
    out = recon("export", "latest", "breaks", "--format", "jsonl", at=fresh).out
    seen = {row["sku"]: row for row in map(json.loads, out.splitlines())}
    assert seen["STRAINER"]["runs_seen"] == 2
    assert seen["STRAINER"]["first_seen_run"] != seen["STRAINER"]["last_seen_run"]
