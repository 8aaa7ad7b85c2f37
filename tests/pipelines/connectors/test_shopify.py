"""The connector `shopify` against a server that keeps to the documented contract, errors and throttling included."""

from __future__ import annotations

import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import captures
import pytest
import shopify
import web
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.capture import CaptureRequest, capture
from pipelines.connectors import Context, http_session, open_sink, shopify_bulk
from pipelines.connectors.shopify import EXAMPLE, Options, Source
from reconcilers.corrections import Correction, Mode, Status
from reconcilers.errors import ConfigError, Unreachable
from reconcilers.mapping import Mapping

NOW = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)
SECRET = shopify.TOKEN


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(http_session, "PAUSES", {"wait_initial": 0.01, "wait_max": 0.05, "wait_jitter": 0.01})


@pytest.fixture
def shop():
    with shopify.shop() as found:
        found.berlin, found.hamburg = found.location("Berlin"), found.location("Hamburg")
        yield found


def request(shop, tmp_path, dataset="stock", basis="available", **options):
    given = {"shop": shop.server.url, "token": SECRET, **options}
    return CaptureRequest(
        system="storefront",
        dataset=dataset,
        connector="shopify",
        options=given,
        context=Context(str(tmp_path), "Europe/Berlin", dataset),
        mapping=Mapping("stock", columns={"quantity": basis}) if dataset == "stock" else Mapping("events"),
        buckets=1,
    )


def take(shop, tmp_path, *args, **options):
    (snapshot,) = capture([request(shop, tmp_path, *args, **options)], str(tmp_path / "ws"), datetime.now(UTC))
    return snapshot


def fails(shop, tmp_path, *args, **options):
    with pytest.raises(Unreachable) as caught:
        take(shop, tmp_path, *args, **options)
    assert not list((tmp_path / "ws").glob("snapshots/*/*/*/manifest.json"))
    assert "\n" not in str(caught.value)
    assert SECRET not in str(caught.value)
    return str(caught.value)


def levels(snapshot):
    return {(row["sku"], row["location"]): row["quantity"] for row in snapshot.read_bucket(0, 1).to_pylist()}


def stocked(shop, items=20):
    """Items S0, S1, … with n in Berlin and 2n in Hamburg."""
    for n in range(items):
        shop.item(f"S{n}", Berlin=n, Hamburg=2 * n)
    return {(f"S{n}", place): n * times for n in range(items) for place, times in (("Berlin", 1), ("Hamburg", 2))}


# Stock --------------------------------------------------------------------------------------------


def test_stock_levels(shop, tmp_path):
    expected = stocked(shop)
    shop.bulk.polls = 2
    before = datetime.now(UTC).replace(microsecond=0)
    snapshot = take(shop, tmp_path)
    assert levels(snapshot) == expected
    manifest = snapshot.manifest
    assert manifest.as_of_kind == "bulk_operation"
    assert before <= manifest.as_of <= (manifest.as_of_hi or manifest.as_of) <= datetime.now(UTC)
    written = [path.read_bytes() for path in Path(snapshot.path).rglob("*") if path.is_file()]
    assert not any(SECRET.encode() in each or b"signature=" in each for each in written)


def test_items_that_are_not_tracked_are_rejects(shop, tmp_path):
    shop.item("A", Berlin=1)
    shop.item("gift card", tracked=False, Berlin=0)
    shop.item("", Berlin=3)
    snapshot = take(shop, tmp_path)
    assert levels(snapshot) == {("A", "Berlin"): 1}
    assert sorted(reason for _, reason in captures.rejects(snapshot)) == ["SKU_EMPTY", "not tracked by the shop"]


@pytest.mark.parametrize("dataset", ["stock", "events"])
def test_the_columns_are_known_before_anything_is_exported(shop, tmp_path, dataset):
    shop.item("A", Berlin=1)
    shop.order("#1", [("A", 1)], NOW, shop.berlin)
    asked = request(shop, tmp_path, dataset)
    source = Source(Options(**asked.options), asked.context)
    plan = source.plan(datetime.now(UTC))
    (batch,) = source.read(plan.splits[0])
    assert set(batch.rows.column_names) - {"source_file", "source_line"} == set(plan.columns)


def test_a_column_that_a_shop_does_not_have_is_told_at_once(shop, tmp_path):
    with pytest.raises(ConfigError, match="no column 'avaiable' in the source; did you mean 'available'"):
        take(shop, tmp_path, basis="avaiable")
    assert shop.operations == {}


def test_the_scopes_that_the_documentation_names_suffice(shop, tmp_path):
    """For each kind of dataset, and for corrections; with none of them less."""
    shop.item("A", Berlin=1)
    shop.order("#1", [("A", 1)], NOW, shop.berlin)
    uses = {
        ("read_inventory", "read_locations"): lambda: take(shop, tmp_path),
        ("read_orders", "read_locations", "read_merchant_managed_fulfillment_orders"):
            lambda: take(shop, tmp_path, "events"),
        ("write_inventory", "read_locations"): lambda: _sent(shop),
    }  # fmt: skip
    for scopes, use in uses.items():
        for fewer in scopes:
            shop.scopes = [scope for scope in scopes if scope != fewer]
            with pytest.raises(Unreachable, match="scope|Access denied"):
                use()
        shop.scopes = list(scopes)
        use()
    documented = (Path(__file__).parents[3] / "docs" / "connectors.md").read_text(encoding="utf-8")
    assert all(f"`{scope}`" in documented for scopes in uses for scope in scopes)


def _sent(shop):
    target = open_sink("shopify", {"shop": shop.server.url, "token": SECRET}, Context(".", "UTC", "stock"))
    try:
        return target.send([correction("A", 2, 1, location="Berlin")])
    finally:
        target.close()


def test_an_empty_shop(shop, tmp_path):
    assert take(shop, tmp_path).manifest.rows == 0


@pytest.mark.parametrize("fails_after", [[7], [1, 2, 3], [0, 19], [20]])
def test_an_export_that_fails_half_way_goes_on(shop, tmp_path, fails_after):
    """The last root of a partial result may lack children: it is fetched again, and nothing comes twice."""
    expected = stocked(shop)
    shop.bulk.fail_after = list(fails_after)
    snapshot = take(shop, tmp_path)
    assert levels(snapshot) == expected
    assert snapshot.manifest.rows == len(expected)
    assert len(shop.operations) == len(fails_after) + 1


def test_the_last_root_of_a_partial_result_is_dropped(tmp_path):
    path = tmp_path / "part.jsonl"
    path.write_text(
        '{"id":"gid://shopify/X/7"}\n{"n":1,"__parentId":"gid://shopify/X/7"}\n{"id":"gid://shopify/X/9"}\n{"n":'
    )
    assert shopify_bulk._cut(path) == 9
    assert path.read_text() == '{"id":"gid://shopify/X/7"}\n{"n":1,"__parentId":"gid://shopify/X/7"}\n'


def test_a_failure_without_partial_data_starts_anew(shop, tmp_path):
    expected = stocked(shop)
    shop.bulk.fail_after, shop.bulk.partial = [7], False
    assert levels(take(shop, tmp_path)) == expected


def test_an_export_that_never_gets_through(shop, tmp_path):
    stocked(shop)
    shop.bulk.fail_after, shop.bulk.error = [3] * 9, "TIMEOUT"
    assert fails(shop, tmp_path).endswith("the bulk operation ended as FAILED: timeout")


def test_a_download_that_drops_goes_on(shop, tmp_path):
    expected = stocked(shop)
    drops = iter([web.Answer(cut=200), web.Answer(cut=300)])
    file = shop._file

    def dropping(asked):
        fault = next(drops, None)
        if fault is not None:
            shop.faults.append(fault)
        return file(asked)

    shop._file = dropping
    assert levels(take(shop, tmp_path)) == expected


def test_a_file_that_is_not_what_shopify_counted(shop, tmp_path):
    stocked(shop)
    prepare = shop._prepare

    def shortened(operation, *args):
        prepare(operation, *args)
        name = f"/bulk/{operation.number}.jsonl"
        shop.files[name] = shop.files[name][: shop.files[name].rindex(b"\n", 0, -1) + 1]
        operation.outcome["fileSize"] = str(len(shop.files[name]))

    shop._prepare = shortened
    assert fails(shop, tmp_path).endswith("59 objects of the bulk operation came, it has 60")


def test_it_waits_for_its_turn(shop, tmp_path):
    """Shopify runs so many at a time: another app's operation ends after a few questions."""
    expected = stocked(shop)
    other = shop._new("BulkOperation", status="RUNNING", polls=0, outcome={})
    shop.operations[other.id] = other
    shop.bulk.at_once = 1
    end = threading.Timer(0.3, lambda: other.__dict__.update(status="COMPLETED"))
    end.start()
    assert levels(take(shop, tmp_path)) == expected
    end.join()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda shop: shop.scopes.remove("read_inventory") or shop.scopes.remove("write_inventory"),
         "the app's token has no scope read_inventory"),
        (lambda shop: shop.faults.append(web.Answer(status=401)), "401 Unauthorized: the credentials are refused"),
        (lambda shop: shop.faults.extend([web.Answer(status=502)] * 9), "502 Bad Gateway"),
        (lambda shop: setattr(shop.bulk, "polls", 99), "the bulk operation is not done in time"),
    ],
    ids=["scope", "401", "502", "slow"],
)  # fmt: skip
def test_what_keeps_an_export_from_being_had(shop, tmp_path, change, message):
    stocked(shop)
    change(shop)
    assert message in fails(shop, tmp_path, patience="PT1S")


def test_faults_of_a_moment_are_got_over(shop, tmp_path):
    expected = stocked(shop)
    shop.faults += [web.Answer(status=429, headers={"Retry-After": "0.1"}), web.Answer(status=503)]
    assert levels(take(shop, tmp_path)) == expected


def test_a_server_that_is_killed_and_comes_back(shop, tmp_path):
    """While it makes the export; another process of the same shop answers from then on."""
    expected = stocked(shop)
    polled, heirs = shop._polled, []

    def dying(wanted):
        if not heirs:
            shop.server.shutdown()
            shop.server.server_close()
            heirs.append(web.Server(shop.server.server_address[1]))
            heirs[0].answer = shop.answer
            threading.Thread(target=heirs[0].serve_forever, daemon=True).start()
        return polled(wanted)

    shop.bulk.polls, shop._polled = 3, dying
    try:
        assert levels(take(shop, tmp_path)) == expected
    finally:
        heirs[0].shutdown()
        heirs[0].server_close()


def test_an_export_whose_start_is_not_heard_of_is_started_again(shop, tmp_path):
    expected = stocked(shop)
    shop.lost = [web.Answer(b"{", cut=0)]
    assert levels(take(shop, tmp_path)) == expected
    assert len(shop.operations) == 2


def test_a_token_that_is_wrong(shop, tmp_path):
    assert "the credentials are refused, or have expired" in fails(shop, tmp_path, token="shpat_other")


def test_an_app_gets_its_own_token_and_another_when_that_is_refused(shop, tmp_path):
    expected = stocked(shop)
    client = {"token": None, "client_id": shopify.CLIENT_ID, "client_secret": shopify.CLIENT_SECRET}
    run_bulk = shop._run_bulk
    revoked = []

    def revoking(*args, **given):
        revoked.append(shop.tokens.pop())
        shop.tokens.append("another")
        return run_bulk(*args, **given)

    shop._run_bulk = revoking
    assert levels(take(shop, tmp_path, **client)) == expected
    assert len(revoked) == 1


def test_a_client_that_the_shop_does_not_know(shop, tmp_path):
    client = {"token": None, "client_id": shopify.CLIENT_ID, "client_secret": "shpss_wrong"}
    message = fails(shop, tmp_path, **client)
    assert message.endswith("/admin/oauth/access_token: 400: the shop grants no token to this client")


# Orders -------------------------------------------------------------------------------------------


def events(shop, tmp_path, **options):
    found = take(shop, tmp_path, "events", **options).read_bucket(0, 1).to_pylist()
    columns = ("kind", "ref", "sku", "location", "quantity", "posted_at")
    return sorted(tuple(row[name] for name in columns) for row in found)


TWO_DAYS_AGO = datetime.now(UTC).replace(microsecond=0) - timedelta(days=2)


def at(hours):
    return TWO_DAYS_AGO + timedelta(hours=hours)


def test_orders_are_events_at_their_own_instants(shop, tmp_path):
    placed, sent, more, refunded = at(0), at(5), at(6), at(9)
    order = shop.order("#1001", [("A", 5), ("B", 2)], placed, shop.berlin)
    shop.fulfil(order, {0: 2}, sent)
    shop.fulfil(order, {0: 1, 1: 2}, more)
    shop.refund(order, {0: 2}, "CANCEL", refunded, shop.berlin)
    shop.refund(order, {1: 1}, "RETURN", refunded, shop.hamburg)
    shop.refund(order, {1: 1}, "NO_RESTOCK", refunded)
    assert events(shop, tmp_path) == sorted([
        ("PLACE", "#1001", "A", "Berlin", 3, placed),
        ("PLACE", "#1001", "A", "Berlin", 2, placed),
        ("PLACE", "#1001", "B", "Berlin", 2, placed),
        ("SHIP", "#1001", "A", "Berlin", 2, sent),
        ("SHIP", "#1001", "A", "Berlin", 1, more),
        ("SHIP", "#1001", "B", "Berlin", 2, more),
        ("CANCEL", "#1001", "A", "Berlin", 2, refunded),
        ("RESTOCK", "#1001", "B", "Hamburg", 1, refunded),
    ])  # fmt: skip


def test_most_orders_need_no_further_question(shop, tmp_path):
    """One fulfilment: its instant is in the export. No refund: nothing else to ask."""
    order = shop.order("#1", [("A", 1)], at(0), shop.berlin)
    shop.fulfil(order, {0: 1}, at(3))
    assert [each[0] for each in events(shop, tmp_path)] == ["PLACE", "SHIP"]
    assert not any("refundLineItems" in query for query, _ in shop.queries)


def test_a_cancelled_order_gives_back_what_it_took(shop, tmp_path):
    """Nothing is left to be sent, so only the refund knows from where it would have been."""
    order = shop.order("#2", [("A", 4)], at(0), shop.hamburg)
    shop.refund(order, {0: 4}, "CANCEL", at(1), shop.hamburg)
    assert events(shop, tmp_path) == [
        ("CANCEL", "#2", "A", "Hamburg", 4, at(1)),
        ("PLACE", "#2", "A", "Hamburg", 4, at(0)),
    ]


def test_a_line_that_is_sent_from_two_locations(shop, tmp_path):
    order = shop.order("#3", [("A", 5)], at(0), shop.berlin)
    order.fulfillmentOrders[0].lineItems[0].totalQuantity = 3
    shop._route(order, shop.hamburg, [(order.lineItems[0], 2)])
    assert [(kind, place, n) for kind, _, _, place, n, _ in events(shop, tmp_path)] == [
        ("PLACE", "Berlin", 3),
        ("PLACE", "Hamburg", 2),
    ]


def test_old_orders_count_while_they_are_open(shop, tmp_path):
    long_ago = at(0) - timedelta(days=90)
    shop.order("#open", [("A", 1)], long_ago, shop.berlin)
    done = shop.order("#done", [("A", 1)], long_ago, shop.berlin)
    done.cancelledAt = shopify.instant(long_ago)
    assert {each[1] for each in events(shop, tmp_path)} == {"#open"}


def test_many_refunds_are_asked_for_in_batches(shop, tmp_path):
    for n in range(25):
        shop.refund(shop.order(f"#{n}", [("A", 2)], at(0), shop.berlin), {0: 1}, "RETURN", at(1), shop.berlin)
    kinds = [each[0] for each in events(shop, tmp_path)]
    assert (kinds.count("PLACE"), kinds.count("RESTOCK")) == (25, 25)
    assert [len(given["ids"]) for query, given in shop.queries if "refundLineItems" in query] == [10, 10, 5]


def test_a_feed_reaches_as_far_as_the_stock_before_it(shop, tmp_path):
    stocked(shop, 2)
    shop.order("#1", [("S1", 1)], at(0), shop.berlin)
    requests = [request(shop, tmp_path), request(shop, tmp_path, "events")]
    stock, feed = capture(requests, str(tmp_path / "ws"), datetime.now(UTC))
    assert feed.manifest.watermark >= (stock.manifest.as_of_hi or stock.manifest.as_of)


def test_an_export_of_orders_that_fails_half_way_goes_on(shop, tmp_path):
    for n in range(9):
        shop.order(f"#{n}", [("A", 1), ("B", 1)], at(n), shop.berlin)
    shop.bulk.fail_after = [4]
    assert len(events(shop, tmp_path)) == 18


STEPS = st.lists(
    st.tuples(st.sampled_from(["SHIP", "CANCEL", "RETURN", "NO_RESTOCK"]), st.integers(0, 1), st.integers(1, 3)),
    max_size=6,
)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_whatever_happens_to_an_order_its_events_add_up(steps):
    """What was placed is what was ordered; what was sent, cancelled and put back is what the steps say."""
    with shopify.shop() as shop:
        berlin = shop.location("Berlin")
        order = shop.order("#1", [("A", 5), ("B", 4)], at(0), berlin)
        expected = Counter({("PLACE", "A"): 5, ("PLACE", "B"): 4})
        open_units, sent = {0: 5, 1: 4}, {0: 0, 1: 0}
        for hour, (step, place, wanted) in enumerate(steps, 1):
            pool = sent if step == "RETURN" else open_units
            quantity = min(wanted, pool[place])
            if not quantity:
                continue
            pool[place] -= quantity
            sku = "AB"[place]
            if step == "SHIP":
                sent[place] += quantity
                shop.fulfil(order, {place: quantity}, at(hour))
                expected["SHIP", sku] += quantity
            else:
                shop.refund(order, {place: quantity}, step, at(hour), None if step == "NO_RESTOCK" else berlin)
                kind = {"CANCEL": "CANCEL", "RETURN": "RESTOCK"}.get(step)
                expected.update({(kind, sku): quantity} if kind else {})
        source = Source(Options(shop=shop.server.url, token=SECRET), Context(".", "UTC", "events"))
        (split,) = source.plan(datetime.now(UTC)).splits
        rows = [row for batch in source.read(split) for row in batch.rows.to_pylist()]
        found = Counter()
        for row in rows:
            found[row["kind"], row["sku"]] += int(row["quantity"])
        assert found == expected
        assert len({row["event_id"] for row in rows}) == len(rows)


def test_the_examples_are_whole_datasets():
    for name, dataset in yaml.safe_load(EXAMPLE).items():
        mapped = {key: dataset.pop(key) for key in ("connector", "columns", "profile") if key in dataset}
        Options(**dataset)
        Mapping(name, columns=mapped.get("columns", {}))


# Corrections --------------------------------------------------------------------------------------


def correction(sku, value, change_from, key=None, **changes):
    given = {
        "correction_id": f"c-{sku}", "run_id": "20261124T020000Z", "pair": "storefront~erp", "target": "storefront",
        "sku": sku, "location": "Berlin", "basis": "available", "mode": Mode.SET, "value": Decimal(value),
        "change_from": Decimal(change_from), "delta": Decimal(value) - Decimal(change_from), "reason": "UNEXPLAINED",
        "reference": "", "idempotency_key": key or f"k-{sku}", "created_at": NOW,
    }  # fmt: skip
    return Correction(**{**given, **changes})


@pytest.fixture
def sink(shop):
    opened = open_sink("shopify", {"shop": shop.server.url, "token": SECRET},
                       Context(".", "UTC", "stock"))  # fmt: skip
    yield opened
    opened.close()


def statuses(receipts):
    return [(each.status, each.observed) for each in receipts]


def test_set_with_compare(shop, sink):
    stocked(shop, 4)
    receipts = sink.send([correction("S1", 7, 1), correction("S2", 0, 2), correction("S3", 9, 6, location="Hamburg")])
    assert statuses(receipts) == [(Status.APPLIED, None)] * 3
    assert [shop.number("S1", "Berlin"), shop.number("S2", "Berlin"), shop.number("S3", "Hamburg")] == [7, 0, 9]
    (mutation, _, given), = shop.applied  # fmt: skip
    assert (mutation, given["name"], given["reason"]) == ("inventorySetQuantities", "available", "correction")
    assert given["referenceDocumentUri"] == "gid://recon/Run/20261124T020000Z"


def test_lines_that_are_refused_do_not_fail_the_others(shop, sink):
    stocked(shop, 4)
    shop.item("bundle", mutable=False, Berlin=5)
    shop.item("elsewhere", Hamburg=5)
    shop.item("twice", Berlin=5)
    shop.item("twice", Berlin=6)
    receipts = sink.send([
        correction("S1", 7, 1),
        correction("S2", 7, 1),  # it is 2
        correction("bundle", 6, 5),
        correction("elsewhere", 6, 5),
        correction("twice", 6, 5),
        correction("unknown", 6, 5),
        correction("S3", 6, 3, location="Munich"),
        correction("S3", "6.5", 3, key="k-half"),
        correction("S3", 6, 3, key="k-basis", basis="on_hand"),
        correction("S3", 7, 3, key="k-good"),
    ])  # fmt: skip
    told = [(each.idempotency_key, each.status, each.observed, each.message) for each in receipts]
    assert told == [
        ("k-S1", Status.APPLIED, None, ""),
        ("k-S2", Status.STALE, Decimal(2), "it shows 2, not 1"),
        ("k-bundle", Status.REJECTED, None, "The specified inventory item is not allowed to be adjusted via API."),
        ("k-elsewhere", Status.REJECTED, None, "The specified inventory item is not stocked at the location."),
        ("k-twice", Status.REJECTED, None, "2 inventory items have this SKU"),
        ("k-unknown", Status.REJECTED, None, "no inventory item has this SKU"),
        ("k-S3", Status.REJECTED, None, "no location 'Munich' in the shop"),
        ("k-half", Status.REJECTED, None, "not in whole units"),
        ("k-basis", Status.REJECTED, None, "a correction of on_hand; this sink writes available"),
        ("k-good", Status.APPLIED, None, ""),
    ]
    assert (shop.number("S1", "Berlin"), shop.number("S2", "Berlin"), shop.number("S3", "Berlin")) == (7, 2, 7)


def test_deltas(shop, sink):
    stocked(shop, 3)
    corrections = [correction("S1", 5, 1, mode=Mode.DELTA), correction("S2", 0, 2, mode=Mode.DELTA)]
    for _ in range(2):  # the same keys: once
        assert statuses(sink.send(corrections)) == [(Status.APPLIED, None)] * 2
    assert (shop.number("S1", "Berlin"), shop.number("S2", "Berlin")) == (5, 0)
    assert len(shop.applied) == 1


def test_a_delta_makes_no_level_where_nothing_is_stocked(shop, sink):
    """Shopify would; the level would be inactive, and nobody could buy of it."""
    stocked(shop, 2)
    shop.item("elsewhere", Hamburg=5)
    receipts = sink.send([correction("elsewhere", 6, 5, mode=Mode.DELTA), correction("S1", 6, 1, mode=Mode.DELTA)])
    told = "the inventory item is not stocked at the location"
    assert [(each.status, each.message) for each in receipts] == [(Status.REJECTED, told), (Status.APPLIED, "")]


@pytest.mark.parametrize("mode", [Mode.SET, Mode.DELTA])
@pytest.mark.parametrize("lost", [web.Answer(b"{", cut=0), web.Answer(b"nothing", status=502)], ids=["drops", "502"])
def test_an_answer_that_is_lost_and_asked_for_again(shop, sink, mode, lost):
    """The shop did it, and the answer never came: the same batch again has the same key, and is done once."""
    stocked(shop, 3)
    corrections = [correction("S1", 5, 1, mode=mode), correction("S2", 4, 2, mode=mode)]
    shop.lost = [lost]
    with pytest.raises(Unreachable) as caught:
        sink.send(corrections)
    assert SECRET not in str(caught.value)
    assert len(shop.applied) == 1
    assert statuses(sink.send(corrections)) == [(Status.APPLIED, None)] * 2
    assert (shop.number("S1", "Berlin"), shop.number("S2", "Berlin"), len(shop.applied)) == (5, 4, 1)


def test_a_lost_answer_to_the_rest_of_a_batch(shop, sink):
    """One line was stale, the rest went through unheard: sent again, the shop shows the value, so it is applied."""
    stocked(shop, 4)
    corrections = [correction("S1", 5, 1), correction("S2", 9, 1), correction("S3", 8, 3)]
    shop.lost = [None, web.Answer(b"{", cut=0)]
    with pytest.raises(Unreachable):
        sink.send(corrections)
    receipts = sink.send(corrections)
    assert [each.status for each in receipts] == [Status.APPLIED, Status.STALE, Status.APPLIED]
    assert (shop.number("S1", "Berlin"), shop.number("S2", "Berlin"), shop.number("S3", "Berlin")) == (5, 2, 8)
    assert len(shop.applied) == 1


def test_a_unit_sold_between_read_and_write_makes_it_stale(shop, sink):
    stocked(shop, 3)

    def sold():
        item = next(each for each in shop.items if each.sku == "S2")
        item.inventoryLevels[0].numbers["available"] = 1

    shop.before_mutation = sold
    assert statuses(sink.send([correction("S2", 9, 2)])) == [(Status.STALE, Decimal(1))]
    assert shop.number("S2", "Berlin") == 1


def test_a_batch_of_250(shop, sink):
    stocked(shop, 260)
    assert sink.batch_size == 250
    receipts = sink.send([correction(f"S{n}", n + 1, n) for n in range(250)])
    assert {each.status for each in receipts} == {Status.APPLIED}
    assert len(shop.applied) == 1
    assert shop.number("S249", "Berlin") == 250


def test_a_sku_that_many_others_begin_with(shop, sink):
    """The search finds all of them, page after page; only the one is meant."""
    shop.item("S", Berlin=1)
    for n in range(300):
        shop.item(f"S-{n}", Berlin=1)
    shop.item("S'9", Berlin=4)
    receipts = sink.send([correction("S", 2, 1), correction("S-299", 3, 1), correction("S'9", 5, 4)])
    assert statuses(receipts) == [(Status.APPLIED, None)] * 3
    assert [shop.number(sku, "Berlin") for sku in ("S", "S-0", "S-299", "S'9")] == [2, 1, 3, 5]


def test_the_cost_is_respected(shop, sink):
    """A small bucket: having learned what a mutation costs, it waits rather than being turned away."""
    stocked(shop, 5)
    shop.maximum = shop.available = 40.0
    shop.restore_rate = 60.0
    for n in range(1, 5):
        assert statuses(sink.send([correction(f"S{n}", 9, n)])) == [(Status.APPLIED, None)]
    assert shop.throttled <= 1


def test_what_is_throttled_is_sent_again(shop, sink):
    stocked(shop, 2)
    shop.available, shop.refilled_at, shop.restore_rate = 0.0, time.monotonic(), 60.0
    assert statuses(sink.send([correction("S1", 9, 1)])) == [(Status.APPLIED, None)]
    assert shop.throttled > 0


def test_a_batch_that_is_under_way_elsewhere(shop, sink):
    stocked(shop, 2)
    seen = []

    def under_way():
        key = shop.queries[-1][1]["key"]
        shop.keys[key] = "under way" if not seen else None
        seen.append(key)

    shop.before_mutation = under_way
    assert statuses(sink.send([correction("S1", 9, 1)])) == [(Status.APPLIED, None)]
    assert len(seen) == 2
    assert len(set(seen)) == 1


def test_observe(shop, sink):
    stocked(shop, 3)
    keys = [("S1", "Berlin"), ("S2", "Hamburg"), ("S2", "Munich"), ("none", "Berlin")]
    assert sink.observe(keys) == {("S1", "Berlin"): 1, ("S2", "Hamburg"): 4}


def test_on_hand_and_locations_of_other_names(shop):
    stocked(shop, 3)
    options = {
        "shop": shop.server.url,
        "token": SECRET,
        "quantity": "on_hand",
        "locations": {"WH1": str(shop.berlin.number)},
    }
    sink = open_sink("shopify", options, Context(".", "UTC", "stock"))
    receipts = sink.send([correction("S2", 8, 2, basis="on_hand", location="WH1")])
    sink.close()
    assert statuses(receipts) == [(Status.APPLIED, None)]
    assert shop.number("S2", "Berlin", "on_hand") == 8


# The server itself --------------------------------------------------------------------------------


def ask(shop, query, **variables):
    return shop._execute(query, variables)


def mutation_of(name, kind, directive):
    return (
        f"mutation ($input: {kind}!) {{ {name}(input: $input) {directive} {{ userErrors {{ code field message }} }} }}"
    )


def test_the_server_is_as_strict_as_the_contract(shop):
    item = shop.item("A", Berlin=5)
    line = {"inventoryItemId": item.id, "locationId": shop.berlin.id, "quantity": 7, "changeFromQuantity": 5}
    given = {"name": "available", "reason": "correction", "quantities": [line]}
    keyed = mutation_of("inventorySetQuantities", "InventorySetQuantitiesInput", '@idempotent(key: "k")')

    def errors(query, **variables):
        return [each["message"] for each in ask(shop, query, **variables).get("errors", [])]

    assert errors("{ shop { nme } }") == ["Cannot query field 'nme' on type 'Shop'. Did you mean 'name'?"]
    unkeyed = mutation_of("inventorySetQuantities", "InventorySetQuantitiesInput", "")
    assert errors(unkeyed, input=given) == [
        "The @idempotent directive is required for this mutation but was not provided."
    ]
    silent = {name: value for name, value in line.items() if name != "changeFromQuantity"}
    assert "changeFromQuantity" in errors(keyed, input={**given, "quantities": [silent]})[0]
    assert "ignoreCompareQuantity" in errors(keyed, input={**given, "ignoreCompareQuantity": True})[0]
    assert "251" in errors(keyed, input={**given, "quantities": [line] * 251})[0]

    def codes(query, given):
        (payload,) = ask(shop, query, input=given)["data"].values()
        return [each["code"] for each in payload["userErrors"]]

    assert codes(keyed, {**given, "quantities": [line, line]}) == ["NO_DUPLICATE_INVENTORY_ITEM_ID_GROUP_ID_PAIR"]
    assert codes(keyed, {**given, "reason": "because"}) == ["INVALID_REASON"]
    assert codes(keyed, {**given, "referenceDocumentUri": "gid://shopify/Order/1"}) == ["INVALID_REFERENCE_DOCUMENT"]
    assert shop.number("A", "Berlin") == 5
    assert codes(keyed, given) == codes(keyed, given) == []
    assert shop.number("A", "Berlin") == 7
    assert codes(keyed, {**given, "reason": "other"}) == ["IDEMPOTENCY_KEY_PARAMETER_MISMATCH"]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("{ shop { name } }", "at least one connection"),
        ("mutation { x }", "Only `query` operations are supported"),
        ("{ orders { edges { node { id refunds { refundLineItems { edges { node { id } } } } } } } }", "within a list"),
        ("{ orders { edges { node { name lineItems { edges { node { id } } } } } } }", "must select the 'id' field"),
        ("{ orders { edges { node { id nme } } } }", "Cannot query field 'nme'"),
        ("{ orders { edges { node { id }", "Invalid bulk query"),
    ],
)
def test_the_server_refuses_bulk_queries_as_the_real_one(query, message):
    assert message in " ".join(shopify.bulk_errors(query))
