"""Leases between real processes, and on a real PostgreSQL that is killed."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import databases
import forked
import nights
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from jobs import ledger as ledgers
from jobs.config import load
from jobs.init import init
from jobs.lease import acquire, held, living
from jobs.ledger import open_ledger
from reconcilers.errors import ConfigError, Refused, Unreachable

SHORT = timedelta(seconds=0.6)


@pytest.fixture
def shop(tmp_path):
    init(tmp_path)
    return tmp_path / "recon.yaml"


@pytest.fixture
def ledger(shop):
    opened = open_ledger(load(shop))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def server():
    with databases.postgresql() as running:
        yield running


def hold(config, told):
    """Hold the lease on a job, with a heartbeat."""
    with held(open_ledger(load(config)), ["job nightly"], ttl=SHORT):
        told.touch()
        time.sleep(60)


def hang(config, told):
    """Take the lease on a job, hang, and go on when somebody wakes the process."""
    lease = acquire(open_ledger(load(config)), ["job nightly"], ttl=SHORT)
    told.touch()
    os.kill(os.getpid(), signal.SIGSTOP)
    try:
        lease.check()
    except Refused:
        os._exit(5)
    os._exit(0)


class Set:
    """A clock that somebody has set."""

    def __init__(self, by):
        self.by = by

    def now(self):
        return datetime.now(UTC) + self.by

    def wait(self, until, seconds):
        return until.wait(seconds)


def test_one_at_a_time_and_all_or_nothing(ledger):
    with held(ledger, ["job nightly", "pair a~b"]):
        with pytest.raises(Refused, match=rf"pair a~b: process {os.getpid()} on \S+ is at it, last heard of \d+ s ago"):
            acquire(ledger, ["job other", "pair a~b"])
        assert set(living(ledger)) == {"job nightly", "pair a~b"}
    assert living(ledger) == {}
    assert acquire(ledger, ["pair a~b"]).tokens == {"pair a~b": 2}


def test_a_holder_that_was_killed_is_known_to_be_dead_at_once(shop, ledger, tmp_path):
    process = forked.start(hold, shop, tmp_path / "held")
    nights.until((tmp_path / "held").exists)
    process.kill()
    process.join()
    with held(ledger, ["job nightly"]) as lease:
        lease.check()


def test_a_holder_that_hangs_loses_it_and_stops_when_it_wakes_up(shop, ledger, tmp_path):
    process = forked.start(hang, shop, tmp_path / "held")
    nights.until((tmp_path / "held").exists)
    nights.until(lambda: not living(ledger, ttl=SHORT))
    lease = acquire(ledger, ["job nightly"], ttl=SHORT)
    os.kill(process.pid, signal.SIGCONT)
    assert forked.wait(process) == 5
    lease.check()


@pytest.mark.parametrize("by", [timedelta(days=1), timedelta(days=-1)], ids=["forward", "back"])
def test_a_clock_that_was_set_takes_nothing_from_a_living_holder(shop, ledger, tmp_path, by):
    process = forked.start(hold, shop, tmp_path / "held")
    nights.until((tmp_path / "held").exists)
    with pytest.raises(Refused):
        acquire(ledger, ["job nightly"], clock=Set(by), ttl=SHORT)
    process.kill()
    process.join()


def test_the_migrations_make_what_the_code_believes(ledger):
    with ledger.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": "recon_ledger"})
        assert compare_metadata(context, ledgers.metadata) == []


def test_a_ledger_of_a_newer_version_is_left_alone(shop, ledger):
    ledger.act(lambda connection: connection.execute(sa.text("update recon_ledger set version_num = '9999'")))
    with pytest.raises(ConfigError, match="revision 9999, this version of recon knows 0001"):
        open_ledger(load(shop))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", "url is not a database URL"),
        ("oracle://u:secret@h/d", "no driver for 'oracle'"),
        ("postgresql://u:secret@127.0.0.1:1/d", "ledger postgresql://u:\\*\\*\\*@127.0.0.1:1/d: .*refused"),
    ],
)
def test_a_ledger_that_cannot_be_had(shop, monkeypatch, url, words):
    monkeypatch.setattr(ledgers, "PATIENCE", 0.1)
    monkeypatch.setenv("LEDGER", url)
    shop.write_text("ledger: ${LEDGER}\n" + shop.read_text())
    with pytest.raises((ConfigError, Unreachable), match=words) as told:
        open_ledger(load(shop))
    assert "secret" not in str(told.value)


def test_a_postgresql_that_is_killed_and_comes_back(shop, server, monkeypatch):
    monkeypatch.setenv("LEDGER", server.url)
    shop.write_text("ledger: ${LEDGER}\n" + shop.read_text())
    ledger = open_ledger(load(shop))
    with held(ledger, ["job nightly"]) as lease:
        server.down()
        back = threading.Thread(target=server.up)
        back.start()
        lease.check()
        back.join()
        with pytest.raises(Refused):
            acquire(ledger, ["job nightly"])
    impatient = replace(ledger, patience=0.2)
    server.down()
    with pytest.raises(Unreachable, match="ledger postgresql://recon:"):
        acquire(impatient, ["job nightly"])
    server.up()
    ledger.close()


def test_two_processes_make_a_new_ledger_at_once(shop, server, monkeypatch):
    server.run("drop table if exists recon_ledger, recon_runs, recon_leases, recon_fires")
    monkeypatch.setenv("LEDGER", server.url)
    shop.write_text("ledger: ${LEDGER}\n" + shop.read_text())
    config = load(shop)
    failed = []

    def make():
        try:
            open_ledger(config).close()
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=make) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
