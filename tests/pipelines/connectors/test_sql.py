"""The connector `sql` against real servers: exact values, one instant, one line for whatever goes wrong."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from urllib.parse import quote

import captures
import databases
import pytest

from pipelines import snapshots
from pipelines.capture import CaptureRequest, capture
from pipelines.connectors import Context, Held, sql_postgresql, sql_session
from pipelines.connectors.sql import Options
from reconcilers.errors import ConfigError, ReconError, Unreachable
from reconcilers.mapping import LineStep, Mapping
from reconcilers.schemas import Kind

rows, rejects, source, taken = captures.rows, captures.rejects, captures.source, captures.taken

STOCK = "create table stock (sku varchar(40), location varchar(20), quantity decimal(14,3));"
EVENTS = "create table events (kind varchar(9), ref varchar(9), sku varchar(9), location varchar(9), quantity int, \
posted_at varchar(40));"


@pytest.fixture(params=["postgresql", "mariadb", "sqlite"])
def database(request, tmp_path):
    """Each kind of database in turn, with an empty table of stock and one of events."""
    return emptied(request.getfixturevalue(request.param))


@pytest.fixture
def erp(postgresql):
    """PostgreSQL, with an empty table of stock and one of events."""
    return emptied(postgresql)


def emptied(found):
    found.run("drop table if exists stock; drop table if exists events;" + STOCK + EVENTS)
    return found


def asked(database, dataset="stock", mapping=None, timezone="Europe/Berlin", base="/", **options):
    """A capture of a dataset of a database."""
    if "query" not in options:
        options = {"table": dataset, **options}
    return CaptureRequest(
        system="erp",
        dataset=dataset,
        connector="sql",
        options={"url": database.url, **options},
        context=Context(str(base), timezone, dataset),
        mapping=mapping or Mapping(dataset, timezone=timezone),
    )


def take(tmp_path, *args, **options):
    (snapshot,) = taken(tmp_path, asked(*args, **options))
    return snapshot


def read(request):
    """All rows of a dataset, read without a capture, as dictionaries."""
    found = source(request)
    splits = found.plan(datetime.now(UTC)).splits
    return [row for split in splits for batch in found.read(split) for row in batch.rows.to_pylist()]


def test_a_table_becomes_a_snapshot(database, tmp_path):
    database.run(
        "insert into stock values ('Ä-1','w',12345678901.125), ('0012','w',-0.5), (null,'w',1), ('日本','w',null)"
    )
    before = datetime.now(UTC)
    snapshot = take(tmp_path, database, base=tmp_path)
    manifest = snapshot.manifest
    assert rows(snapshot, "sku", "quantity", "source_line") == [
        ("Ä-1", Decimal("12345678901.125"), 1),
        ("0012", Decimal("-0.5"), 2),
    ]
    assert rejects(snapshot) == [(3, "SKU_EMPTY"), (4, "quantity: empty")]
    assert before <= manifest.as_of <= datetime.now(UTC)
    assert (manifest.as_of_kind, manifest.as_of_hi, manifest.watermark) == ("transaction", None, None)
    (name,) = manifest.sources
    assert name.endswith(": stock")
    assert databases.PASSWORD not in name
    assert {row["source_file"] for row in snapshot.read_bucket(0, 1).to_pylist()} == {name}


def test_an_empty_table_is_an_empty_snapshot(database, tmp_path):
    assert take(tmp_path, database).manifest.rows_read == 0


@pytest.mark.parametrize(
    "query",
    [
        "select sku, location, quantity from stock where sku like 'A%' and location <> 'a:b' -- it's all",
        "with x as (select * from stock) select * from x where sku like 'A%';\n",
        "/* (select) */ (select * from stock where sku like 'A%')",
    ],
)
def test_queries_as_people_write_them(erp, tmp_path, query):
    erp.run("insert into stock values ('A','w',1), ('B','w',2)")
    assert rows(take(tmp_path, erp, query=query), "sku") == [("A",)]


def test_percent_signs_and_colons_mean_nothing(database, tmp_path):
    database.run("insert into stock values ('50%:x','w',1), ('B','w',2)")
    found = take(tmp_path, database, query="select * from stock where sku like '%:x'")
    assert rows(found, "sku") == [("50%:x",)]


def test_columns_that_are_missing_are_told(database, tmp_path):
    with pytest.raises(ConfigError, match="erp/stock: no column 'quantity' in the source; did you mean 'qty'.*it has"):
        take(tmp_path, database, query="select sku, location, 1 as qty from stock where 1 = 0")


def test_types_of_postgresql(erp):
    erp.run("drop type if exists mood; create type mood as enum ('good')")
    (row,) = read(
        asked(
            erp,
            query="""
    select 12345678901234567890.123456789::numeric as wide, 'NaN'::numeric as nan, 2::smallint as small,
      0.1::float8 as f, true as yes, 'x '::char(3) as fixed, 'good'::mood as mood,
      '00000000-0000-0000-0000-00000000000a'::uuid as uuid,
      '12.50'::money as money, '\\x01ff'::bytea as bytes, array['a','b'] as list, '{"a": 1.10}'::json as json,
      interval '1 day' as interval, null as nothing, 4294967295::oid as oid, '10.0.0.1'::inet as inet,
      timestamptz '2026-11-23 02:00:00.123456+01' as at, timestamp '2026-11-23 02:00' as local,
      date '2026-11-23' as day, 'infinity'::timestamptz as never, '-infinity'::date as ever,
      timestamptz '2026-11-23 01:00Z'::timestamp as berlin
    """,
        )
    )
    assert {name: value for name, value in row.items() if not name.startswith("source")} == {
        "wide": "12345678901234567890.123456789",
        "nan": "NaN",
        "small": 2,
        "f": 0.1,
        "yes": True,
        "fixed": "x  ",
        "mood": "good",
        "uuid": "00000000-0000-0000-0000-00000000000a",
        "money": "$12.50",
        "bytes": "\\x01ff",
        "list": "{a,b}",
        "json": '{"a": 1.10}',
        "interval": "1 day",
        "nothing": None,
        "oid": "4294967295",
        "inet": "10.0.0.1/32",
        "at": datetime(2026, 11, 23, 1, 0, 0, 123456, tzinfo=UTC),
        "local": datetime(2026, 11, 23, 2),
        "day": datetime(2026, 11, 23).date(),
        "never": "infinity",
        "ever": "infinity",
        "berlin": datetime(2026, 11, 23, 2),
    }


def test_an_instant_without_end_is_a_reject(erp, tmp_path):
    erp.run(
        "create temporary table t as select 1; insert into stock values ('A','w',1), ('B','w',1);"
        "drop table if exists lines; create table lines as select sku, location, 'R' as ref, 1 as shipped,"
        " case sku when 'A' then timestamptz '2026-11-23 02:00Z' else 'infinity' end as shipped_at from stock"
    )
    mapping = Mapping("events", columns={}, lines={Kind.SHIP: LineStep("shipped", "shipped_at")})
    found = take(tmp_path, erp, "events", mapping, table="lines")
    assert rows(found, "sku", "posted_at") == [("A", datetime(2026, 11, 23, 2, tzinfo=UTC))]
    assert rejects(found) == [(2, "shipped_at: not an instant")]


def test_types_of_mariadb(mariadb):
    mariadb.run(
        "drop table if exists t; create table t (n decimal(38,9), u bigint unsigned, f double, b bit(8),"
        " raw varbinary(9), word varchar(9) character set latin1, at timestamp(6) null, local datetime, zero datetime,"
        " d date, j json,"
        " e enum('x')); set sql_mode = ''; set time_zone = '+02:00'; insert into t values"
        " (12345678901234567890.123456789, 18446744073709551615, 0.1, b'101', x'00ff', 'Käse',"
        " '2026-11-23 02:00:00.5', '2026-11-23 02:00:00', '0000-00-00', '2026-11-23', '{\"a\": 1.10}', 'x'),"
        " (null,null,null,null,null,null,null,null,null,null,null,null)"
    )
    first, second = read(asked(mariadb, table="t"))
    origin = {"source_file", "source_line"}
    assert {name: value for name, value in first.items() if name not in origin} == {
        "n": "12345678901234567890.123456789",
        "u": "18446744073709551615",
        "f": "0.1",
        "b": "05",
        "raw": "00ff",
        "word": "Käse",
        "at": "2026-11-23 00:00:00.500000Z",
        "local": "2026-11-23 02:00:00",
        "zero": "0000-00-00 00:00:00",
        "d": "2026-11-23",
        "j": '{"a": 1.10}',
        "e": "x",
    }
    assert {value for name, value in second.items() if name not in origin} == {None}


def test_sqlite_columns_of_many_types(tmp_path):
    database = databases.Sqlite(tmp_path / "erp.db")
    database.run(f"create table t (v); insert into t values (1), ('A'), (0.1), (null), (x'00ff'), ({2**63 - 1})")
    found = read(asked(database, table="t"))
    assert [row["v"] for row in found] == ["1", "A", "0.1", None, "00ff", "9223372036854775807"]
    assert [row["source_line"] for row in found] == [1, 2, 3, 4, 5, 6]


WRONG_PLACES = [
    ({"password": "wr0ng-one"}, "authentication failed|Access denied"),
    ({"user": "nobody"}, "authentication failed|Access denied"),
    ({"database": "nowhere"}, "does not exist|Unknown database|Access denied"),
    ({"port": 1}, "Connection refused"),
    ({"host": "no-such-host.invalid"}, "not translate host name|Name or service not known"),
]


@pytest.mark.parametrize("server", ["postgresql", "mariadb"])
@pytest.mark.parametrize(("changed", "words"), WRONG_PLACES)
def test_a_server_that_does_not_let_us_in(server, request, tmp_path, changed, words):
    server = request.getfixturevalue(server)
    bad = asked(server)
    url = server.url_of(**changed)
    with pytest.raises(Unreachable, match=words) as told:
        capture([CaptureRequest("erp", "stock", "sql", {**bad.options, "url": url}, bad.context, bad.mapping)],
                str(tmp_path / "ws"), datetime.now(UTC))  # fmt: skip
    assert str(told.value).startswith(f"erp/stock: {server.scheme}://")
    assert_one_line_without_secrets(told.value)
    assert snapshots.list_snapshots(str(tmp_path / "ws")) == []


def assert_one_line_without_secrets(error):
    text = str(error)
    assert "\n" not in text
    assert len(text) < 450
    for secret in (databases.PASSWORD, "s3cr3t", "wr0ng-one"):
        assert secret not in text


WRONG_QUERIES = [
    {"table": "nowhere"},
    {"query": "select nothing from stock"},
    {"query": "select from where"},
    {"query": "select sku, sku from stock"},
    {"query": "select 1 as a; select 2 as b"},
]


@pytest.mark.parametrize("wrong", WRONG_QUERIES, ids=lambda wrong: next(iter(wrong.values())))
def test_a_query_that_is_wrong(database, tmp_path, wrong):
    with pytest.raises(ConfigError) as told:
        take(tmp_path, database, **wrong)
    assert_one_line_without_secrets(told.value)
    assert snapshots.list_snapshots(str(tmp_path / "ws")) == []


def test_postgresql_refuses_to_write(erp, tmp_path):
    erp.run(
        "create or replace function sneak() returns int language sql"
        " as $$ insert into stock values ('X','w',1); select 1 $$;"
        "create sequence if not exists counter"
    )
    for query in (
        "select 'A' as sku, 'w' as location, sneak() as quantity",
        "select nextval('counter') as quantity",
        "with gone as (delete from stock returning *) select * from gone",
    ):
        with pytest.raises(ConfigError, match="must only read"):
            take(tmp_path, erp, query=query)
    assert erp.run("select count(*) from stock").strip() == "0"


def test_mariadb_refuses_to_write(mariadb, tmp_path):
    emptied(mariadb).run("create sequence if not exists counter")
    with pytest.raises(ConfigError, match="must only read"):
        take(tmp_path, mariadb, query="select nextval(counter) as quantity")


def test_sqlite_refuses_to_write(tmp_path):
    database = emptied(databases.Sqlite(tmp_path / "erp.db"))
    with pytest.raises(ConfigError, match='near "insert"'):
        take(tmp_path, database, query="with x as (select 1) insert into stock select 'A','w',1 from x returning *")
    assert take(tmp_path, database).manifest.rows_read == 0
    with pytest.raises(Unreachable, match="none.db: no such file"):
        take(tmp_path, Elsewhere("none.db"), base=tmp_path)
    assert not (tmp_path / "none.db").exists()


class Elsewhere:
    """A file as a URL names it."""

    def __init__(self, place):
        self.url = f"sqlite:///{place}"


def test_what_is_written_meanwhile_is_not_seen(database, tmp_path):
    """Planned, then changed, then read: all splits and datasets show the instant of the plan."""
    database.run(
        "insert into stock values " + ", ".join(f"('S{n}','w',{n})" for n in range(200)) +
        "; insert into events values ('SHIP','1','S1','w',1,'2026-11-23T00:00:00Z')"
    )  # fmt: skip
    partition = {"partition": {"column": "sku", "splits": 4}} if database.scheme == "postgresql" else {}
    stock, events = asked(database, **partition), asked(database, "events")
    now = datetime.now(UTC)
    with Held() as held:
        sources = [source(stock, held)]
        plans = [sources[0].plan(now)]
        database.run(
            "update stock set quantity = 0; delete from stock where sku like '%7';"
            "insert into stock values ('S','w',9);"
            "insert into events values ('SHIP','2','S2','w',1,'2026-11-23T00:00:00Z')"
        )
        sources.append(source(events, held))
        plans.append(sources[1].plan(now))
        if not plans[0].local:
            sources = [source(stock), source(events)]
        found = [
            [row for split in plan.splits for batch in each.read(split) for row in batch.rows.to_pylist()]
            for each, plan in zip(sources, plans, strict=True)
        ]
    assert len(plans[0].splits) == (4 if partition else 1)
    assert {row["sku"]: Decimal(row["quantity"]) for row in found[0]} == {f"S{n}": n for n in range(200)}
    assert len(found[0]) == 200
    assert [row["ref"] for row in found[1]] == ["1"]
    assert plans[0].as_of == plans[1].as_of == plans[1].watermark


def test_a_standby_that_lags_is_as_of_what_it_has_replayed(erp, tmp_path):
    def waited(script, words):
        ends = time.monotonic() + 30
        while standby.run(script).strip() != words:
            assert time.monotonic() < ends

    with databases.standby(erp) as standby:
        erp.run("insert into stock values ('A','w',1)")
        waited("select count(*) from stock", "1")
        standby.run("select pg_wal_replay_pause()")
        waited("select pg_get_wal_replay_pause_state()", "paused")
        paused = datetime.now(UTC)
        erp.run("update stock set quantity = 2")
        waited("select pg_last_wal_receive_lsn() > pg_last_wal_replay_lsn()", "t")
        lagging = take(tmp_path, standby, partition={"column": "ctid", "splits": 2})
        assert rows(lagging, "quantity") == [(1,)]
        assert lagging.manifest.as_of <= paused
        standby.run("select pg_wal_replay_resume()")
        waited("select quantity::int from stock", "2")
        assert take(tmp_path, standby).manifest.as_of > paused


def test_a_busy_writer_cannot_tear_a_snapshot(erp, tmp_path):
    """Units move between rows of all splits while they are read: their sum is that of any one instant."""
    erp.run("insert into stock select 'S' || n, 'w', 10 from generate_series(1, 30000) n; create index on stock (sku)")
    move = (
        "do $$ begin for i in 1..100000 loop"
        " update stock set quantity = quantity - 1 where sku = 'S' || (1 + (i::bigint * 7919) % 30000);"
        " update stock set quantity = quantity + 1 where sku = 'S' || (1 + (i::bigint * 104729) % 30000);"
        " commit; end loop; end $$"
    )

    def write():
        with pytest.raises(AssertionError, match="terminating connection"):
            erp.run(move)

    writer = threading.Thread(target=write)
    writer.start()
    moving = "select count(*) from stock where quantity <> 10"
    try:
        while erp.run(moving).strip() == "0":
            pass
        for number in range(3):
            workspace = tmp_path / str(number)
            partition = {"column": "ctid", "splits": 3}
            (snapshot,) = taken(workspace, asked(erp, partition=partition))
            assert Decimal(snapshot.manifest.sum_quantity) == 300_000
            assert snapshot.manifest.rows == 30_000
    finally:
        erp.run("select pg_terminate_backend(pid) from pg_stat_activity where query like 'do %'")
        writer.join()


def test_a_late_commit_is_lost_by_no_capture(erp, tmp_path):
    """Posted before the snapshot, committed after it: in neither stock nor feed, then in both."""
    from adbc_driver_postgresql import dbapi

    erp.run("insert into stock values ('A','w',10)")
    with dbapi.connect(erp.url) as late:
        cursor = late.cursor()
        cursor.execute("insert into events values ('SHIP','1','A','w',1,now()::text)")
        cursor.execute("update stock set quantity = 9")
        requests = [asked(erp), asked(erp, "events")]
        stock, events = taken(tmp_path / "early", *requests)
        cursor.close()
        late.commit()
    assert (rows(stock, "quantity"), rows(events, "ref")) == ([(10,)], [])
    stock, events = taken(tmp_path / "late", *requests)
    assert (rows(stock, "quantity"), rows(events, "ref")) == ([(9,)], [("1",)])
    (posted,) = rows(events, "posted_at")[0]
    assert posted < events.manifest.watermark == events.manifest.as_of == stock.manifest.as_of


def test_watermarks(erp, tmp_path):
    feed = take(tmp_path, erp, "events").manifest
    assert feed.watermark == feed.as_of
    feed = take(tmp_path, erp, "events", watermark={"lag": "PT15M"}).manifest
    assert feed.watermark == feed.as_of - timedelta(minutes=15)
    loaded = {"query": "select timestamp '2026-11-23 02:00' union all select null"}
    assert take(tmp_path, erp, "events", watermark=loaded).manifest.watermark == datetime(2026, 11, 23, 1, tzinfo=UTC)
    ahead = {"query": "select now() + interval '1 day'"}
    feed = take(tmp_path, erp, "events", watermark=ahead).manifest
    assert feed.watermark == feed.as_of
    both = {"lag": "PT15M", **ahead}
    feed = take(tmp_path, erp, "events", watermark=both).manifest
    assert feed.watermark == feed.as_of - timedelta(minutes=15)
    for nothing in ("select max(posted_at) from events", "select 1 from events", "select 'soon'"):
        with pytest.raises(Unreachable, match="gives no instant"):
            take(tmp_path, erp, "events", watermark={"query": nothing})


def test_a_window_loses_no_late_commit(database, tmp_path):
    """What was posted within the look-back is read whenever it was committed; what is older is not."""

    def posted(ref, ago):
        return f"('SHIP','{ref}','A','w',1,'{(datetime.now(UTC) - ago).isoformat()}')"

    days = {"old": 40, "edge": 30, "late": 29, "new": 0}
    rows_of = {ref: posted(ref, timedelta(days=number)) for ref, number in days.items()}
    database.run(f"insert into events values {rows_of['old']}, {rows_of['edge']}, ('SHIP','none','A','w',1,null)")
    window = {"window": {"column": "posted_at", "look_back": "P30D"}}
    first = take(tmp_path, database, "events", **window)
    assert rows(first, "ref") == [("edge",)]
    assert rejects(first) == [(2, "posted_at: empty")]
    database.run(f"insert into events values {rows_of['new']}, {rows_of['late']}")
    second = take(tmp_path, database, "events", **window)
    assert sorted(rows(second, "ref")) == [("edge",), ("late",), ("new",)]
    assert second.manifest.watermark == second.manifest.as_of


@pytest.mark.parametrize("kind", ["timestamptz", "timestamp", "date"])
def test_a_window_over_instants_in_splits(erp, tmp_path, kind):
    erp.run(
        f"drop table if exists feed; create table feed as select 'SHIP' as kind, n as ref, 'A' as sku, 'w' as location,"
        f" 1 as quantity, (now() - n * interval '1 hour')::{kind} as posted_at from generate_series(0, 2000) n"
    )
    window = {"column": "posted_at", "look_back": "P10D"}
    for more in (
        {},
        {"partition": {"column": "posted_at", "splits": 3}},
        {"partition": {"column": "ref", "splits": 3}},
    ):
        found = take(tmp_path, erp, "events", table="feed", window=window, **more)
        ages = sorted(int(ref) for (ref,) in rows(found, "ref"))
        assert ages == list(range(len(ages)))
        assert 240 <= ages[-1] <= 240 + 48
        assert len(found.manifest.files) == (3 if more else 1)


def test_an_as_of_in_each_row(database, tmp_path):
    database.run("insert into stock values ('A','w',1), ('B','w',2)")
    query = (
        "select stock.*, case sku when 'A' then '2026-11-23 02:00' else '2026-11-23T03:00:00Z' end as seen from stock"
    )
    found = take(tmp_path, database, query=query, as_of={"from": "column", "column": "seen"})
    assert rows(found, "sku", "as_of") == [
        ("A", datetime(2026, 11, 23, 1, tzinfo=UTC)),
        ("B", datetime(2026, 11, 23, 3, tzinfo=UTC)),
    ]
    assert (found.manifest.as_of_kind, found.manifest.row_as_of) == ("event_time", True)


@pytest.mark.parametrize("column", ["number", "word", "at", "share", "ctid", "lower(word)", "number % 3"])
@pytest.mark.parametrize("relation", [{"table": "odd"}, {"query": "select odd.*, ctid from odd"}])
def test_splits_hold_every_row_once(erp, column, relation):
    erp.run(
        "drop table if exists odd; create table odd as select n as id, nullif(n % 7, 0) as number,"
        " case n % 4 when 0 then null when 1 then 'O''Neill' || n when 2 then 'Ä\"' || n else E'back\\\\' || n end"
        " as word,"
        " timestamptz '2026-01-01Z' + n * interval '1 hour' as at,"
        " case n % 3 when 0 then 'NaN' else n::float8 end as share from generate_series(1, 500) n"
    )
    request = asked(erp, partition={"column": column, "splits": 5}, **relation)
    with Held() as held:
        plan = source(request, held).plan(datetime.now(UTC))
        parts = [[row["id"] for b in source(request).read(s) for row in b.rows.to_pylist()] for s in plan.splits]
    assert sorted(number for part in parts for number in part) == list(range(1, 501))
    assert 2 <= len(parts) <= 5
    if column in ("at", "ctid"):
        assert len(parts) == 5
        assert max(map(len, parts)) <= 110


def test_splits_of_nothing(erp, tmp_path):
    assert take(tmp_path, erp, partition={"column": "sku", "splits": 4}).manifest.rows == 0
    erp.run("insert into stock values (null,'w',1)")
    assert take(tmp_path, erp, partition={"column": "sku", "splits": 4}).manifest.rows_read == 1


def test_a_large_table_is_cut_by_a_sample(erp, tmp_path):
    erp.run("insert into stock select 'S' || n, 'w', n from generate_series(1, 60000) n; analyze stock")
    for relation in ({"table": "stock"}, {"query": "select * from stock"}):
        found = take(tmp_path, erp, partition={"column": "quantity", "splits": 3}, **relation)
        assert [part.rows > 15_000 for part in found.manifest.files] == [True, True, True]
        assert Decimal(found.manifest.sum_quantity) == 60_000 * 60_001 // 2


def slow(database):
    """A query that takes a minute."""
    if database.scheme == "sqlite":
        numbers = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 1000000000)"
        return f"{numbers} select max(i) as m from n"
    return f"select {'pg_sleep' if database.scheme == 'postgresql' else 'sleep'}(60) as quantity"


def test_a_statement_that_takes_too_long(database, tmp_path):
    began = time.monotonic()
    with pytest.raises(Unreachable, match=r"took longer than PT1S \(timeout\)"):
        take(tmp_path, database, query=slow(database), timeout="PT1S")
    assert time.monotonic() - began < 10


def wide(database, count):
    """A table that no buffer between here and the server holds."""
    numbers = {
        "postgresql": f"select 'S' || n, repeat('w', 20), n from generate_series(1, {count}) n",
        "mysql": f"select concat('S', seq), repeat('w', 20), seq from seq_1_to_{count}",
    }
    database.run(f"insert into stock {numbers[database.scheme]}")


@pytest.mark.parametrize("make", [databases.postgresql, databases.mariadb])
def test_the_server_dies_in_the_middle(make, tmp_path):
    """No snapshot, one line; and a whole one when the server is back."""
    with make() as server:
        emptied(server)
        wide(server, 600_000)
        request = asked(server, throttle=400_000)
        busy = {
            "postgresql": "select count(*) from pg_stat_activity where query ilike 'copy%' and state = 'active'",
            "mysql": "select count(*) from information_schema.processlist where user = 'recon' and info like 'select%'",
        }[server.scheme]
        failed = []

        def capturing():
            try:
                taken(tmp_path, request)
            except ReconError as error:
                failed.append(error)

        thread = threading.Thread(target=capturing)
        thread.start()
        while server.run(busy).strip() == "0":
            assert thread.is_alive()
        server.down(signal.SIGQUIT if server.scheme == "postgresql" else signal.SIGKILL)
        thread.join(60)
        (error,) = failed
        assert type(error) is Unreachable
        assert_one_line_without_secrets(error)
        assert server.scheme in str(error)
        assert snapshots.list_snapshots(str(tmp_path / "ws")) == []
        server.up()
        assert taken(tmp_path, asked(server))[0].manifest.rows == 600_000


@pytest.mark.parametrize("server", ["postgresql", "mariadb"])
def test_a_connection_that_drops_in_the_middle(server, request, tmp_path):
    """Somebody ends it, such as an administrator or a firewall; the server lives."""
    server = request.getfixturevalue(server)
    emptied(server)
    wide(server, 400_000)
    batches = source(asked(server)).read(sql_session.Split())
    assert [len(next(batches).rows) > 0 for _ in range(2)] == [False, True]
    busy = {
        "postgresql": "select pg_terminate_backend(pid) from pg_stat_activity where query ilike 'copy%'",
        "mysql": "select concat('kill ', id, ';') from information_schema.processlist where user = 'recon'",
    }[server.scheme]
    told = server.run(busy)
    if server.scheme == "mysql":
        server.run(told)
    with pytest.raises(Unreachable) as told:
        list(batches)
    assert_one_line_without_secrets(told.value)


def test_a_server_that_falls_silent(postgresql, tmp_path, monkeypatch):
    """Its process is stopped, so that the connection lives and nothing comes."""
    monkeypatch.setattr(sql_postgresql, "_SILENCE_SECONDS", 1)
    emptied(postgresql)
    wide(postgresql, 400_000)
    request = asked(postgresql, timeout="PT1S")
    found = source(request)
    batches = found.read(sql_session.Split())
    next(batches)
    query = "select pid from pg_stat_activity where query ilike 'copy%' and state = 'active'"
    pid = int(postgresql.run(query))
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(Unreachable, match="no answer for 2 s"):
            list(batches)
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_a_port_that_never_answers(scheme, tmp_path, monkeypatch):
    from pipelines.connectors import sql_mariadb

    monkeypatch.setitem(sql_postgresql._CONNECTION, "connect_timeout", "2")
    monkeypatch.setattr(sql_mariadb, "CONNECT_SECONDS", 2)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"{scheme}://recon:{quote(databases.PASSWORD, safe='')}@127.0.0.1:{deaf.getsockname()[1]}/erp"
        request = CaptureRequest("erp", "stock", "sql", {"url": url, "table": "t"}, Context("/", "UTC", "stock"),
                                 Mapping("stock"))  # fmt: skip
        began = time.monotonic()
        with pytest.raises(Unreachable, match="time") as told:
            taken(tmp_path, request)
        assert time.monotonic() - began < 8
        assert_one_line_without_secrets(told.value)


@pytest.mark.parametrize("server", ["postgresql", "mariadb"])
def test_a_look_that_is_broken_off_leaves_nothing_behind(server, request, recwarn):
    """`recon doctor` looks at the first rows only."""
    server = request.getfixturevalue(server)
    emptied(server)
    wide(server, 400_000)
    threads = threading.active_count()
    batches = source(asked(server)).read(sql_session.Split())
    assert [len(next(batches).rows) > 0 for _ in range(2)] == [False, True]
    batches.close()
    assert threading.active_count() == threads
    assert not [warning for warning in recwarn if issubclass(warning.category, pytest.PytestUnraisableExceptionWarning)]


def test_throttle_and_batches(tmp_path):
    database = emptied(databases.Sqlite(tmp_path / "erp.db"))
    numbers = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 120000)"
    database.run(f"{numbers} insert into stock select 'S' || i, 'w', i from n")
    began = time.monotonic()
    batches = [len(batch.rows) for batch in source(asked(database, throttle=400_000)).read(sql_session.Split())]
    assert 0.3 <= time.monotonic() - began < 5
    assert batches == [0, 50_000, 50_000, 20_000]


def test_a_clock_that_is_ahead(erp, tmp_path):
    with pytest.raises(Unreachable, match="clock says .* in the future"):
        taken(tmp_path, asked(erp), now=datetime.now(UTC) - timedelta(hours=1))


def test_a_missing_driver_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "adbc_driver_postgresql", None)
    for url, words in (
        ("postgresql://h/erp", "pip install adbc-driver-postgresql"),
        ("oracle+oracledb://u:s3cr3t@h/erp", "pip install oracledb"),
        ("dreams://u:s3cr3t@h/erp", "SQLAlchemy knows no database 'dreams'"),
        ("sqlite://", "names no file"),
    ):
        request = CaptureRequest("erp", "stock", "sql", {"url": url, "table": "t"}, Context("/", "UTC", "stock"),
                                 Mapping("stock"))  # fmt: skip
        with pytest.raises(ConfigError, match=words) as told:
            taken(tmp_path, request)
        assert_one_line_without_secrets(told.value)


def test_any_other_database_is_read_by_one_statement(tmp_path, monkeypatch):
    """SQLite again, as if nothing were known about it."""
    database = emptied(databases.Sqlite(tmp_path / "erp.db"))
    database.run("insert into stock values ('A','w',1.5)")
    monkeypatch.delitem(sql_session.BACKENDS, "sqlite")
    assert rows(take(tmp_path, database), "sku", "quantity") == [("A", Decimal("1.5"))]
    with pytest.raises(ReconError, match="no such table"):
        take(tmp_path, database, table="nowhere")


@pytest.mark.parametrize(
    "options",
    [
        {"table": "t"},
        {"url": "postgresql://h/d"},
        {"url": "postgresql://h/d", "table": "t", "query": "select 1"},
        {"url": "postgresql://h/d", "query": "delete from t"},
        {"url": "postgresql://h/d", "query": "-- select\ndrop table t"},
        {"url": "s3cr3t, no URL", "table": "t"},
        {"url": "postgresql://h/d", "table": "t", "timeout": "soon"},
        {"url": "postgresql://h/d", "table": "t", "timeout": "PT0S"},
        {"url": "postgresql://h/d", "table": "t", "partition": {"column": "a", "splits": 1}},
        {"url": "postgresql://u:s3cr3t@h/d", "table": "t", "watermark": {}},
        {"url": "postgresql://u:s3cr3t@h/d", "table": "t", "throttle": 0},
        {"url": "postgresql://u:s3cr3t@h/d", "table": "t", "as_of": {"from": "mtime"}},
        {"url": "postgresql://u:s3cr3t@h/d", "table": "t", "unknown": 1},
    ],
)
def test_options_check_themselves(options):
    with pytest.raises(ValueError, match="validation error") as told:
        Options(**options)
    assert "s3cr3t" not in str(told.value)


@pytest.mark.parametrize(
    ("dataset", "options", "words"),
    [
        ("stock", {"watermark": {"lag": "PT1M"}}, "belongs to events"),
        ("events", {"as_of": {"from": "column", "column": "x"}}, "belongs to stock"),
        ("stock", {"window": {"column": "x", "look_back": "P1D"}}, "belongs to events"),
        ("stock", {"partition": {"column": "sku", "splits": 2}}, "leave partition out"),
    ],
)
def test_options_that_do_not_fit(tmp_path, dataset, options, words):
    with pytest.raises(ConfigError, match=words):
        take(tmp_path, emptied(databases.Sqlite(tmp_path / "erp.db")), dataset, **options)


def test_a_url_is_shown_without_what_it_hides():
    address = sql_session.Address.parse("mysql+pymysql://me:s3cr3t%2F@db:1/erp?ssl_key=hid%20den&charset=utf8mb4")
    assert address.shown == "mysql://me:***@db:1/erp"
    assert address.line("bad s3cr3t/ and s3cr3t%2F\nfor hid den") == "bad *** and *** for ***"
    assert repr(Options(url="postgresql://u:s3cr3t@h/d", table="t")).count("s3cr3t") == 0
