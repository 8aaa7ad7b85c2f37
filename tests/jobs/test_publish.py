"""Publishing against a real target, the example consumer in a process of its own, and its faults."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from consumers import SECRET, consumer
from published_runs import OPEN, PAIR, configuration, correction, fates, finished, publication, silent, snapshot
from pubsub import PROJECT
from storage import storage

from jobs import publish
from jobs.approve import decide
from jobs.audit import AuditLog
from jobs.publication import State
from jobs.publish_commands import Published
from jobs.published import refused_of
from jobs.rollback import propose_rollback
from pipelines import filesystem, lock
from reconcilers.errors import ConfigError, Refused, Unreachable

pytestmark = pytest.mark.usefixtures("webhook")


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with consumer(tmp_path_factory.mktemp("shop"), "faulty_consumer") as running:
        yield running


@pytest.fixture
def shop(service):
    """The consumer, empty, without faults."""
    service.faults()
    service.clear()
    return service


def webhook_of(service, **options) -> dict:
    return {"connector": "webhook", "url": service.url, "secret": SECRET, "batch": 4, **options}


def a_run(tmp_path, shop, rows, sink=None, publish=None, **more):
    """A finished run whose target shows what the run saw; its publication."""
    config = configuration(tmp_path, sink or webhook_of(shop), publish, **more)
    if shop is not None:
        shop.stock({(row["sku"], "web"): row["seen"] for row in rows})
    finished(config, rows)
    return publication(config)


def numbers(shop) -> list[int]:
    return [int(quantity) for _, quantity in sorted(shop.shown().items())]


def test_nothing_is_sent_and_nothing_written_without_apply(tmp_path, shop):
    run = a_run(tmp_path, shop, [correction("run-1", n, 10, 7) for n in range(3)])
    outcome = publish.preview(run)
    assert outcome.corrections.head(9)["value"].to_pylist() == [7, 7, 7]
    assert outcome.exit_code == 0
    assert numbers(shop) == [10, 10, 10]
    assert not Path(run.place).exists()
    assert run.state() is State.PROPOSED


def test_every_correction_is_applied_and_has_a_receipt(tmp_path, shop):
    run = a_run(tmp_path, shop, [correction("run-1", n, 10, 7) for n in range(9)])
    outcome = publish.apply(run, "ann", silent)
    assert (outcome.exit_code, outcome.counts) == (0, {"APPLIED": 9})
    assert numbers(shop) == [7] * 9
    assert run.state() is State.PUBLISHED
    assert publish.verify(run) == {"APPLIED": 9}


def test_several_lanes_send_everything_once(tmp_path, shop):
    rules = {"gates": OPEN, "concurrency": 3}
    run = a_run(
        tmp_path, shop, [correction("run-1", n, 10, 7) for n in range(22)], webhook_of(shop, modes=["delta"]), rules
    )
    assert publish.apply(run, "ann", silent).counts == {"APPLIED": 22}
    assert numbers(shop) == [7] * 22


def test_a_run_published_twice_is_sent_once(tmp_path, shop):
    run = a_run(tmp_path, shop, [correction("run-1", 1, 10, 7)], webhook_of(shop, modes=["delta"]))
    for _ in range(2):
        outcome = publish.apply(run, "ann", silent)
    assert (len(outcome.corrections), outcome.counts, numbers(shop)) == (0, {"APPLIED": 1}, [7])
    assert len(shop.applied()) == 1


def test_a_workspace_in_a_bucket(tmp_path, shop):
    """Plan, waves, receipts, lock and audit as objects; a second publisher is told, a second publish does nothing."""
    with storage("recon-publish") as bucket:
        rows = [correction("run-1", n, 10, 7) for n in range(5)]
        config = a_run(tmp_path, shop, rows, webhook_of(shop, modes=["delta"])).config.file
        for path in (tmp_path / ".recon").rglob("*"):
            if path.is_file():
                name = path.relative_to(tmp_path / ".recon").as_posix()
                filesystem.write_atomic(f"{bucket}/ws/{name}", path.read_bytes())
        configuration(tmp_path, webhook_of(shop, modes=["delta"]), workspace=f"{bucket}/ws")
        run = publication(config)
        with lock.locked(run.lock, "bob", "publishing run-1"), pytest.raises(Refused, match="bob on"):
            publish.apply(run, "ann", silent)
        for _ in range(2):
            assert publish.apply(run, "ann", silent).counts == {"APPLIED": 5}
        assert (numbers(shop), len(shop.applied())) == ([7] * 5, 5)
        log = AuditLog(f"{bucket}/ws").verify()
    assert (log.records, log.problems) == (4, ())


def test_what_the_target_refuses_never_fails_its_batch(tmp_path, shop):
    rows = [correction("run-1", n, 10, 7) for n in range(4)]
    run = a_run(tmp_path, shop, rows)
    shop.clear()
    shop.stock({(f"S{n}", "web"): 10 for n in (0, 1, 3)})
    assert publish.apply(run, "ann", silent).counts == {"APPLIED": 3, "REJECTED": 1}
    assert numbers(shop) == [7, 7, 7]
    now = datetime.now(UTC)
    (refused,) = refused_of(run.workspace, PAIR, 4, now).to_pylist()
    why = f"refused {now:%Y-%m-%d}: no such SKU at this location"
    assert refused == {"sku": "S2", "location": "web", "unexplained": 3, "evidence": why}
    assert refused_of(run.workspace, PAIR, 4, now - timedelta(days=1)).num_rows == 0


def test_what_did_not_take_effect_is_listed_with_its_reason(tmp_path, shop):
    run = a_run(tmp_path, shop, [correction("run-1", n, 10, 7) for n in range(3)])
    shop.clear()
    shop.stock({("S0", "web"): 10, ("S1", "web"): 9})
    done = Published(publish.apply(run, "ann", silent))
    told = [("S1", "STALE", "shows 9, not 10, and no feed of orders says why")]
    told += [("S2", "REJECTED", "no such SKU at this location")]
    assert [(row["sku"], row["status"], row["message"]) for row in done.document()["refused"]] == told
    lines = "\n".join(done.lines()).splitlines()
    for sku, status, message in told:
        assert f"{PAIR}  {sku}   web       {status:8}  {message}" in lines


@pytest.mark.parametrize("fault", ["silent", "partial", "down"])
def test_what_may_have_been_applied_goes_again_with_the_same_key(tmp_path, shop, fault):
    """Deltas: applied twice they would show."""
    run = a_run(tmp_path, shop, [correction("run-1", n, 10, 7) for n in range(4)], webhook_of(shop, modes=["delta"]))
    shop.faults(fault)
    assert publish.apply(run, "ann", silent).counts == {"APPLIED": 4}
    assert numbers(shop) == [7] * 4
    assert len(shop.applied()) == 4


def test_a_target_that_goes_away_in_the_middle_gets_the_rest_later(tmp_path, shop, monkeypatch):
    monkeypatch.setattr("pipelines.publish.PAUSES", (0.0,))
    run = a_run(tmp_path, shop, [correction("run-1", n, 10, 7) for n in range(12)], webhook_of(shop, modes=["delta"]))
    shop.faults("", "silent", "down", "down", "down")
    outcome = publish.apply(run, "ann", silent)
    assert outcome.exit_code == 4
    assert run.state() is State.PUBLISHING
    assert outcome.counts["APPLIED"] == 4
    shop.faults()
    assert publish.apply(run, "ann", silent).counts == {"APPLIED": 12}
    assert numbers(shop) == [7] * 12
    assert len(shop.applied()) == 12


def test_a_broker_that_goes_away_in_the_middle_gets_the_rest_later(tmp_path, emulator, monkeypatch):
    """Stopped after the first of three batches; what it had heard by then may come twice, with the same keys."""
    monkeypatch.setattr("pipelines.publish.PAUSES", ())
    monkeypatch.setattr("pipelines.connectors.pubsub_service.CALL_SECONDS", 3.0)
    topic = emulator.topic()
    subscription = emulator.subscription(topic)
    sink = {"connector": "pubsub", "project": PROJECT, "topic": topic, "endpoint": emulator.endpoint, "ordered": False}
    run = a_run(tmp_path, None, [correction("run-1", n, 10, 7) for n in range(2500)], sink)

    def stopped(message: str, share: float) -> None:
        emulator.process.send_signal(signal.SIGSTOP)

    try:
        outcome = publish.apply(run, "ann", stopped)
    finally:
        emulator.process.send_signal(signal.SIGCONT)
    assert (outcome.exit_code, run.state()) == (4, State.PUBLISHING)
    monkeypatch.setattr("pipelines.connectors.pubsub_service.CALL_SECONDS", 30.0)
    assert publish.apply(run, "ann", silent).counts == {"SENT": 2500}
    sent = [json.loads(message.data)["idempotency_key"] for message in emulator.backlog(subscription)]
    assert set(sent) == set(fates(run)["idempotency_key"].to_pylist())


def a_run_with_orders(tmp_path, shop, rows):
    feed = {"events": {"connector": "sql", "url": f"sqlite:///{shop.database}", "table": "orders"}}
    return a_run(tmp_path, shop, rows, webhook_of(shop, database=str(shop.database)), owner=feed)


def test_a_unit_that_sells_between_read_and_write_stays_sold(tmp_path, shop):
    """10 in the shop where 7 is right; one sells while we write: 6, under a new key, never 7 again."""
    run = a_run_with_orders(tmp_path, shop, [correction("run-1", n, 10, 7) for n in (1, 2)])
    shop.faults("sell:S1")
    outcome = publish.apply(run, "ann", silent)
    assert outcome.counts == {"APPLIED": 2}
    assert numbers(shop) == [6, 7]
    fate = {row["sku"]: row for row in fates(run).to_pylist()}
    assert [fate[sku]["attempt"] for sku in ("S1", "S2")] == [2, 1]
    assert (fate["S1"]["value"], fate["S1"]["change_from"], fate["S1"]["delta"]) == (6, 9, -3)


def test_a_number_that_changed_for_no_known_reason_is_left_alone(tmp_path, shop):
    run = a_run_with_orders(tmp_path, shop, [correction("run-1", 1, 10, 7)])
    shop.faults("steal:S1")
    outcome = publish.apply(run, "ann", silent)
    assert (outcome.counts, numbers(shop)) == ({"STALE": 1}, [9])
    assert "shows 9, but 10 and the orders since make 10" in fates(run)["message"].to_pylist()[0]


def test_a_number_that_somebody_corrected_already_needs_nothing(tmp_path, shop):
    run = a_run_with_orders(tmp_path, shop, [correction("run-1", 1, 10, 9)])
    shop.faults("steal:S1")
    assert publish.apply(run, "ann", silent).counts == {"VERIFIED": 1}
    assert numbers(shop) == [9]


def test_an_absolute_number_is_read_back(tmp_path, shop):
    sink = webhook_of(shop, modes=["absolute"], database=str(shop.database))
    run = a_run(tmp_path, shop, [correction("run-1", 1, 10, 7)], sink)
    assert publish.apply(run, "ann", silent).counts == {"VERIFIED": 1}


def test_what_has_expired_is_not_sent(tmp_path, shop):
    run = a_run(tmp_path, shop, [correction("run-1", 1, 10, 7)], publish={"gates": OPEN, "expires": "PT1S"})
    publish._proposed(run, "ann", datetime.now(UTC) - timedelta(seconds=2))
    assert publish.apply(run, "ann", silent).counts == {"EXPIRED": 1}
    assert numbers(shop) == [10]


def test_a_clock_that_was_set_back_sends_nothing(tmp_path, shop):
    run = a_run(tmp_path, shop, [correction("run-1", 1, 10, 7)])
    publish._proposed(run, "ann", datetime.now(UTC) + timedelta(hours=2))
    with pytest.raises(Refused, match="the clock says .* set it right"):
        publish.apply(run, "ann", silent)
    assert numbers(shop) == [10]


def test_a_gate_that_trips_holds_the_pair(tmp_path, shop):
    run = a_run(
        tmp_path, shop, [correction("run-1", n, 10, 7) for n in range(3)], publish={"gates": {**OPEN, "units": 8}}
    )
    outcome = publish.apply(run, "ann", silent)
    assert (outcome.exit_code, outcome.held, numbers(shop)) == (5, (PAIR,), [10, 10, 10])
    assert run.state() is State.HELD
    assert json.loads((Path(run.place) / "state.json").read_text())["notes"] == [
        f"{PAIR}: corrections of 9 units in all (gate units, bound 8)"
    ]


def test_a_gate_can_be_let_go_by_somebody_else(tmp_path, shop):
    run = a_run(tmp_path, shop, [correction("run-1", 1, 10, 1)], publish={"gates": {**OPEN, "largest": 8}})
    publish.apply(run, "ann", silent)
    with pytest.raises(Refused, match="'ann' proposed it"):
        decide(run, "approve", "ann", "it is right", release=["largest"])
    decide(run, "approve", "bob", "counted", release=["largest"])
    assert publish.apply(run, "ann", silent).exit_code == 0
    assert numbers(shop) == [1]


def test_a_run_that_was_judged_again_since_is_held(tmp_path, shop):
    run = a_run(tmp_path, shop, [correction("run-1", 1, 10, 7)])
    finished(tmp_path / "recon.yaml", [], "run-2", started_at=(datetime.now(UTC) + timedelta(seconds=1)).isoformat())
    outcome = publish.apply(run, "ann", silent)
    assert [v.gate for v in outcome.verdicts if not v.passed] == ["superseded"]
    assert numbers(shop) == [10]


def test_old_numbers_and_odd_row_counts_hold(tmp_path, shop):
    old = datetime.now(UTC) - timedelta(days=3)
    config = configuration(tmp_path, webhook_of(shop), {"gates": OPEN})
    for n in range(3):
        taken = [snapshot("erp", old, rows=1000, snapshot_id=f"s{n}")]
        started = (old + timedelta(hours=n)).isoformat()
        finished(config, [], f"earlier-{n}", snapshots=taken, started_at=started)
    finished(config, [correction("run-1", 1, 10, 7)], snapshots=[snapshot("erp", old, rows=500, snapshot_id="now")])
    outcome = publish.preview(publication(config))
    assert {v.gate for v in outcome.verdicts if not v.passed} == {"age", "row_count"}


def test_what_needs_approval_waits_for_another_person(tmp_path, shop):
    policy = {"gates": OPEN, "approval": {"units": 5, "policy": "november"}}
    rows = [correction("run-1", 1, 10, 7), correction("run-1", 2, 10, 2), correction("run-1", 3, 10, 1)]
    run = a_run(tmp_path, shop, rows, publish=policy)
    outcome = publish.apply(run, "ann", silent)
    assert (outcome.exit_code, len(outcome.waiting), numbers(shop)) == (5, 2, [7, 10, 10])
    with pytest.raises(Refused, match="proposed it"):
        decide(run, "approve", "Ann", "fine")
    decide(run, "approve", "bob", "counted both", only=["S2@web"])
    decide(run, "reject", "bob", "recount first", only=["S3"])
    assert publish.apply(run, "ann", silent).exit_code == 0
    assert numbers(shop) == [7, 2, 10]
    records = [r for r in AuditLog(run.workspace.root).records() if r["action"] in ("approve", "reject")]
    assert [(r["actor"], r["evidence"]["corrections"]) for r in records] == [("bob", 1), ("bob", 1)]
    assert all(r["evidence"]["policy"].startswith("november@") for r in records)


def test_approving_before_anything_is_proposed_does_not_get_round_four_eyes(tmp_path, shop):
    run = a_run(tmp_path, shop, [correction("run-1", 1, 10, 2)], publish={"gates": OPEN, "approval": {"units": 5}})
    decide(run, "approve", "ann", "")
    assert publish.apply(run, "ann", silent).exit_code == 5
    decide(run, "approve", "bob", "")
    assert publish.apply(run, "ann", silent).exit_code == 0


def test_a_decision_of_an_older_version_is_told_before_anything_is_done(tmp_path, shop):
    rows = [correction("run-1", 1, 10, 2), correction("run-1", 2, 10, 7)]
    run = a_run(tmp_path, shop, rows, publish={"gates": OPEN})
    decide(run, "reject", "bob", "recount first", only=["S2"])
    (record,) = Path(run.place, "decisions").glob("*.json")
    record.with_suffix(".parquet").unlink()
    old = {**json.loads(record.read_text()), "corrections": ["run-1-2"]}
    record.write_text(json.dumps(old))
    for attempt in (
        lambda: publish.preview(run),
        lambda: publish.apply(run, "ann", silent),
        lambda: decide(run, "reject", "bob", "again"),
    ):
        with pytest.raises(ConfigError, match=f"{record.name}: a decision of an older version.* decide again"):
            attempt()
    assert numbers(shop) == [10, 10]
    assert [path.name for path in record.parent.iterdir()] == [record.name]
    record.rename(tmp_path / record.name)
    decide(run, "reject", "bob", "recount first", only=["S2"])
    assert publish.apply(run, "ann", silent).exit_code == 0
    assert numbers(shop) == [2, 10]


def test_what_nobody_proposed_cannot_be_decided(tmp_path, shop):
    run = a_run(tmp_path, shop, [correction("run-1", 1, 10, 2)])
    with pytest.raises(ConfigError, match="'S9' is no correction"):
        decide(run, "approve", "bob", "", only=["S9"])
    with pytest.raises(ConfigError, match="no gate 'units!'"):
        decide(run, "approve", "bob", "", release=["units!"])


def test_a_rollback_restores_and_a_rollback_of_it_repeats(tmp_path, shop):
    run = a_run(tmp_path, shop, [correction("run-1", n, 10, 7 + n) for n in range(3)])
    publish.apply(run, "ann", silent)
    assert numbers(shop) == [7, 8, 9]
    undone = propose_rollback(run, "ann")
    assert numbers(shop) == [7, 8, 9]
    assert publish.apply(undone, "ann", silent).counts == {"APPLIED": 3}
    assert numbers(shop) == [10, 10, 10]
    assert run.state() is State.ROLLED_BACK
    assert {row["status"] for row in fates(run).to_pylist()} == {"ROLLED_BACK"}
    with pytest.raises(Refused, match="rolled back already"):
        propose_rollback(run, "ann")
    again = propose_rollback(undone, "ann")
    publish.apply(again, "ann", silent)
    assert numbers(shop) == [7, 8, 9]
    columns = ["sku", "value", "change_from", "delta", "unexplained"]
    original, repeated = (fates(x).select(columns).sort_by("sku").to_pylist() for x in (run, again))
    assert repeated == original


def test_a_rollback_goes_through_the_same_gates(tmp_path, shop):
    run = a_run(tmp_path, shop, [correction("run-1", 1, 10, 7)], publish={"gates": {**OPEN, "units": 3}})
    publish.apply(run, "ann", silent)
    undone = propose_rollback(run, "ann")
    configuration(tmp_path, webhook_of(shop), {"gates": {**OPEN, "units": 2}})
    held = publication(tmp_path / "recon.yaml", undone.run_id)
    assert publish.apply(held, "ann", silent).exit_code == 5
    assert numbers(shop) == [7]


def test_a_number_that_is_told_already_and_on_its_way_is_not_told_twice(tmp_path):
    """A file is handed over, nobody knows yet; a second run must not add another delta to it."""
    run = a_run(tmp_path, None, [correction("run-1", 1, 10, 7)], {"connector": "files", "path": "outbox"})
    assert publish.apply(run, "ann", silent).counts == {"SENT": 1}
    finished(tmp_path / "recon.yaml", [correction("run-2", 1, 10, 7), correction("run-2", 2, 10, 7)], "run-2")
    outcome = publish.preview(publication(tmp_path / "recon.yaml", "run-2"))
    assert outcome.corrections.head(9)["sku"].to_pylist() == ["S2"]
    assert list(outcome.left_out.values()) == [1]


def test_a_target_is_told_its_own_name_and_word(tmp_path, shop):
    (tmp_path / "aliases.csv").write_text("raw,sku\nOWN-1,S1\nA,S2\nB,S2\n")
    sink = {**webhook_of(shop, database=str(shop.database)), "reasons": {"UNEXPLAINED": "correction"}}
    run = a_run(tmp_path, shop, [correction("run-1", n, 10, 7) for n in (1, 2)], sink, owner={"aliases": "aliases.csv"})
    shop.stock({("OWN-1", "web"): Decimal(10)})
    outcome = publish.apply(run, "ann", silent)
    assert (outcome.counts, list(outcome.left_out.values())) == ({"APPLIED": 1}, [1])
    assert shop.shown()[("OWN-1", "web")] == 7
    assert fates(run).select(["sku", "reason", "why"]).to_pylist() == [
        {"sku": "S1", "reason": "correction", "why": "UNEXPLAINED"}
    ]


def test_a_run_of_no_job_that_publishes_is_refused(tmp_path, shop):
    config = configuration(tmp_path, webhook_of(shop), jobs={"nightly": {"pairs": [PAIR]}})
    finished(config, [correction("run-1", 1, 10, 7)])
    with pytest.raises(ConfigError, match="jobs.nightly has no publish"):
        publish.preview(publication(config))


@pytest.fixture
def small_disk(tmp_path, require):
    """A file system of 2 MB."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no tmpfs to fill: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_full_disk_loses_nothing(small_disk, shop):
    run = a_run(small_disk, shop, [correction("run-1", n, 10, 7) for n in range(40)], webhook_of(shop, modes=["delta"]))
    publish._proposed(run, "ann", datetime.now(UTC))
    filler = small_disk / "filler"
    with filler.open("wb") as file:
        free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
        file.write(b"x" * max(0, free - 60_000))
    try:
        told = publish.apply(run, "ann", silent).trouble
    except Unreachable as error:
        told = (str(error),)
    assert any("No space left" in line for line in told)
    filler.unlink()
    assert publish.apply(run, "ann", silent).counts == {"APPLIED": 40}
    assert numbers(shop) == [7] * 40
    assert AuditLog(run.workspace.root).verify().problems == ()
