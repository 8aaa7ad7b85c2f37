"""The example of docs/balances.md as a run, and what a configuration may say of a balance."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from jobs import commands, explain, publish
from jobs.config import load
from jobs.doctor import examine
from jobs.publication import open_publication
from jobs.run import silent
from pipelines.reconcile import read_output
from reconcilers.errors import ConfigError

DOCUMENT = (Path(__file__).parents[2] / "docs" / "balances.md").read_text(encoding="utf-8")
PAIR = "app.points~crm.points"


def example(directory: Path, **changes) -> Path:
    """The files of the page; `changes` go into the pair."""
    for name, text in re.findall(r"`([\w-]+\.csv)`[^\n]*\n\n```csv\n(.*?)```", DOCUMENT, re.DOTALL):
        (directory / name).write_text(text)
    configuration = yaml.safe_load(re.search(r"```yaml\n(.*?)```", DOCUMENT, re.DOTALL)[1])
    configuration["pairs"][PAIR] |= changes
    path = directory / "recon.yaml"
    path.write_text(yaml.safe_dump(configuration))
    return path


def changed(path: Path, change) -> Path:
    configuration = yaml.safe_load(path.read_text())
    change(configuration)
    path.write_text(yaml.safe_dump(configuration))
    return path


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    return commands.run_job(example(tmp_path_factory.mktemp("balances")), "nightly", silent)


def levels(outcome) -> dict[str, tuple]:
    rows = read_output(str(Path(outcome.report_path).parent), "levels", PAIR).to_pylist()
    return {row["sku"]: (row["class"], row["reason"], int(row["unexplained"])) for row in rows}


VERDICTS = {
    "M-1": ("IN_FLIGHT", "EVENT_NOT_POSTED", 0),
    "M-2": ("LATE", "EVENT_NOT_POSTED", 0),
    "M-3": ("CONFLICT", "DUPLICATE_EVENT", 0),
    "M-4": ("BREAK", "UNEXPLAINED", 7),
    "M-5": ("BREAK", "UNEXPLAINED", 20),
    "M-6": ("MATCHED", None, 0),
}


def test_every_member_has_the_verdict_of_the_page(outcome):
    assert levels(outcome) == VERDICTS
    for member, (verdict, _, _) in VERDICTS.items():
        assert re.search(rf"^\* \*\*{member}\*\*[^*]*{'agrees' if verdict == 'MATCHED' else verdict}", DOCUMENT, re.M)
    assert not outcome.within_gates
    assert outcome.text().splitlines()[0] in DOCUMENT


def test_it_is_told_in_its_own_words(outcome):
    config = Path(outcome.report_path).parents[3] / "recon.yaml"
    assert explain.explain(config, "M-2", None, None).text() in DOCUMENT
    assert (
        "EARN O-991 twice in the target, or left out of the authority"
        in explain.explain(config, "M-5", None, None).text()
    )
    page = Path(outcome.report_path).read_text()
    assert "6 points balances." in page
    assert '<th scope="col">member</th>' in page
    for of_stock in ("SKU", "stock number", "Orders and movements"):
        assert of_stock not in page


def test_nothing_is_proposed_and_every_source_is_looked_at(outcome):
    assert outcome.summary["pairs"][PAIR]["corrections"] == 0
    directory = str(Path(outcome.report_path).parent)
    assert read_output(directory, "levels", PAIR)["publish"].null_count == 6
    checks = {each.check for each in examine(Path(directory).parents[2] / "recon.yaml")}
    assert {"source app.points/stock", "source app.points/events", "source crm.points/events"} <= checks


def test_a_system_is_captured_with_its_balances(tmp_path):
    path = example(tmp_path)
    taken = commands.take_snapshots(path, ["app"], silent)
    assert {(each["system"], each["dataset"]) for each in taken} == {("app.points", "stock"), ("app.points", "events")}
    assert len(commands.take_snapshots(path, ["crm.points"], silent)) == 2
    assert len(commands.take_snapshots(path, [], silent)) == 4


def test_buckets_and_a_key_of_two_columns_change_no_verdict(tmp_path):
    path = example(tmp_path)
    for file in tmp_path.glob("*.csv"):
        first, *rows = file.read_text().splitlines()
        file.write_text("\n".join([f"{first},programme", *(f"{row},gold" for row in rows)]) + "\n")

    def two(configuration):
        configuration["buckets"] = 4
        for system in configuration["systems"].values():
            system["balances"]["points"]["key"] = ["member", "programme"]

    assert levels(commands.run_job(changed(path, two), "nightly", silent)) == VERDICTS


def test_a_pair_that_says_so_tells_the_target(tmp_path):
    path = example(tmp_path, publish=True)

    def sink(configuration):
        configuration["systems"]["app"]["balances"]["points"]["sink"] = {"connector": "files", "path": "out"}
        gates = {"age": None, "feed_age": None, "to_zero": 1, "unmapped": 1}
        configuration["jobs"]["nightly"]["publish"] = {"gates": gates}

    ran = commands.run_job(changed(path, sink), "nightly", silent)
    assert publish.apply(open_publication(load(path), ran.summary["run_id"]), "ann", silent).counts == {"SENT": 2}
    sent = [json.loads(line) for file in (tmp_path / "out").iterdir() for line in file.read_text().splitlines()]
    assert {each["sku"]: (int(float(each["change_from"])), int(float(each["value"]))) for each in sent} == {
        "M-4": (107, 100),
        "M-5": (200, 180),
    }


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("systems", "app", "balances", "points", "effects", "BURN"), -2, "-2 is not 1, 0, -1 or 'signed'"),
        (("systems", "app", "balances", "points", "effects", "PUBLISH"), 1, "what a correction of ours is called"),
        (("systems", "app", "balances", "points", "key"), "ref", "'ref' is the name of another column"),
        (("systems", "app", "balances", "points", "events", "kinds", "gift"), "EARNED", "did you mean 'EARN'?"),
        (("systems", "app", "balances", "points", "figure", "columns", "memberr"), "m", "no column 'memberr'"),
        (("systems", "app", "balances", "points", "figure", "constants"), {"as_of": "now"}, "cannot be a constant"),
        (("systems", "crm", "balances", "points", "key"), ["member", "card"], "a key of 1 columns against one of 2"),
        (("pairs", PAIR, "sla", "BRUN"), "PT1H", "no balance of the pair has this kind; did you mean 'BURN'?"),
        (("pairs", PAIR, "safety_stock"), 3, "belongs to stock"),
        (("systems", "app.points"), {"events": []}, "has neither stock"),
    ],
)
def test_mistakes_are_told_with_their_line(tmp_path, place, value, message):
    def mistaken(configuration):
        *path, last = place
        for step in path:
            configuration = configuration[step]
        configuration[last] = value

    with pytest.raises(ConfigError) as raised:
        load(changed(example(tmp_path), mistaken))
    assert any(message in problem and "recon.yaml:" in problem for problem in raised.value.problems), raised.value
