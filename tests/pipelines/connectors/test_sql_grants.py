"""What the documentation says that a user of a database may do: it is enough, and no more than it says."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import captures
import pytest

from pipelines.capture import CaptureRequest
from pipelines.connectors import Context, open_sink
from reconcilers.corrections import Correction, Mode, Status
from reconcilers.mapping import Mapping

DOCUMENT = Path(__file__).parents[3] / "docs" / "connectors.md"
BLOCKS = re.findall(r"^```sql\n-- (\w+), ([^\n]*)\n(.*?)^```", DOCUMENT.read_text(encoding="utf-8"), re.M | re.S)
GRANTS = {(scheme, use): script for scheme, use, script in BLOCKS}
COLUMNS = {"sku": "item_no", "location": "whse", "quantity": "qty_oh"}


@pytest.fixture(params=["postgresql", "mariadb"])
def erp(request):
    """A server with the tables that the documentation talks of, and the users that it makes; who they are."""
    server = request.getfixturevalue(request.param)
    server.run(
        "drop table if exists item_stock, order_lines, recon_applied;"
        "create table item_stock (item_no varchar(40), whse varchar(20), qty_oh decimal(14,3));"
        "create table order_lines (item_no varchar(40), posted_at timestamp);"
        "insert into item_stock values ('A', 'w', 5), ('B', 'w', 7)"
    )
    for use in ("to read", "as a sink"):
        server.run(GRANTS[server.scheme, use])
    yield server
    forget(server)


def forget(server):
    """Take away tables and users."""
    server.run("drop table item_stock, order_lines, recon_applied")
    if server.scheme == "postgresql":
        server.run("drop owned by recon_reader, recon_writer; drop role recon_reader, recon_writer")
    else:
        server.run("drop user recon_reader@'%', recon_writer@'%'")


def as_user(server, user):
    return server.url_of(user=user, password="secret")


def correction():
    return Correction(
        correction_id="c", run_id="r", pair="shop~erp", target="erp", sku="A", location="w", basis="on_hand",
        mode=Mode.SET, value=Decimal(4), delta=None, reason="UNEXPLAINED", reference="run r",
        change_from=Decimal(5), idempotency_key="k", created_at=datetime(2026, 11, 23, tzinfo=UTC),
    )  # fmt: skip


def sent(url):
    sink = open_sink("sql", {"url": url, "table": "item_stock", "columns": COLUMNS}, Context("/", "UTC", "stock"))
    try:
        return [receipt.status for receipt in sink.send([correction()])]
    finally:
        sink.close()


def refused(server, url, statement):
    """Whether a user may not do something, in a session of its own that is not read-only."""
    import sqlalchemy as sa

    driver = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}[server.scheme]
    engine = sa.create_engine(sa.make_url(url).set(drivername=driver))
    with engine.connect() as connection:
        try:
            connection.execute(sa.text(statement))
        except sa.exc.DBAPIError as error:
            return re.search("denied|must be owner", str(error)) is not None
        finally:
            engine.dispose()
    return False


def test_a_reader_reads_and_writes_nothing(erp, tmp_path):
    url = as_user(erp, "recon_reader")
    split = {"partition": {"column": "ctid", "splits": 2}} if erp.scheme == "postgresql" else {}
    request = CaptureRequest("erp", "stock", "sql", {"url": url, "table": "item_stock", **split},
                             Context("/", "UTC", "stock"), Mapping("stock", columns=COLUMNS))  # fmt: skip
    (snapshot,) = captures.taken(tmp_path, request)
    assert captures.rows(snapshot, "sku", "quantity") == [("A", 5), ("B", 7)]
    for statement in (
        "insert into item_stock values ('C', 'w', 1)",
        "update item_stock set qty_oh = 0",
        "delete from item_stock",
        "drop table order_lines",
        "select * from recon_applied",
    ):
        assert refused(erp, url, statement), statement


def test_a_writer_corrects_the_number_and_nothing_else(erp):
    url = as_user(erp, "recon_writer")
    assert sent(url) == [Status.APPLIED]
    assert sent(url) == [Status.APPLIED], "it is known by its key"
    assert erp.run("select sum(qty_oh) from item_stock").strip() == "11.000"
    for statement in (
        "update item_stock set item_no = 'X'",
        "delete from item_stock",
        "insert into item_stock values ('C', 'w', 1)",
        "delete from recon_applied",
        "update recon_applied set was = '1'",
        "select * from order_lines",
    ):
        assert refused(erp, url, statement), statement
