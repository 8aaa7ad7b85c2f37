"""The demo as a user runs it: files, the real job, and the verdict on every key."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from jobs.demo import DemoOutcome, run_demo
from jobs.explain import explain
from jobs.merchant_exports import WRITTEN
from jobs.oracle import ORDERS_PAIR
from reconcilers.errors import ConfigError


def silent(message: str, share: float | None = None) -> None:
    """No progress."""


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> DemoOutcome:
    return run_demo(tmp_path_factory.mktemp("demo") / "workspace", 7, silent)


def test_the_job_finds_exactly_what_was_seeded(outcome: DemoOutcome) -> None:
    assert outcome.wrong == []
    assert outcome.exact
    assert outcome.found == outcome.expected
    assert len(outcome.found) > 3000


def test_the_text_shows_each_fault_and_says_exact(outcome: DemoOutcome) -> None:
    text = outcome.text()
    for fault in outcome.faults:
        line = next(line for line in text.splitlines() if fault.story in line)
        assert (f"order {fault.order}" if fault.pair == ORDERS_PAIR else f"{fault.sku} at {fault.location}") in line
        assert f"{fault.cls} {fault.reason}" in line
    assert "all 10 seeded faults found, nothing else: exact" in text
    assert outcome.run.report_path in text
    hidden = next(fault.sku for fault in outcome.faults if fault.kind == "hidden drift")
    assert f"recon explain {hidden} -c {outcome.directory / 'recon.yaml'}" in text


def test_the_document_is_json_with_the_same_answer(outcome: DemoOutcome) -> None:
    document = json.loads(json.dumps(outcome.document(), default=str))
    assert document["exact"] is True
    assert document["wrong"] == []
    assert [fault["found"] for fault in document["seeded"]] == [
        f"{fault.cls} {fault.reason}" for fault in outcome.faults
    ]
    assert document["keys"] == sum(pair["keys"] for pair in document["summary"]["pairs"].values())
    assert Path(document["report"]).is_file()


def test_every_exported_row_is_understood(outcome: DemoOutcome) -> None:
    snapshots = outcome.run.summary["snapshots"]
    assert len(snapshots) == 10
    assert {(s["system"], s["dataset"]): s["rejected"] for s in snapshots if s["rejected"]} == {}
    assert all((outcome.directory / name).is_file() for name in WRITTEN)


def test_a_plain_diff_reports_far_more_and_misses_the_hidden_drift(outcome: DemoOutcome) -> None:
    assert len(outcome.differing) > 50 * len(outcome.faults)
    hidden = next(fault for fault in outcome.faults if fault.kind == "hidden drift")
    key = (hidden.pair, hidden.sku, hidden.location)
    assert key not in outcome.differing
    assert outcome.found[key] == ("BREAK", "UNEXPLAINED")
    plain = f"A plain diff reports {len(outcome.differing):,} of the {len(outcome.found):,} keys"
    assert plain in outcome.text()


def test_faults_of_orders_are_found_and_lead_to_the_stock_that_they_explain_and_back(outcome: DemoOutcome) -> None:
    assert outcome.orders_found == outcome.orders_expected
    assert outcome.run.summary["records"][ORDERS_PAIR]["classes"]["MATCHED"] > 300
    config = outcome.directory / "recon.yaml"
    page = Path(outcome.run.report_path).read_text()
    for fault in outcome.faults:
        if fault.order is None:
            continue
        story = explain(config, fault.order, None, None).text()
        assert f"order {fault.order}, {ORDERS_PAIR}: {fault.cls}" in story
        stock = f"explains the stock of {fault.sku} at {fault.location}, {fault.pair}: {fault.cls}"
        assert (stock in story) is (fault.pair != ORDERS_PAIR)
        back = explain(config, fault.sku, fault.location, None).text()
        assert (f"order {fault.order}, {ORDERS_PAIR}: {fault.cls}" in back) is (fault.pair != ORDERS_PAIR)
        assert (f">order <bdi>{fault.order}</bdi>: " in page) is (fault.pair != ORDERS_PAIR)


def test_every_link_within_the_report_leads_somewhere(outcome: DemoOutcome) -> None:
    page = Path(outcome.run.report_path).read_text()
    targets = re.findall(r'href="#([^"]+)"', page)
    assert sum(target.startswith("order-") for target in targets) == 4
    assert sum("-fault-" in target for target in targets) == 4
    for target in targets:
        assert page.count(f'id="{target}"') == 1, target


def test_a_wrong_verdict_is_not_called_exact(outcome: DemoOutcome) -> None:
    fine = next(key for key, (cls, _) in outcome.found.items() if cls == "MATCHED")
    made_up = replace(outcome, found={**outcome.found, fine: ("BREAK", "UNEXPLAINED")})
    assert not made_up.exact
    assert f"wrong: {fine[1]} at {fine[2]} ({fine[0]}) is BREAK UNEXPLAINED, not MATCHED" in made_up.text()

    fault = outcome.faults[0]
    key = (fault.pair, fault.sku, fault.location)
    missed = replace(outcome, found={**outcome.found, key: ("MATCHED", None)})
    assert not missed.exact
    assert f"not found: {fault.story}" in missed.text()

    less = replace(outcome, orders_found=outcome.orders_found - {min(outcome.orders_found, key=str)})
    assert not less.exact
    assert "not found: order" in less.text()

    lost = replace(outcome, found={k: v for k, v in outcome.found.items() if k != fine})
    assert not lost.exact
    assert "is not judged, not MATCHED" in lost.text()


def test_another_seed_replaces_an_earlier_demo(tmp_path: Path) -> None:
    run_demo(tmp_path, 1, silent)
    (tmp_path / "runs" / "left-over").mkdir()
    said: list[str] = []
    second = run_demo(tmp_path, 2, lambda message, share=None: said.append(message))
    assert second.exact
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [second.run.summary["run_id"]]
    assert said[0].startswith("replaying")


def _note(directory: Path) -> None:
    (directory / "notes.txt").write_text("mine")


def _config(directory: Path) -> None:
    (directory / "recon.yaml").write_text("workspace: .recon\n")


def _export(directory: Path) -> None:
    """Of a demo, but for one file in its exports."""
    mark = (Path(__file__).parents[2] / "examples" / "demo.yaml").read_text(encoding="utf-8")
    (directory / "recon.yaml").write_text(mark, encoding="utf-8")
    (directory / "exports" / "erp").mkdir(parents=True)
    (directory / "exports" / "erp" / "mine.csv").write_text("mine")


def _link(directory: Path) -> None:
    """Of a demo, but for where its runs are."""
    mark = (Path(__file__).parents[2] / "examples" / "demo.yaml").read_text(encoding="utf-8")
    (directory / "recon.yaml").write_text(mark, encoding="utf-8")
    elsewhere = directory.parent / "elsewhere"
    elsewhere.mkdir()
    (directory / "runs").symlink_to(elsewhere)


@pytest.mark.parametrize(
    ("put", "named"),
    [(_note, "notes.txt"), (_config, "recon.yaml"), (_export, "exports/erp/mine.csv"), (_link, "runs")],
)
def test_a_directory_with_something_else_is_left_alone(tmp_path: Path, put: Callable[[Path], None], named: str) -> None:
    directory = tmp_path / "mine"
    directory.mkdir()
    put(directory)
    before = sorted(directory.rglob("*"))
    with pytest.raises(ConfigError, match=f"{named} is not of an earlier demo"):
        run_demo(directory, 7, silent)
    assert sorted(directory.rglob("*")) == before


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("mine")
    with pytest.raises(ConfigError, match="is a file; name a directory"):
        run_demo(path, 7, silent)
    assert path.read_text() == "mine"
