"""Notifications over a real mail server, HTTP endpoint and the Pub/Sub emulator."""

from __future__ import annotations

import json
import socket
from datetime import timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mail import certificate, mail
from pubsub import PROJECT
from receiver import receiver

from jobs import commands, notify, watchdog
from jobs.config import load
from jobs.pause_state import Paused
from reconcilers.errors import ConfigError, ReconError, Refused, Unreachable
from reconcilers.schemas import breaks_schema

SYSTEMS = """\
systems:
  shop: {stock: {connector: files, path: shop.csv, as_of: {from: mtime}, profile: storefront.available}}
  erp: {stock: {connector: files, path: erp.csv, as_of: {from: mtime}, profile: erp.on_hand}}
pairs: {shop~erp: {}}
jobs:
  nightly:
    pairs: [shop~erp]
    notify:
"""


@pytest.fixture
def endpoint():
    with receiver() as running:
        yield running


def job(base, *notifications):
    """A configuration whose job tells; its path."""
    path = base / "recon.yaml"
    stock(base, "shop", 7)
    stock(base, "erp", 7)
    path.write_text(SYSTEMS + "".join(f"      - {json.dumps(each)}\n" for each in notifications))
    return path


def stock(base, system, quantity):
    (base / f"{system}.csv").write_text(f"sku,location,quantity\nA,web,{quantity}\nB,web,1\n")


def texts(endpoint, count):
    return [json.loads(each.body)["text"] for each in endpoint.take(count)]


def silent(message, share=None):
    pass


def test_a_finished_run_is_told_over_every_channel(tmp_path, emulator, endpoint):
    topic = emulator.topic()
    subscription = emulator.subscription(topic)
    with mail() as server:
        path = job(
            tmp_path,
            {"webhook": {"url": f"{endpoint.url}/hook", "headers": {"x-key": "k"}}},
            {"email": {"host": "127.0.0.1", "port": server.port, "tls": "none", "from": "recon@shop.example",
                       "to": ["ops@shop.example", "boss@shop.example"]}},
            {"pubsub": {"project": PROJECT, "topic": topic, "endpoint": emulator.endpoint}},
        )  # fmt: skip
        stock(tmp_path, "shop", 9)
        outcome = commands.run_job(path, "nightly", silent)
    verdict = outcome.summary["verdict"]
    (request,) = endpoint.take(1)
    text = json.loads(request.body)["text"]
    assert (request.path, request.headers["x-key"]) == ("/hook", "k")
    assert text.splitlines()[0] == f"nightly: {verdict}"
    assert "shop~erp: 2 keys, 1 BREAK, 1 MATCHED" in text
    assert "beyond the gate breaks of shop~erp: 1, bound 0" in text
    assert text.splitlines()[-1] == f"report: {outcome.report_path}"
    (letter,) = server.letters
    assert (letter["subject"], letter["to"]) == (f"nightly: {verdict}", "ops@shop.example, boss@shop.example")
    assert letter.get_content().strip().splitlines() == text.splitlines()
    (message,) = emulator.backlog(subscription)
    document = json.loads(message.data)
    assert dict(message.attributes) == {"event": "finished", "job": "nightly", "run_id": outcome.summary["run_id"]}
    assert (document["words"], document["text"]) == (verdict, text)
    assert document["pairs"]["shop~erp"]["keys"] == 2


def test_mail_is_encrypted_and_the_server_is_who_it_says(tmp_path, monkeypatch):
    context, trusted = certificate(tmp_path)
    monkeypatch.setenv("MAIL_PASSWORD", "s3cr3t")
    said = []
    with mail(context) as server:
        login = {
            "user": "recon",
            "password": "${MAIL_PASSWORD}",
            "from": "recon@shop.example",
            "to": "ops@shop.example",
        }
        path = job(tmp_path, {"email": {"host": "127.0.0.1", "port": server.port, **login}})
        notify.tell(load(path), notify.Event("failed", "nightly", "two\nlines"), lambda m, share=None: said.append(m))
        assert "certificate verify failed" in said[0]
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
        notify.tell(load(path), notify.Event("failed", "nightly", "two\nlines"), silent)
    assert server.logins == [("recon", "s3cr3t")]
    assert [letter["subject"] for letter in server.letters] == ["nightly failed: two lines"]


def finished(base, number, breaks, job="nightly", differences=()):
    """A finished run as it is in the workspace, with these breaks (id, class, reason) in a part each.

    `differences` are those of records or orders.
    """
    run_id = f"run-{number}"
    directory = base / ".recon" / "runs" / run_id
    (directory / "breaks").mkdir(parents=True)
    for part, (break_id, kind, reason) in enumerate(breaks):
        row = {"break_id": break_id, "class": kind, "reason": reason, "unexplained": number}
        table = pa.Table.from_pylist([row], schema=breaks_schema())
        pq.write_table(table, directory / "breaks" / f"shop~erp.part-{part:05d}-of-00009.parquet")
    if differences:
        (directory / "differences").mkdir()
        table = pa.Table.from_pylist(
            [dict(zip(("break_id", "class", "reason"), row, strict=True)) for row in differences]
        )
        pq.write_table(table, directory / "differences" / "shop.web~erp.web.part-00000-of-00001.parquet")
    summary = {"run_id": run_id, "job": job, "started_at": f"2026-11-2{number}T02:00:00+00:00", "verdict": "",
               "pairs": {"shop~erp": {"keys": 9, "classes": {}}}, "gates": []}  # fmt: skip
    (directory / "summary.json").write_text(json.dumps(summary))
    return summary


def test_quiet_while_nothing_changes(tmp_path, endpoint):
    path = job(tmp_path, {"webhook": {"url": endpoint.url}, "quiet": "unchanged", "template": "{{ run_id }}"})
    one, two = ("1", "BREAK", "UNEXPLAINED"), ("2", "LATE", "ORDER_OPEN")
    nights = [
        ([], True),  # the first there is
        ([], False),
        ([one, two], True),
        ([two, one, ("3", "IN_FLIGHT", "ORDER_OPEN")], False),  # what is on its way needs nobody
        ([one, ("2", "LATE", "RECEIPT_NOT_POSTED")], True),
        ([one, ("4", "LATE", "RECEIPT_NOT_POSTED")], True),
    ]
    for number, (breaks, heard) in enumerate(nights):
        summary = finished(tmp_path, number, breaks)
        with notify.told(load(path), "nightly", silent) as telling:
            telling.finished(summary, "report.html")
        assert texts(endpoint, 1 if heard else 0) == ([summary["run_id"]] if heard else [])
        assert endpoint.requests.empty()
    finished(tmp_path, 6, [], job="hourly")
    summary = finished(tmp_path, 7, nights[-1][0])
    notify.Telling(load(path), "nightly", silent).finished(summary, "report.html")
    assert endpoint.requests.empty(), "runs of other jobs do not count"


def test_orders_and_records_are_not_passed_over_in_silence(tmp_path, endpoint):
    path = job(tmp_path, {"webhook": {"url": endpoint.url}, "quiet": "unchanged", "template": "{{ run_id }}"})
    lost, moving = ("1", "LATE", "ORDER_NOT_IMPORTED"), ("2", "IN_FLIGHT", "ORDER_OPEN")
    nights = [([], True), ([moving], False), ([moving, lost], True), ([lost], False), ([], True)]
    for number, (differences, heard) in enumerate(nights):
        summary = finished(tmp_path, number, [], differences=differences)
        notify.Telling(load(path), "nightly", silent).finished(summary, "report.html")
        assert texts(endpoint, 1 if heard else 0) == ([summary["run_id"]] if heard else [])
        assert endpoint.requests.empty()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Unreachable("erp/stock: no such file"), "nightly failed: erp/stock: no such file"),
        (Refused("3 approvals are missing"), "nightly is held: 3 approvals are missing"),
        (ZeroDivisionError("s3cr3t"), "nightly failed: a bug (ZeroDivisionError), its traceback is in the log"),
    ],
)
def test_what_ends_a_run_early_is_told_and_goes_on(tmp_path, endpoint, error, said):
    path = job(tmp_path, {"webhook": {"url": endpoint.url}}, {"webhook": {"url": endpoint.url}, "on": "finished"})
    with pytest.raises(type(error)), notify.told(load(path), "nightly", silent):
        raise error
    assert texts(endpoint, 1) == [said]
    assert endpoint.requests.empty()


def test_a_run_that_trips_a_gate_is_held_for_whoever_does_not_hear_of_every_run(tmp_path, endpoint):
    path = job(
        tmp_path,
        {"webhook": {"url": f"{endpoint.url}/all"}},
        {"webhook": {"url": f"{endpoint.url}/held"}, "on": ["held", "failed"]},
        {"webhook": {"url": f"{endpoint.url}/failed"}, "on": "failed"},
    )
    stock(tmp_path, "shop", 9)
    verdict = commands.run_job(path, "nightly", silent).summary["verdict"]
    said = {request.path: json.loads(request.body)["text"].splitlines()[0] for request in endpoint.take(2)}
    assert said == {"/all": f"nightly: {verdict}", "/held": f"nightly is held: {verdict}"}
    assert endpoint.requests.empty()


def test_a_missing_source_is_told(tmp_path, endpoint):
    path = job(tmp_path, {"webhook": {"url": endpoint.url}})
    (tmp_path / "erp.csv").unlink()
    with pytest.raises(ReconError):
        commands.run_job(path, "nightly", silent)
    (text,) = texts(endpoint, 1)
    assert text.startswith("nightly failed: erp/stock: ")


def test_a_channel_that_fails_is_told_and_fails_nothing(tmp_path, endpoint, monkeypatch):
    monkeypatch.setenv("HOOK", "s3cr3t")
    endpoint.answers = [500]
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, and nobody listens
        port = closed.getsockname()[1]
        path = job(
            tmp_path,
            {"webhook": {"url": f"{endpoint.url}/${{HOOK}}"}},
            {"webhook": {"url": f"http://127.0.0.1:{port}/${{HOOK}}"}},
            {"email": {"host": "127.0.0.1", "port": port, "from": "a@b", "to": "c@d"}},
            {"webhook": {"url": "http://[${HOOK}"}},
            {"webhook": {"url": f"{endpoint.url}/last"}},
        )
        said = []
        outcome = commands.run_job(path, "nightly", lambda message, share=None: said.append(message))
    assert outcome.within_gates
    failed = [each for each in said if each.startswith("not notified")]
    assert failed[0] == "not notified (jobs.nightly.notify[0]): webhook: answered 500"
    assert [each.split(":")[0] for each in failed[1:]] == [
        f"not notified (jobs.nightly.notify[{n}])" for n in (1, 2, 3)
    ]
    assert "s3cr3t" not in " ".join(said)
    assert [each.path for each in endpoint.take(2)] == ["/s3cr3t", "/last"]


def test_slack_sees_signs_as_text(tmp_path, endpoint):
    path = job(tmp_path, {"webhook": {"url": endpoint.url}, "template": "<{{ job }}> & more"})
    notify.tell(load(path), notify.Event("failed", "nightly", "x"), silent)
    assert texts(endpoint, 1) == ["&lt;nightly&gt; &amp; more"]


def test_the_watchdog_tells_of_a_pause_that_it_ended(tmp_path, endpoint, monkeypatch):
    path = job(tmp_path, {"webhook": {"url": endpoint.url}, "on": ["pause"]})
    state = Paused.begin("nightly", "hand", str(path), timedelta(0))
    state.write(str(tmp_path / ".recon"))
    words = ["watchdog", str(tmp_path / ".recon"), "nightly", state.token, "0", "hand"]
    monkeypatch.setattr("sys.argv", words)
    watchdog.main()
    assert texts(endpoint, 1) == ["nightly: the pause lasted too long; resumed by the watchdog"]


@pytest.mark.parametrize(
    ("notification", "problem"),
    [
        ({"on": "failed"}, "needs one of webhook, email, pubsub"),
        ({"webhook": {"url": "http://a"}, "on": "finnished"}, "'finnished' is not 'finished'"),
        ({"webhook": {"url": "http://a"}, "template": "{{ jobb }}"}, "template: 'jobb' is undefined"),
        ({"webhook": {"url": "http://a"}, "template": "{% if %}"}, "template, line 1: "),
        ({"webhook": {"url": "http://a"}, "template": "{{ ''.__class__.__mro__ }}"}, "template: .*unsafe"),
        ({"email": {"host": "h", "from": "a", "to": "b", "user": "u"}}, "user and password need one another"),
        (
            {"email": {"host": "h", "from": "a", "to": "b", "user": "u", "password": "p", "tls": "none"}},
            "could be read",
        ),
    ],
)
def test_a_wrong_notification_is_told_with_its_line(tmp_path, notification, problem):
    path = job(tmp_path, notification)
    with pytest.raises(ConfigError, match=rf"recon.yaml:9: jobs.nightly.notify\[0\].*{problem}"):
        load(path)
