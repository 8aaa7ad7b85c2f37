"""The sink `sql` against real databases: each correction once, whoever sends it how often."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count

import databases
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.connectors import Context, open_sink
from pipelines.connectors.sql_sink import SinkOptions
from reconcilers.corrections import Correction, Mode, Status
from reconcilers.errors import ConfigError, Unreachable

TABLE = "create table shop (item varchar(40), place varchar(20), qty decimal(14,3), check (qty > -100));"
COLUMNS = {"sku": "item", "location": "place", "quantity": "qty"}
APPLIED, STALE, REJECTED = Status.APPLIED, Status.STALE, Status.REJECTED

numbers = count()


@pytest.fixture(params=["postgresql", "mariadb", "sqlite"])
def shop(request):
    """Each kind of database in turn, with three items."""
    return stocked(request.getfixturevalue(request.param))


def stocked(database):
    database.run("drop table if exists shop; drop table if exists recon_applied;" + TABLE)
    database.run("insert into shop values ('A','w',5), ('B','w',7.5), ('C','w',0), ('A','x',1)")
    return database


opened = []


@pytest.fixture(autouse=True)
def closed():
    yield
    while opened:
        opened.pop().close()


def sink(database, **options):
    given = {"url": database.url, "table": "shop", "columns": COLUMNS, **options}
    opened.append(open_sink("sql", given, Context("/", "UTC", "stock")))
    return opened[-1]


def correction(sku, change_from=None, value=None, *, delta=None, location="w", key=None):
    """A set where `value` is given, else a delta."""
    mode = Mode.DELTA if value is None else Mode.SET
    value, delta = (Decimal(str(number)) if number is not None else Decimal(0) for number in (value, delta))
    return Correction(
        correction_id="c", run_id="r", pair="shop~erp", target="shop", sku=sku, location=location,
        basis="available", mode=mode, value=value, delta=delta, reason="UNEXPLAINED", reference="run r",
        change_from=None if change_from is None else Decimal(str(change_from)),
        idempotency_key=key or f"key-{next(numbers)}", created_at=datetime(2026, 11, 23, tzinfo=UTC),
    )  # fmt: skip


def shown(database, table="shop"):
    return sink(database, table=table).observe([(sku, place) for sku in "ABC" for place in "wx"])


def statuses(receipts):
    return [receipt.status for receipt in receipts]


def test_a_batch_line_by_line(shop):
    lines = [
        correction("A", 5, 4),
        correction("B", 7, 8),
        correction("nowhere", 1, 2),
        correction("A", 1, 9, location="x"),
        correction("C", delta=-2.125),
    ]
    target = sink(shop)
    receipts = target.send(lines)
    assert statuses(receipts) == [APPLIED, STALE, REJECTED, APPLIED, APPLIED]
    assert [receipt.idempotency_key for receipt in receipts] == [line.idempotency_key for line in lines]
    assert (receipts[1].observed, receipts[1].message) == (Decimal("7.5"), "shows 7.5 instead of 7")
    assert receipts[2].message == "no row with SKU 'nowhere' at 'w'"
    assert shown(shop) == {
        ("A", "w"): 4, ("B", "w"): Decimal("7.5"), ("C", "w"): Decimal("-2.125"), ("A", "x"): 9,
    }  # fmt: skip


def test_a_key_that_was_applied_has_no_effect_again(shop):
    lines = [correction("A", 5, 4), correction("B", delta=1)]
    assert statuses(sink(shop).send(lines)) == [APPLIED, APPLIED]
    shop.run("update shop set qty = 5 where item = 'A' and place = 'w'")
    again = sink(shop).send([*lines, correction("B", 8.5, 9)])
    assert statuses(again) == [APPLIED] * 3
    assert [receipt.message for receipt in again] == ["applied before", "applied before", ""]
    found = shown(shop)
    assert (found["A", "w"], found["B", "w"]) == (5, 9)


def test_a_stale_key_may_be_sent_again(shop):
    line = correction("A", 6, 7)
    assert statuses(sink(shop).send([line])) == [STALE]
    shop.run("update shop set qty = 6 where item = 'A' and place = 'w'")
    assert statuses(sink(shop).send([line])) == [APPLIED]


def test_two_lines_of_one_row(shop):
    same = correction("A", delta=1)
    receipts = sink(shop).send([same, same, correction("A", 6, 10), correction("A", 6, 11)])
    assert statuses(receipts) == [APPLIED, APPLIED, APPLIED, STALE]
    assert receipts[3].observed == 10
    assert shown(shop)["A", "w"] == 10


def test_a_line_that_the_database_refuses_fails_no_other(shop):
    """CHECK (qty > -100) refuses two of seven."""
    lines = [correction("C", delta=1) for _ in range(7)]
    lines[2], lines[5] = correction("A", 5, -100), correction("B", delta=-1000)
    receipts = sink(shop).send(lines)
    assert [n for n, receipt in enumerate(receipts) if receipt.status == REJECTED] == [2, 5]
    assert "check" in receipts[2].message.lower() or "constraint" in receipts[2].message.lower()
    assert shown(shop)["C", "w"] == 5


@pytest.mark.parametrize("server", ["postgresql", "mariadb"])
def test_a_column_that_would_round_refuses(server, request):
    shop = stocked(request.getfixturevalue(server))
    receipts = sink(shop).send([correction("A", 5, 1.0005), correction("C", 0, 1)])
    assert statuses(receipts) == [REJECTED, APPLIED]
    assert receipts[0].message == "the column would hold 1.001 instead of 1.0005"
    assert shown(shop)["A", "w"] == 5


def test_what_is_no_single_number_is_refused(shop):
    shop.run("insert into shop values ('B','w',1), ('N','w',null)")
    receipts = sink(shop).send([correction("B", 7.5, 1), correction("N", 0, 1), correction("C", None, 1)])
    assert [receipt.message for receipt in receipts] == [
        "2 rows with SKU 'B' at 'w'",
        "shows no number (null)",
        "only a set with change_from, or a delta, is taken",
    ]
    assert set(statuses(receipts)) == {REJECTED}
    assert ("B", "w") not in shown(shop)


def test_names_and_values_are_not_statements(shop):
    mark = "`" if shop.scheme == "mysql" else '"'
    names = [f"{mark}{name}{mark}" for name in ("Shop of; drop", "Item-No.", "select", "on hand%")]
    table, item, place, quantity = names
    hostile = "x'; drop table shop; -- %s :a"
    shop.run(
        f"drop table if exists {table}; create table {table} ({item} varchar(99), {place} char(9), {quantity} int)"
    )
    quoted = hostile.replace("'", "''")
    shop.run(f"insert into {table} values ('{quoted}', 'w', 1)")
    odd = {"table": "Shop of; drop", "columns": {"sku": "Item-No.", "location": "select", "quantity": "on hand%"}}
    target = sink(shop, **odd)
    assert statuses(target.send([correction(hostile, 1, 2)])) == [APPLIED]
    assert target.observe([(hostile, "w")]) == {(hostile, "w"): 2}


def test_numbers_as_keys_and_whole_numbers_as_quantities(shop):
    shop.run("drop table if exists whole; create table whole (sku bigint, location int, quantity int)")
    shop.run("insert into whole values (12, 1, 3), (13, 1, 4)")
    target = sink(shop, table="whole", columns={})
    assert statuses(target.send([correction("12", 3, 5, location="1"), correction("13", delta=-4, location="1")])) == [
        APPLIED, APPLIED,
    ]  # fmt: skip
    assert target.observe([("12", "1"), ("13", "1")]) == {("12", "1"): 5, ("13", "1"): 0}


@pytest.mark.parametrize("kind", ["double precision", "real", "text", "numeric", "bigint"])
def test_a_number_of_any_kind_in_postgresql(postgresql, kind):
    postgresql.run(f"drop table if exists kinds; create table kinds (sku char(6), location text, quantity {kind})")
    postgresql.run("insert into kinds values ('A', 'w', '7'), ('B', 'w', '3')")
    target = sink(postgresql, table="kinds", columns={})
    assert statuses(target.send([correction("A", 7, 9), correction("B", delta=-2), correction("A", 9, 8)])) == [
        APPLIED, APPLIED, APPLIED,
    ]  # fmt: skip
    assert target.observe([("A", "w"), ("B", "w")]) == {("A", "w"): 8, ("B", "w"): 1}


def test_senders_at_the_same_time_apply_each_key_once(shop):
    """Four senders of the same forty deltas, in different orders and batches."""
    lines = [correction("ABC"[n % 3], delta=1) for n in range(40)]
    found = []

    def send(order: Iterable[Correction], size):
        target = sink(shop)
        order = list(order)
        for start in range(0, len(order), size):
            found.extend(target.send(order[start : start + size]))

    threads = [
        threading.Thread(target=send, args=(order, size))
        for order, size in ((lines, 40), (lines[::-1], 7), (lines[20:] + lines[:20], 3), (lines, 1))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses(found) == [APPLIED] * 160
    assert sum(not receipt.message for receipt in found) == 40
    assert sum(shown(shop).values()) == Decimal("13.5") + 40


actions = st.lists(
    st.tuples(st.sampled_from("ABC"), st.integers(-3, 3), st.booleans(), st.integers(0, 5)), min_size=1, max_size=12
)


@given(actions, st.integers(1, 5))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_batches_are_the_lines_one_by_one(sqlite, lines, size):
    """Sets, deltas and repeated keys in any batches leave what a fold over a dictionary leaves."""
    stocked(sqlite)
    target = sink(sqlite)
    expected = {("A", "w"): Decimal(5), ("B", "w"): Decimal("7.5"), ("C", "w"): Decimal(0), ("A", "x"): Decimal(1)}
    sent, told, done = [], [], set()
    for sku, amount, is_set, key in lines:
        change_from = int(expected[sku, "w"]) if is_set else None
        line = correction(sku, change_from, amount if is_set else None, delta=amount, key=f"k{key}")
        sent.append(line)
        now = expected[sku, "w"]
        if line.idempotency_key in done:
            told.append(APPLIED)
        elif is_set and now != change_from:
            told.append(STALE)
        else:
            expected[sku, "w"] = line.value if is_set else now + line.delta
            done.add(line.idempotency_key)
            told.append(APPLIED)
    found = [receipt for start in range(0, len(sent), size) for receipt in target.send(sent[start : start + size])]
    assert statuses(found) == told
    assert shown(sqlite) == expected


def test_a_server_that_ends_has_applied_all_or_nothing():
    """Killed while a batch waits for a lock; sent again with the same keys when it is back."""
    with databases.postgresql() as server:
        stocked(server)
        target = sink(server)
        lines = [correction("A", 5, 4), correction("B", delta=1)]
        holder = threading.Thread(target=_hold, args=(server,))
        holder.start()
        while (
            server.run(
                "select count(*) from pg_stat_activity where query like '%pg_sleep%' and pid <> pg_backend_pid()"
            ).strip()
            == "0"
        ):
            pass
        failed = []

        def send():
            try:
                target.send(lines)
            except Unreachable as error:
                failed.append(str(error))

        sender = threading.Thread(target=send)
        sender.start()
        while server.run("select count(*) from pg_stat_activity where wait_event_type = 'Lock'").strip() == "0":
            assert sender.is_alive()
        server.down(signal.SIGQUIT)
        sender.join(30)
        holder.join(30)
        (error,) = failed
        assert "\n" not in error
        assert databases.PASSWORD not in error
        with pytest.raises(Unreachable, match="shop"):
            target.send(lines)
        server.up()
        assert statuses(target.send(lines)) == [APPLIED, APPLIED]
        assert statuses(target.send(lines)) == [APPLIED, APPLIED]
        assert (shown(server)["A", "w"], shown(server)["B", "w"]) == (4, Decimal("8.5"))


def _hold(server):
    with pytest.raises(AssertionError):
        server.run("begin; select * from shop for update; select pg_sleep(60); commit")


def test_a_server_that_falls_silent(postgresql):
    """Its process is stopped: libpq alone would wait for ever."""
    stocked(postgresql)
    target = sink(postgresql, timeout="PT1S")
    target.observe([("A", "w")])
    pid = int(postgresql.run("select pid from pg_stat_activity where application_name = 'recon' and state = 'idle'"))
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(Unreachable, match="postgresql://recon:"):
            target.send([correction("A", 5, 4)])
    finally:
        os.kill(pid, signal.SIGCONT)
    assert shown(postgresql)["A", "w"] == 5


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"table": "nowhere"}, "nowhere"),
        ({"columns": {"sku": "item", "location": "place", "quantity": "qty_oh"}}, "qty_oh"),
    ],
)
def test_a_table_that_is_not_there(shop, options, words):
    with pytest.raises(ConfigError, match=words) as told:
        sink(shop, **options).send([correction("A", 5, 4)])
    assert databases.PASSWORD not in str(told.value)


def test_a_journal_that_may_not_be_made(postgresql):
    stocked(postgresql)
    postgresql.run(
        "drop role if exists writer; create role writer login password 'w'; grant select, update on shop to writer;"
        "revoke create on schema public from public"
    )
    target = sink(postgresql, url=postgresql.url_of(user="writer", password="w"))
    with pytest.raises(ConfigError, match="permission denied for schema public"):
        target.send([correction("A", 5, 4)])
    postgresql.run("drop owned by writer; drop role writer")


@pytest.mark.parametrize(
    "url", ["mysql://recon:s3cr3t@127.0.0.1:1/shop", "postgresql://recon:s3cr3t@127.0.0.1:1/shop", "sqlite:///none.db"]
)
def test_a_database_that_is_not_there(url, tmp_path):
    target = open_sink("sql", {"url": url, "table": "shop"}, Context(str(tmp_path), "UTC", "stock"))
    with pytest.raises(Unreachable) as told:
        target.send([correction("A", 5, 4)])
    assert "s3cr3t" not in str(told.value)
    assert list(tmp_path.iterdir()) == []


def test_options_check_themselves():
    for wrong in ({"url": "s3cr3t"}, {"table": ""}, {"timeout": "PT0S"}, {"columns": {"sku": "a", "place": "b"}}):
        with pytest.raises(ValueError, match="validation error") as told:
            SinkOptions(**{"url": "sqlite:///s3cr3t.db", "table": "t", **wrong})
        assert "s3cr3t" not in str(told.value)
    with pytest.raises(ConfigError, match="written to mariadb, mysql, postgresql, sqlite only"):
        open_sink("sql", {"url": "oracle://h/d", "table": "t"}, Context("/", "UTC", "stock"))
