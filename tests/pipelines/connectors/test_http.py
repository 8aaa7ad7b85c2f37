"""The connector `http` against a server of its own: every page or none, and one line for whatever goes wrong."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from pathlib import Path

import captures
import httpx
import jsonschema
import jwt
import pytest
import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipelines.capture import CaptureRequest, capture
from pipelines.connectors import Context, http_session, http_signature, open_sink
from pipelines.connectors.http import Options, Source
from pipelines.connectors.http_session import Rate, Reply, retry_after
from reconcilers.corrections import Correction, Mode, Status
from reconcilers.errors import Unreachable
from reconcilers.mapping import Mapping
from reconcilers.messages import json_schema

SECRET = "s3cr3t-token/42"
ITEMS = [{"sku": f"S{n}", "location": "web", "quantity": n} for n in range(1, 24)]


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(http_session, "PAUSES", {"wait_initial": 0.01, "wait_max": 0.05, "wait_jitter": 0.01})


@pytest.fixture
def server():
    with web.serving() as found:
        yield found


def request_of(server, tmp_path, dataset="stock", mapping=None, **options):
    given = {"url": f"{server.url}/stock", "attempts": 3, **options}
    return CaptureRequest(
        system="shop",
        dataset=dataset,
        connector="http",
        options=given,
        context=Context(str(tmp_path), "Europe/Berlin", dataset),
        mapping=mapping or Mapping(dataset),
        buckets=1,
    )


def take(server, tmp_path, **options):
    (snapshot,) = capture([request_of(server, tmp_path, **options)], str(tmp_path / "ws"), datetime.now(UTC))
    return snapshot


def fails(server, tmp_path, **options):
    """The one line that a capture ends with; it leaves no snapshot and shows no secret."""
    with pytest.raises(Unreachable) as caught:
        take(server, tmp_path, **options)
    assert not list((tmp_path / "ws").glob("snapshots/*/*/*/manifest.json"))
    message = str(caught.value)
    assert "\n" not in message
    assert SECRET not in message
    return message


def shown(snapshot):
    return {row["sku"]: row["quantity"] for row in snapshot.read_bucket(0, 1).to_pylist()}


def numbered(items, size=5, faults=None):
    """Pages by number with a total; `faults` says what a page answers instead, the first time."""
    faults = dict(faults or {})

    def answer(asked):
        page = int(asked.params["page"])
        if page in faults:
            return faults.pop(page)
        return web.Answer({"items": items[(page - 1) * size : page * size], "meta": {"total": len(items)}})

    return answer


BY_PAGE = {"by": "page", "parameter": "page", "total": "meta.total"}
ALL = {item["sku"]: Decimal(item["quantity"]) for item in ITEMS}


@pytest.mark.parametrize("concurrency", [1, 4])
def test_pages_by_number(server, tmp_path, concurrency):
    server.answer = numbered(ITEMS)
    snapshot = take(server, tmp_path, paginate={**BY_PAGE, "concurrency": concurrency}, records="items")
    assert shown(snapshot) == ALL
    assert sorted(int(asked.params["page"]) for asked in server.asked) == [1, 1, 2, 3, 4, 5]


@pytest.fixture(scope="module")
def pages():
    with web.serving() as found:
        yield found


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.integers(0, 23), size=st.integers(1, 8), concurrency=st.integers(1, 4), total=st.booleans(),
    by=st.sampled_from(["page", "offset", "cursor", "link"]),
)  # fmt: skip
def test_every_record_comes_once_and_in_order_however_it_is_paged(pages, rows, size, concurrency, total, by):
    items = ITEMS[:rows]

    def answer(asked):
        place = int(asked.params.get("at", "0"))
        begin = (place - 1) * size if by == "page" else place
        more = begin + size < rows
        link = {"Link": f'</stock?at={begin + size}>; rel="next"'} if by == "link" and more else {}
        body = {"items": items[begin : begin + size], "total": rows, "next": begin + size if more else None}
        return web.Answer(body, headers=link)

    pages.answer = answer
    paginate = {
        "by": by,
        **({} if by == "link" else {"parameter": "at"}),
        **({"next": "next"} if by == "cursor" else {}),
        **({"total": "total"} if total else {}),
        **({"concurrency": concurrency} if total and by in ("page", "offset") else {}),
    }
    source = Source(Options(url=f"{pages.url}/stock", records="items", paginate=paginate), Context(".", "UTC", "stock"))
    (split,) = source.plan(datetime.now(UTC)).splits
    found = [row["sku"] for batch in source.read(split) for row in batch.rows.to_pylist()]
    assert found == [item["sku"] for item in items]


def test_pages_are_asked_for_side_by_side_within_the_bound(server, tmp_path):
    together = threading.Barrier(3, timeout=10)

    def answer(asked):
        page = int(asked.params["page"])
        if page in (2, 3, 4):
            together.wait()
        return web.Answer({"items": ITEMS[(page - 1) * 2 : page * 2], "meta": {"total": 8}})

    server.answer = answer
    snapshot = take(server, tmp_path, paginate={**BY_PAGE, "concurrency": 3}, records="items")
    assert len(shown(snapshot)) == 8
    assert server.most_under_way == 3


def test_pages_by_offset_take_the_size_that_comes(server, tmp_path):
    """The server gives at most 4, whatever is asked for; without a total an empty page is the end."""

    def answer(asked):
        begin = int(asked.params["start"])
        assert asked.params["limit"] == "100"
        return web.Answer(ITEMS[begin : begin + 4])

    server.answer = answer
    by = {"by": "offset", "parameter": "start", "size": 100, "size_parameter": "limit"}
    assert shown(take(server, tmp_path, paginate=by)) == ALL


def test_pages_by_cursor(server, tmp_path):
    def answer(asked):
        begin = int(asked.params.get("after", "0"))
        following = str(begin + 10) if begin + 10 < len(ITEMS) else None
        return web.Answer({"items": ITEMS[begin : begin + 10], "next": following})

    server.answer = answer
    by = {"by": "cursor", "parameter": "after", "next": "next"}
    assert shown(take(server, tmp_path, paginate=by, records="items")) == ALL


def test_pages_by_link_header(server, tmp_path):
    def answer(asked):
        begin = int(asked.params.get("from", "0"))
        assert asked.headers["x-api-key"] == SECRET
        link = {"Link": f'</stock?from={begin + 10}>; rel="next"'} if begin + 10 < len(ITEMS) else {}
        return web.Answer(ITEMS[begin : begin + 10], headers=link)

    server.answer = answer
    options = {"paginate": {"by": "link"}, "auth": {"header": "X-Api-Key", "value": SECRET}}
    assert shown(take(server, tmp_path, **options)) == ALL


def test_a_link_to_another_server_is_not_followed(server, tmp_path):
    server.answer = lambda asked: web.Answer(ITEMS, headers={"Link": '<http://evil.example/x>; rel="next"'})
    message = fails(server, tmp_path, paginate={"by": "link"}, auth={"bearer": SECRET})
    assert "another server, http://evil.example/x" in message


def test_graphql_pages(server, tmp_path):
    def answer(asked):
        assert asked.method == "POST"
        variables = asked.json["variables"]
        begin = int(variables.get("after") or 0)
        assert variables["first"] == 10
        assert variables["channel"] == "web"
        nodes = ITEMS[begin : begin + variables["first"]]
        cursor = str(begin + 10) if begin + 10 < len(ITEMS) else None
        return web.Answer({"data": {"stock": {"nodes": nodes, "cursor": cursor}}})

    server.answer = answer
    snapshot = take(
        server,
        tmp_path,
        graphql="query ($first: Int!, $after: String, $channel: String!) { stock { nodes { sku } } }",
        variables={"channel": "web"},
        paginate={"by": "cursor", "parameter": "after", "next": "data.stock.cursor", "size": 10,
                  "size_parameter": "first"},
        records="data.stock.nodes",
    )  # fmt: skip
    assert shown(snapshot) == ALL


def test_a_graphql_error_is_told(server, tmp_path):
    server.answer = lambda asked: web.Answer({"errors": [{"message": f"no field stok {SECRET}"}]})
    message = fails(server, tmp_path, graphql="{ stok }", records="data.stok", auth={"bearer": SECRET})
    assert message == f"shop/stock: {server.url}/stock: no field stok …"


def test_an_answer_with_part_of_the_data_is_none(server, tmp_path):
    body = {"data": {"stock": ITEMS}, "errors": [{"message": "levels of S9 took too long"}]}
    server.answer = lambda asked: web.Answer(body)
    assert fails(server, tmp_path, graphql="{ stock { sku } }", records="data.stock").endswith("S9 took too long")


def test_parameters_of_the_url_are_kept(server, tmp_path):
    def answer(asked):
        assert asked.params["channel"] == "web"
        assert asked.params["fields"] == "all"
        return numbered(ITEMS)(asked)

    server.answer = answer
    options = {"url": f"{server.url}/stock?channel=web", "params": {"fields": "all"}}
    assert shown(take(server, tmp_path, paginate=BY_PAGE, records="items", **options)) == ALL


def test_a_server_that_does_not_know_of_pages(server, tmp_path):
    """Without a total it would be asked for ever."""
    server.answer = lambda asked: web.Answer(ITEMS)
    by = {"by": "page", "parameter": "pgae"}
    assert "page 2 begins like the one before" in fails(server, tmp_path, paginate=by)


def test_fields_by_jmespath(server, tmp_path):
    """Every digit is kept, a type that changes is text for the mapping to judge, a bad row is a reject."""
    server.answer = lambda asked: web.Answer(
        b'{"rows": [{"item": {"no": "A"}, "levels": [{"state": "reserved", "n": 9}, {"state": "free", "n": 0.1000}]},'
        b'{"item": {"no": "B"}, "levels": [{"state": "free", "n": "12"}]},'
        b'{"item": {"no": "C"}, "levels": [{"state": "free", "n": {"amount": 3}}]},'
        b'{"item": {"no": 4711}, "levels": [{"state": "free", "n": 1}]}]}'
    )
    snapshot = take(
        server,
        tmp_path,
        records="rows",
        fields={"sku": "item.no", "quantity": "levels[?state == 'free'] | [0].n"},
        mapping=Mapping("stock", constants={"location": "web"}),
    )
    assert shown(snapshot) == {"A": Decimal("0.1"), "B": 12, "4711": 1}
    assert captures.rejects(snapshot) == [(3, "quantity: not a number")]


def test_each_page_is_as_of_its_own_interval(server, tmp_path):
    began = datetime.now(UTC)
    server.answer = numbered(ITEMS[:10])
    snapshot = take(server, tmp_path, paginate=BY_PAGE, records="items")
    rows = snapshot.read_bucket(0, 1).to_pylist()
    intervals = {(row["as_of"], row["as_of_hi"]) for row in rows}
    assert len(intervals) == 2
    first, second = sorted(intervals)
    assert began <= first[0] <= first[1] <= second[0] <= second[1] <= datetime.now(UTC)
    assert (snapshot.manifest.as_of, snapshot.manifest.as_of_hi) == (first[0], second[1])


@pytest.mark.parametrize(
    ("as_of", "expected"),
    [
        ({"from": "header", "header": "Date"}, datetime(2026, 11, 24, 22, 15, tzinfo=UTC)),
        ({"from": "header", "header": "X-As-Of"}, datetime(2026, 11, 24, 1, tzinfo=UTC)),
        ({"from": "body", "path": "meta.at"}, datetime(2026, 11, 24, 1, tzinfo=UTC)),
    ],
)
def test_as_of_that_the_server_tells(tmp_path, server, as_of, expected):
    headers = {"X-As-Of": "2026-11-24T02:00:00+01:00"}
    if as_of.get("header") == "Date":
        headers = {"X-Date": "Tue, 24 Nov 2026 22:15:00 GMT"}
        as_of = {"from": "header", "header": "X-Date"}
    body = {"items": ITEMS, "meta": {"at": "2026-11-24T02:00:00"}}  # Europe/Berlin
    server.answer = lambda asked: web.Answer(body, headers=headers)
    snapshot = take(server, tmp_path, records="items", as_of=as_of)
    assert (snapshot.manifest.as_of, snapshot.manifest.as_of_hi) == (expected, None)


def test_a_feed_is_complete_up_to_when_reading_it_began(server, tmp_path):
    asked_at = []

    def answer(asked):
        asked_at.append(datetime.now(UTC))
        row = {"kind": "PLACE", "ref": "1", "sku": "A", "location": "web", "quantity": 1}
        return web.Answer([{**row, "posted_at": "2026-11-24T02:00:00Z"}])

    server.answer = answer
    stock = request_of(server, tmp_path, records="[].{sku: sku, location: location, quantity: quantity}")
    events = request_of(server, tmp_path, dataset="events", watermark={"lag": "PT1M"})
    shelf, feed = capture([stock, events], str(tmp_path / "ws"), datetime.now(UTC))
    assert shelf.manifest.as_of_hi <= feed.manifest.watermark + timedelta(minutes=1) <= asked_at[-1]


def lines(*records):
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


EXPORT = lines(
    {"id": "p1", "sku": "A"},
    {"id": "l1", "place": "web", "n": 5, "__parentId": "p1"},
    {"id": "p2", "sku": "B"},
    {"id": "l2", "place": "web", "n": 7, "__parentId": "p2"},
    {"id": "l3", "place": "shop", "n": 2, "__parentId": "p1"},  # far from its parent
    {"id": "p3", "sku": "nowhere"},
)
CHILDREN = {"format": "jsonl", "parent": "__parentId", "fields": {"sku": "parent.sku", "location": "place",
            "quantity": "n"}}  # fmt: skip


def test_children_of_an_export_are_joined_to_their_parents(server, tmp_path):
    server.answer = lambda asked: web.Answer(EXPORT)
    snapshot = take(server, tmp_path, **CHILDREN)
    found = captures.rows(snapshot, "sku", "location", "quantity", "source_line")
    assert found == [("A", "web", 5, 2), ("B", "web", 7, 4), ("A", "shop", 2, 5)]


def test_an_export_that_drops_goes_on_where_it_was(server, tmp_path):
    def answer(asked):
        if "range" not in asked.headers:
            return web.Answer(EXPORT, cut=100)
        begin = int(asked.headers["range"].removeprefix("bytes=").rstrip("-"))
        told = {"Content-Range": f"bytes {begin}-{len(EXPORT) - 1}/{len(EXPORT)}"}
        return web.Answer(EXPORT[begin:], 206, told)

    server.answer = answer
    assert len(captures.rows(take(server, tmp_path, **CHILDREN), "sku")) == 3
    assert [asked.headers.get("range") for asked in server.asked] == [None, "bytes=100-"]


@pytest.mark.parametrize(
    ("export", "message"),
    [
        (EXPORT[:-9], "cut off or damaged"),
        (lines({"id": "l9", "__parentId": "p9"}), "cut off: 1 lines without their parent, such as p9"),
    ],
)
def test_an_export_that_is_cut_off_is_no_snapshot(server, tmp_path, export, message):
    server.answer = lambda asked: web.Answer(export)
    assert message in fails(server, tmp_path, **CHILDREN)


def test_plain_json_lines(server, tmp_path):
    server.answer = lambda asked: web.Answer(lines(*ITEMS))
    assert shown(take(server, tmp_path, format="jsonl")) == ALL


# Faults -------------------------------------------------------------------------------------------

PAGED = {"paginate": {**BY_PAGE, "concurrency": 2}, "records": "items", "auth": {"bearer": SECRET}}


@pytest.mark.parametrize(
    "fault",
    [
        web.Answer(status=500),
        web.Answer(status=429, headers={"Retry-After": "0"}),
        web.Answer(status=503, headers={"Retry-After": "0"}),
        web.Answer({"items": ITEMS[5:10], "meta": {"total": 23}}, cut=40),
        web.Answer(b'{"items": [{"sku": "S6"'),
    ],
    ids=["500", "429", "503", "drops", "truncated"],
)
def test_a_page_that_fails_once_is_asked_for_again(server, tmp_path, fault):
    server.answer = numbered(ITEMS, faults={2: fault})
    assert shown(take(server, tmp_path, **PAGED)) == ALL
    assert [asked.params["page"] for asked in server.asked].count("2") == 2


def test_a_storm_of_429(server, tmp_path):
    """Every page is refused twice, while four are asked for at a time; the pause is everybody's."""
    whole, refused = numbered(ITEMS), Counter()

    def answer(asked):
        refused[asked.params["page"]] += 1
        if refused[asked.params["page"]] <= 2:
            return web.Answer(status=429, headers={"Retry-After": "0.05"})
        return whole(asked)

    server.answer = answer
    by_page = {**PAGED, "paginate": {**BY_PAGE, "concurrency": 4}}
    assert shown(take(server, tmp_path, **by_page)) == ALL


def test_a_field_that_changes_its_type(server, tmp_path):
    """From page to page, and within one: each row by itself."""
    changed = {1: "2", 6: "7.5", 7: 8.25, 11: {"units": 3}, 12: None, 16: True}
    items = [{**item, "quantity": changed.get(n, item["quantity"])} for n, item in enumerate(ITEMS)]
    server.answer = numbered(items)
    snapshot = take(server, tmp_path, **PAGED)
    expected = {item["sku"]: item["quantity"] for item in ITEMS}
    expected |= {"S2": 2, "S7": Decimal("7.5"), "S8": Decimal("8.25")}
    assert shown(snapshot) == {sku: amount for sku, amount in expected.items() if sku not in ("S12", "S13", "S17")}
    reasons = [reason for _, reason in captures.rejects(snapshot)]
    assert reasons == ["quantity: empty", "quantity: empty", "quantity: not a number"]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (web.Answer(status=500), "500 Internal Server Error"),
        (web.Answer(status=429, headers={"Retry-After": "0"}), "429 Too Many Requests"),
        (web.Answer(status=429, headers={"Retry-After": "3600"}), "it asks to wait 3600 s, more than 120 s"),
        (web.Answer(b"[", status=200), "its answer is cut off or not JSON"),
        (web.Answer({"items": ITEMS, "meta": {"total": 99}}, cut=30), "the connection dropped before"),
        (web.Answer(status=401), "401 Unauthorized: the credentials are refused, or have expired"),
        (web.Answer(status=302, headers={"Location": "/login"}), "302 Found: it is elsewhere"),
        (web.Answer({"message": "maintenance"}), "no list of records in the answer where `records` says; it has: me"),
        (web.Answer({"items": [], "meta": {"total": 23}}), "18 records came, it tells of 23"),
        (web.Answer({"items": ITEMS[4:9], "meta": {"total": 24}}), "page 4 begins with the last record of the one"),
        (web.Answer({"items": ITEMS[15:20], "meta": {"total": 22}}), "23 records became 22 on page 4"),
    ],
    ids=["500", "429", "long-wait", "json", "drops", "401", "302", "shape", "missing", "inserted", "removed"],
)
def test_a_page_that_keeps_failing_leaves_no_snapshot(server, tmp_path, fault, message):
    """On page 4 of 5."""
    whole = numbered(ITEMS)
    moved = web.Answer({"items": [ITEMS[14], *ITEMS[15:19]], "meta": {"total": 24}})
    fault = moved if "begins with" in message else fault
    server.answer = lambda asked: fault if asked.params["page"] == "4" else whole(asked)
    assert message in fails(server, tmp_path, **PAGED)


@pytest.mark.parametrize("at", ["1", "4"])
def test_a_server_that_hangs(server, tmp_path, at):
    whole = numbered(ITEMS)
    server.answer = lambda asked: web.Answer(hang=True) if asked.params["page"] == at else whole(asked)
    message = fails(server, tmp_path, **PAGED, timeout="PT1S", attempts=1)
    assert message.endswith(f"{server.url}/stock: no whole answer within 1 s")


def test_a_server_that_is_killed_and_comes_back(tmp_path):
    """It goes away on page 3 without an answer; another one on the same port has the rest."""
    back = []
    with web.serving() as server:
        port = server.server_address[1]
        whole = numbered(ITEMS)

        def answer(asked):
            if asked.params["page"] != "3":
                return whole(asked)
            server.shutdown()
            server.server_close()
            heir = web.Server(port)
            heir.answer = whole
            back.append(heir)
            threading.Thread(target=heir.serve_forever, daemon=True).start()
            return web.Answer(b"{}", cut=0)

        server.answer = answer
        assert shown(take(server, tmp_path, paginate=BY_PAGE, records="items")) == ALL
    for heir in back:
        heir.shutdown()
        heir.server_close()


def test_nobody_there(tmp_path):
    with web.serving() as server:
        pass
    assert "/stock: no connection" in fails(server, tmp_path, attempts=2)


def test_a_cursor_that_repeats(server, tmp_path):
    server.answer = lambda asked: web.Answer({"items": ITEMS[len(server.asked) :], "next": "again"})
    by = {"by": "cursor", "parameter": "after", "next": "next"}
    assert "page 2 leads back to one that was read already" in fails(server, tmp_path, paginate=by, records="items")


def test_rows_that_come_while_it_is_read_are_read_too(server, tmp_path):
    """They are appended: the total grows, and the pages go on."""
    items = list(ITEMS)

    def answer(asked):
        page = int(asked.params["page"])
        if page == 3 and len(items) == len(ITEMS):
            items.extend({"sku": f"N{n}", "location": "web", "quantity": n} for n in range(4))
        return web.Answer({"items": items[(page - 1) * 5 : page * 5], "meta": {"total": len(items)}})

    server.answer = answer
    assert shown(take(server, tmp_path, paginate=BY_PAGE, records="items")).keys() == {i["sku"] for i in items}


# Who asks -----------------------------------------------------------------------------------------


def test_a_signed_token_is_short_lived_and_renewed(server, tmp_path):
    tokens = []

    def answer(asked):
        token = asked.headers["authorization"].removeprefix("Bearer ")
        claims = jwt.decode(token, "k" * 32, algorithms=["HS256"], audience="stock-api")
        assert claims["iss"] == "recon"
        assert claims["exp"] - claims["iat"] == 60
        tokens.append(token)
        return web.Answer(status=401) if len(tokens) == 1 else web.Answer(ITEMS)

    server.answer = answer
    token = {"key": "k" * 32, "issuer": "recon", "audience": "stock-api", "lifetime": "PT60S", "claims": {"n": 1}}
    assert shown(take(server, tmp_path, auth={"jwt": token})) == ALL
    assert len(tokens) == 2


def test_a_key_as_parameter_is_shown_nowhere(server, tmp_path, caplog):
    caplog.set_level("DEBUG")
    whole = numbered(ITEMS, faults={2: web.Answer(status=500)})

    def answer(asked):
        assert asked.params["api_key"] == SECRET
        return whole(asked)

    server.answer = answer
    auth = {"parameter": "api_key", "value": SECRET}
    snapshot = take(server, tmp_path, paginate=BY_PAGE, records="items", auth=auth)
    written = [path.read_bytes() for path in Path(snapshot.path).rglob("*") if path.is_file()]
    assert written
    assert not any(SECRET.encode() in each for each in written)
    assert SECRET not in caplog.text
    assert SECRET not in repr(Options(url=server.url, auth=auth))
    server.answer = lambda asked: web.Answer(SECRET.encode(), status=500)
    fails(server, tmp_path / "b", auth=auth, attempts=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": "ftp://x"}, "url begins with https:// and a host"),
        ({"url": "https://me:hush@x.example"}, "url has credentials in it; put them into auth"),
        ({"auth": {"bearer": SECRET, "header": "X", "value": "v"}}, "auth has one of bearer, header, parameter and"),
        ({"auth": {"header": "X"}}, "auth by header or parameter, and only that, has a value"),
        ({"auth": {"jwt": {"key": SECRET, "algorithm": "none"}}}, "unknown algorithm 'none'"),
        ({"auth": {"jwt": {"key": SECRET, "algorithm": "RS256"}}}, "the key does not sign with RS256"),
        ({"paginate": {"by": "page"}}, "by page needs parameter"),
        ({"paginate": {"by": "cursor", "parameter": "c"}}, "by cursor, and only that, needs next"),
        ({"paginate": {"by": "page", "parameter": "p", "concurrency": 2}}, "concurrency needs pages by page or offset"),
        ({"records": "a[["}, "'a[[' is not JMESPath"),
        ({"graphql": "mutation { x }"}, "graphql must only read"),
        ({"as_of": {"from": "header"}}, "as_of from header needs header"),
        ({"format": "jsonl", "records": "x"}, "jsonl is one file"),
        ({"timeout": "soon"}, "'soon' is not an ISO 8601 duration"),
    ],
)  # fmt: skip
def test_options_that_do_not_fit(options, message):
    with pytest.raises(ValidationError) as caught:
        Options(**{"url": "https://shop.example/stock", **options})
    assert message in str(caught.value)
    assert not any(secret in str(caught.value) for secret in (SECRET, "hush"))


def test_retry_after_is_seconds_or_a_date():
    assert retry_after(None) is None
    assert retry_after("7") == 7
    assert retry_after("soon") is None
    assert retry_after("Tue, 24 Nov 2020 22:15:00 GMT") == 0


@pytest.mark.parametrize(
    ("ahead", "age", "told"),
    [(0, None, 0.7), (60, None, 60), (-60, None, -59), (-60, "60", 0.7)],
    ids=["the same second", "ahead", "behind", "out of a cache"],
)
def test_what_a_servers_clock_said(ahead, age, told):
    """Whole seconds: of the one that it names, the instant nearest to when its answer came."""
    second = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)
    received_at = second + timedelta(seconds=0.7)
    headers = {"Date": format_datetime(second + timedelta(seconds=ahead), usegmt=True), **({"Age": age} if age else {})}
    assert Reply(200, httpx.Headers(headers), b"", received_at, received_at).clock == second + timedelta(seconds=told)


@pytest.mark.parametrize("headers", [{}, {"Date": "soon"}, {"Date": "Tue, 24 Nov 2026 02:00:00 GMT", "Age": "old"}])
def test_a_server_that_does_not_tell_the_time(headers):
    assert Reply(200, httpx.Headers(headers), b"", datetime.now(UTC), datetime.now(UTC)).clock is None


def test_a_rate_spaces_requests():
    """Four turns at 50 a second take at least three gaps."""
    rate, began = Rate(50), datetime.now(UTC)
    for _ in range(4):
        rate.wait()
    assert datetime.now(UTC) - began >= timedelta(seconds=3 / 50)


# Webhooks -----------------------------------------------------------------------------------------


def correction(key="k1", **changes):
    given = {
        "correction_id": f"c-{key}", "run_id": "r", "pair": "shop~erp", "target": "shop", "sku": "A", "location": "web",
        "basis": "available", "mode": Mode.SET, "value": Decimal("4.5"), "change_from": Decimal(7),
        "delta": Decimal("-2.5"), "reason": "UNEXPLAINED", "reference": "gid://recon/Correction/1",
        "idempotency_key": key, "created_at": datetime(2026, 11, 24, tzinfo=UTC),
    }  # fmt: skip
    return Correction(**{**given, **changes})


@pytest.fixture(params=["PT20S"])
def hook(server, request):
    """A sink, with the time that a request may take."""
    options = {"url": f"{server.url}/hooks", "secret": SECRET * 2, "timeout": request.param}
    sink = open_sink("http", options, Context(".", "UTC", "stock"))
    yield sink
    sink.close()


def test_a_webhook_is_signed_and_answered_line_by_line(server, hook):
    def answer(asked):
        at, signature = (part.split("=")[1] for part in asked.headers["recon-signature"].split(","))
        signed = hmac.new((SECRET * 2).encode(), at.encode() + b"." + asked.body, hashlib.sha256)
        assert signature == signed.hexdigest()
        told = [each["idempotency_key"] for each in asked.json["corrections"]]
        assert told == ["k1", "k2", "k3"]
        for each in asked.json["corrections"]:
            jsonschema.validate(each, json_schema())
        results = [
            {"idempotency_key": "k3", "status": "REJECTED", "message": "unknown SKU"},
            {"idempotency_key": "k1", "status": "APPLIED"},
            {"idempotency_key": "k2", "status": "STALE", "observed": "6"},
        ]
        return web.Answer({"results": results})

    server.answer = answer
    receipts = hook.send([correction("k1"), correction("k2"), correction("k3")])
    assert [(each.idempotency_key, each.status, each.message, each.observed) for each in receipts] == [
        ("k1", Status.APPLIED, "", None),
        ("k2", Status.STALE, "", Decimal(6)),
        ("k3", Status.REJECTED, "unknown SKU", None),
    ]


def test_a_batch_has_the_same_key_again(server, hook):
    server.answer = lambda asked: web.Answer(status=202)
    for batch in (["k1", "k2"], ["k1", "k2"], ["k1"]):
        receipts = hook.send([correction(key) for key in batch])
        assert {each.status for each in receipts} == {Status.SENT}
    first, again, other = (asked.headers["idempotency-key"] for asked in server.asked)
    assert first == again != other


def test_a_batch_that_is_refused(server, hook):
    server.answer = lambda asked: web.Answer(b"no such shop", status=422)
    (receipt,) = hook.send([correction()])
    assert (receipt.status, receipt.message) == (Status.REJECTED, "no such shop")


@pytest.mark.parametrize(
    ("answer", "hook"),
    [
        (web.Answer(hang=True), "PT1S"),
        (web.Answer(status=500), "PT20S"),
        (web.Answer(status=401), "PT20S"),
        (web.Answer({"results": []}), "PT20S"),
        (web.Answer({"results": [{"idempotency_key": "k1", "status": "FINE"}]}), "PT20S"),
        (web.Answer({"results": [{"idempotency_key": "k1", "status": "APPLIED"}]}, cut=10), "PT20S"),
        (web.Answer(b"<html>"), "PT20S"),
    ],
    indirect=["hook"],
    ids=["hangs", "500", "401", "silent", "unknown", "drops", "html"],
)
def test_a_batch_without_an_answer_may_have_been_applied(server, hook, answer):
    server.answer = lambda asked: answer
    with pytest.raises(Unreachable) as caught:
        hook.send([correction()])
    assert len(server.asked) == 1
    assert SECRET not in str(caught.value)


def test_a_signature_is_of_one_body_secret_and_instant():
    header = http_signature.sign("secret", b"{}", 1000)
    assert http_signature.verify("secret", header, b"{}", now=1300)
    assert http_signature.verify("secret", header + ",v1=00", b"{}", now=1000)
    assert not http_signature.verify("secret", header, b"{}", now=1301)
    assert not http_signature.verify("secret", header, b"{ }", now=1000)
    assert not http_signature.verify("Secret", header, b"{}", now=1000)
    assert not http_signature.verify("secret", header.replace("t=1000", "t=1001"), b"{}", now=1000)


@given(st.text())
def test_a_header_of_any_kind_is_no_signature(header):
    assert not http_signature.verify("secret", header, b"{}", now=0)
