"""The example consumer applies each key once, and takes nothing that is not signed."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from consumers import SECRET, consumer

from examples.consumer import apply, connect, is_signed
from reconcilers.corrections import Correction, Mode
from reconcilers.messages import to_message

NOW = datetime(2026, 11, 25, 3, tzinfo=UTC)


def message(key="k1", mode=Mode.SET, was="10", value="7", sku="S1", expires=NOW + timedelta(hours=1)):
    return to_message(
        Correction("c1", "run", "shop~erp", "shop", sku, "web", "available", mode, Decimal(value), Decimal(was),
                   Decimal(value) - Decimal(was), "correction", "gid://recon/Correction/c1", key, NOW, expires)
    )  # fmt: skip


@pytest.fixture
def shop(tmp_path):
    connection = connect(str(tmp_path / "shop.db"))
    connection.execute("insert into stock values ('S1', 'web', '10'), ('S2', 'web', '5')")
    yield connection
    connection.close()


def shown(shop, sku="S1"):
    return shop.execute("select quantity from stock where sku = ?", (sku,)).fetchone()[0]


def statuses(shop, *messages, now=NOW):
    return [result["status"] for result in apply(shop, messages, now)]


def test_a_key_is_applied_once_however_often_it_comes(shop):
    delta = message(mode=Mode.DELTA)
    assert statuses(shop, delta, delta) == ["APPLIED", "APPLIED"]
    assert statuses(shop, delta) == ["APPLIED"]
    assert shown(shop) == "7"


def test_a_number_that_moved_is_not_overwritten(shop):
    (result,) = apply(shop, [message(was="11")], NOW)
    assert (result["status"], result["observed"], shown(shop)) == ("STALE", "10", "10")


def test_one_bad_line_never_fails_the_others(shop):
    bad = [{**message(), "value": "many"}, {}, {**message("k2"), "sku": "none"}, {**message("k3"), "schema": "x"}]
    assert statuses(shop, *bad, message("k4", was="5", sku="S2")) == ["REJECTED"] * 4 + ["APPLIED"]
    assert (shown(shop), shown(shop, "S2")) == ("10", "7")


def test_what_has_expired_is_refused(shop):
    assert statuses(shop, message(expires=NOW)) == ["REJECTED"]
    assert statuses(shop, message(expires=None)) == ["APPLIED"]


def signature(body: bytes, at: int, secret: str = SECRET) -> str:
    return f"t={at},v1={hmac.new(secret.encode(), f'{at}.'.encode() + body, hashlib.sha256).hexdigest()}"


def test_a_signature_is_of_this_body_this_secret_and_now():
    header = signature(b"{}", 1000)
    assert is_signed(SECRET, header, b"{}", 1000)
    assert is_signed(SECRET, f"{header},v1=00", b"{}", 1300)
    for wrong in (
        is_signed(SECRET, header, b"{} ", 1000),
        is_signed("another", header, b"{}", 1000),
        is_signed(SECRET, header, b"{}", 1301),
        is_signed(SECRET, header.replace("t=1000", "t=1001"), b"{}", 1000),
        is_signed(SECRET, "", b"{}", 1000),
        is_signed(SECRET, "t=x,v1=\xe9", b"{}", 1000),
    ):
        assert not wrong


def test_signatures_are_compared_in_constant_time(monkeypatch):
    """Only `hmac.compare_digest` decides, over the whole of each: how long it takes tells nothing."""
    header, compared = signature(b"{}", 1000), []

    def compare(expected, given):
        compared.append((len(expected), given))
        return False

    monkeypatch.setattr(hmac, "compare_digest", compare)
    assert not is_signed(SECRET, f"v1=0,{header},v1=1", b"{}", 1000)
    given = header.partition("v1=")[2].encode()
    assert compared == [(64, b"0"), (64, given), (64, b"1")]


def test_the_service_takes_signed_batches_only(tmp_path):
    with consumer(tmp_path) as service:
        service.stock({("S1", "web"): 10})
        now = time.time()
        told = message(expires=None)
        body = json.dumps({"schema": "recon.corrections/1", "corrections": [told]}).encode()

        def post(header, sent=body):
            request = urllib.request.Request(service.url, sent, {"Recon-Signature": header})
            try:
                with urllib.request.urlopen(request, timeout=10) as reply:
                    return reply.status, json.loads(reply.read())
            except urllib.error.HTTPError as error:
                return error.code, json.loads(error.read())

        assert post(signature(body, int(now), "a wrong secret, as long"))[0] == 401
        assert post("")[0] == 401
        assert post(signature(b"[]", int(now)), b"[]")[0] == 400
        assert service.shown() == {("S1", "web"): 10}
        code, answer = post(signature(body, int(now)))
        assert (code, [r["status"] for r in answer["results"]]) == (200, ["APPLIED"])
        assert service.shown() == {("S1", "web"): 7}
