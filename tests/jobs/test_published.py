"""What was published long ago is added up once, and its runs are read no more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from published_runs import configuration, correction, finished, publication, silent, snapshot

from jobs import publish, published
from jobs.published import SETTLES, carry, events_of, open_runs, unsettled
from pipelines.queries import queries
from reconcilers.profiles import load

NOW = datetime.now(UTC)
LONG_AGO = NOW - SETTLES - timedelta(days=10)
PROFILE = load("storefront.available")


@pytest.fixture
def shop(tmp_path):
    """Three runs of long ago and one of today, all handed over; of S1, 2 units were held back each time."""
    for number, at in enumerate((LONG_AGO, LONG_AGO + timedelta(days=1), LONG_AGO + timedelta(days=2), NOW)):
        run = f"run-{number}"
        config = configuration(tmp_path, {"connector": "files", "path": "outbox"}, now=at)
        fields = {"as_of": at - timedelta(hours=1)}
        held_back = correction(run, 1, 10 - number, 7 - number, unexplained=Decimal(1), **fields)
        whole = correction(run, 2, 10, 7, **fields)
        taken = [snapshot(system, at) for system in ("shop", "erp")]
        rows = [held_back, *([whole] if number == 1 else [])]
        finished(config, rows, run, snapshots=taken, started_at=at.isoformat())
        publish.apply(publication(config, run), "ann", silent)
    return publication(config, "run-3")


def told(shop, as_of=NOW):
    rows = [row for table in events_of(shop.workspace, "shop", PROFILE, 4, as_of) for row in table.to_pylist()]
    return sorted((row["sku"], row["quantity"], row["posted_at"] < LONG_AGO + SETTLES) for row in rows)


def damage(shop, *runs: str) -> None:
    """Whoever reads these, fails."""
    for run in runs:
        for path in (Path(shop.workspace.run_directory(run)) / "publish").rglob("*.parquet"):
            path.write_bytes(b"not parquet")


def test_runs_of_long_ago_are_added_up_and_not_read_again(shop):
    assert len(told(shop)) == 10
    carry(shop.workspace, "shop", 4, NOW)
    damage(shop, "run-0", "run-1", "run-2")
    # three times 2 units held back on purpose; of S2 nothing is left
    today = [("S1", -3, False), ("S1", 1, False)]
    assert told(shop) == [("S1", -6, True), *today]
    assert open_runs(shop.workspace, "shop") == ["run-3"]
    # again there is nothing to add; later the last one is added to the sum
    carry(shop.workspace, "shop", 4, NOW)
    assert told(shop) == [("S1", -6, True), *today]
    carry(shop.workspace, "shop", 4, NOW + SETTLES + timedelta(days=2))
    assert told(shop, NOW + timedelta(minutes=1)) == [("S1", -8, False)]


def test_what_may_still_settle_is_not_carried(shop):
    carry(shop.workspace, "shop", 4, LONG_AGO + SETTLES)
    assert len(open_runs(shop.workspace, "shop")) == 4


def test_whether_something_is_on_its_way_is_asked_of_what_has_not_expired(shop):
    damage(shop, "run-0", "run-1", "run-2")
    other = publication(shop.config.file, "run-0")
    with queries() as ask:
        unsettled(other, ask, "shop", NOW)
        assert ask.con.sql("from unsettled").fetchall() == [("S1", "web")]


def test_a_replay_of_long_ago_sees_the_postings_of_its_time(shop):
    carry(shop.workspace, "shop", 4, NOW)
    assert len(told(shop, as_of=LONG_AGO)) == 10


def test_two_that_add_up_at_once_lose_nothing(shop, monkeypatch):
    """The second writes a sum of fewer runs over that of the first: those that it left out are read again."""
    write = published.write_rows

    def late(path, tables, told):
        monkeypatch.setattr(published, "write_rows", write)
        carry(shop.workspace, "shop", 4, NOW)
        write(path, tables, told)

    monkeypatch.setattr(published, "write_rows", late)
    carry(shop.workspace, "shop", 4, LONG_AGO + SETTLES + timedelta(days=1, hours=1))
    assert set(open_runs(shop.workspace, "shop")) == {"run-1", "run-2", "run-3"}
    assert sum(quantity for _, quantity, old in told(shop) if old) == -6
