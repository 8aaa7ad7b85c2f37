"""kill −9 anywhere: every correction is applied once in the end, none is lost, none twice.

A real publish in a process of its own against a real target in another one: it is killed at its steps one
by one and after random times, and resumed. Corrections are deltas, so that one applied twice would show.
`make test-faults` kills hundreds of times; here it is a couple of dozen.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from consumers import SECRET, consumer
from published_runs import OPEN, configuration, correction, fates, finished, publication
from pubsub import PROJECT, pubsub

from examples.consumer import apply, connect
from jobs.audit import AuditLog
from jobs.publication import State

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

pytestmark = pytest.mark.usefixtures("webhook")

#: Fresh runs that are killed, and how often each, until it is left alone.
RUNS = int(os.environ.get("RECON_FAULT_RUNS", "5"))
KILLS = 4
CORRECTIONS = 24


@dataclass
class Publisher:
    """The process that forks publishers, and what it saw."""

    process: subprocess.Popen
    killed: int = 0
    steps: list[int] = field(default_factory=list)

    def publish(self, config: Path, run: str, at: int | str | None = None, after: float | None = None) -> dict:
        task = {"config": str(config), "run": run, "at": at, "after": after}
        self.process.stdin.write(json.dumps(task) + "\n")
        self.process.stdin.flush()
        told = json.loads(self.process.stdout.readline())
        self.killed += told["code"] == -9
        if told["steps"] is not None:
            self.steps.append(told["steps"])
        return told


@contextmanager
def publisher():
    path = os.pathsep.join(map(str, (ROOT, ROOT / "tests" / "servers")))
    command = [sys.executable, str(HERE / "publish_child.py")]
    environment = {**os.environ, "PYTHONPATH": path}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout.readline() == "ready\n"
    try:
        yield Publisher(process)
    finally:
        process.stdin.close()
        process.wait(300)


def prepared(config: Path, shop, run: str) -> dict[tuple[str, str], int]:
    """A run of deltas on keys of its own; what each should be in the end."""
    rows = [
        {**correction(run, n, 10, 10 + (n % 5) - 2 or 9), "sku": f"{run}-{n}"} for n in range(CORRECTIONS) if n % 5 != 2
    ]
    shop.stock({(row["sku"], "web"): row["change_from"] for row in rows})
    finished(config, rows, run)
    return {(row["sku"], "web"): (row["change_from"], row["value"]) for row in rows}


def test_whatever_is_killed_is_applied_exactly_once(tmp_path, record_property):
    dice = random.Random(20261125)
    counts: Counter[str] = Counter()
    with consumer(tmp_path) as shop, publisher() as child:
        sink = {"connector": "webhook", "url": shop.url, "secret": SECRET, "modes": ["delta"], "batch": 5}
        config = configuration(tmp_path, sink)
        wanted = prepared(config, shop, "whole")
        assert child.publish(config, "whole")["code"] == 0
        (whole,) = child.steps
        # plan, state, wave, marker, receipts and audit are steps, not the batches alone
        assert whole > 40
        for number in range(RUNS):
            run = f"run-{number}"
            # one lane goes without a pipeline, two are Beam's
            configuration(tmp_path, sink, {"gates": OPEN, "concurrency": 1 + number % 2})
            wanted |= prepared(config, shop, run)
            # the first kill of each run goes through the steps of a publish, the others are at random
            child.publish(config, run, at=number * max(1, whole // RUNS) % whole)
            for _ in range(KILLS - 1):
                if dice.random() < 0.5:
                    child.publish(config, run, at=dice.randrange(whole))
                else:
                    child.publish(config, run, after=dice.uniform(0.01, 0.9))
            told = child.publish(config, run)
            assert told["code"] == 0, told
            assert publication(config, run).state() is State.PUBLISHED
            counts.update(fates(publication(config, run))["status"].to_pylist())
        shown = shop.shown()
        once = sum(shown[key] == value for key, (_, value) in wanted.items())
        lost = sum(shown[key] == was for key, (was, _) in wanted.items())
        assert (len(wanted) - once, lost) == (0, 0)
        keys = [correction_id for _, correction_id in shop.applied()]
        assert len(keys) == len(set(keys)) == len(wanted)
        assert counts == {"APPLIED": RUNS * (len(wanted) // (RUNS + 1))}
        assert AuditLog(str(tmp_path / ".recon")).verify().problems == ()
        assert child.killed >= RUNS
        figures = {"kills": child.killed, "steps": whole, "corrections": len(wanted), "lost": lost,
                   "doubled": len(wanted) - once - lost}  # fmt: skip
        record_property("figures", figures)
        sys.stderr.write(f"faults: {figures}\n")


def test_a_target_that_forgets_its_keys_would_show(tmp_path, monkeypatch):
    """The harness can fail: without keys, what is sent twice is applied twice."""
    with consumer(tmp_path) as shop, publisher() as child:
        sink = {"connector": "webhook", "url": shop.url, "secret": SECRET, "modes": ["delta"], "batch": 50}
        config = configuration(tmp_path, sink)
        wanted = prepared(config, shop, "whole")
        child.publish(config, "whole", at="answered")
        shop.forget()
        assert child.publish(config, "whole")["code"] == 0
        doubled = [key for key, (was, value) in wanted.items() if shop.shown()[key] == 2 * value - was]
        assert len(doubled) == len(wanted)


def test_what_a_killed_publish_left_in_a_queue_is_applied_once(tmp_path):
    """Pub/Sub keeps what was sent twice; the consumer knows its keys again."""
    run = "queued"
    rows = [{**correction(run, n, 10, 8), "sku": f"{run}-{n}"} for n in range(2200)]
    with pubsub() as emulator, publisher() as child:
        topic = emulator.topic()
        subscription = emulator.subscription(topic)
        sink = {"connector": "pubsub", "project": PROJECT, "topic": topic, "endpoint": emulator.endpoint}
        config = configuration(tmp_path, sink)
        finished(config, rows, run)
        for at in ("answered", "answered", 30):
            child.publish(config, run, at=at)
        assert child.publish(config, run)["code"] == 0
        assert child.killed == 3
        sent = [json.loads(message.data) for message in emulator.backlog(subscription)]
    assert fates(publication(config, run))["status"].to_pylist() == ["SENT"] * len(rows)
    assert len(sent) > len(rows)
    shop = connect(str(tmp_path / "shop.db"))
    shop.executemany("insert into stock values (?, 'web', '10')", [(row["sku"],) for row in rows])
    assert {result["status"] for result in apply(shop, sent, datetime.now(UTC))} == {"APPLIED"}
    assert shop.execute("select quantity, count(*) from stock group by 1").fetchall() == [("8", len(rows))]
    shop.close()


def test_of_two_publishers_one_wins_and_the_other_says_so(tmp_path):
    with consumer(tmp_path) as shop, publisher() as one, publisher() as two:
        sink = {"connector": "webhook", "url": shop.url, "secret": SECRET, "modes": ["delta"], "batch": 1}
        config = configuration(tmp_path, sink, {"gates": OPEN, "rate": 10})
        wanted = prepared(config, shop, "run")
        task = json.dumps({"config": str(config), "run": "run", "at": None, "after": None}) + "\n"
        for each in (one, two):
            each.process.stdin.write(task)
            each.process.stdin.flush()
        told = sorted((json.loads(each.process.stdout.readline()) for each in (one, two)), key=lambda t: t["code"])
        assert [each["code"] for each in told] == [0, 5]
        assert "harness on" in told[1]["error"]
        assert "is publishing run since" in told[1]["error"]
        assert all(shop.shown()[key] == value for key, (_, value) in wanted.items())
