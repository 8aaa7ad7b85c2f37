"""Pauses on the Pub/Sub emulator with a real push endpoint: nothing is lost, and it always goes on."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from google.cloud import run_v2, scheduler_v1
from google_cloud import google_cloud
from pubsub import PROJECT
from receiver import receiver

from jobs import pause, pause_state, pauses
from jobs.config import load
from reconcilers.errors import ConfigError, Unreachable

SYSTEMS = """\
systems:
  erp: {stock: {connector: files, path: erp.csv, as_of: {from: mtime}, profile: erp.on_hand}}
  shop: {stock: {connector: files, path: erp.csv, as_of: {from: mtime}, profile: storefront.available}}
pairs: {shop~erp: {}}
jobs:
  nightly:
    pairs: [shop~erp]
    pause:
"""


@pytest.fixture
def endpoint():
    """Where a subscription pushes to, and what other hooks call."""
    with receiver() as running:
        yield running


@pytest.fixture
def pushed(emulator, endpoint):
    """A topic and a subscription that pushes to the endpoint, with an attribute that has to survive."""
    topic = emulator.topic()
    push = {"push_endpoint": f"{endpoint.url}/orders?token=geheim", "attributes": {"x-goog-version": "v1"}}
    return topic, emulator.subscription(topic, push_config=push)


def job(base, *hooks):
    """A configuration whose job pauses; its path."""
    path = base / "recon.yaml"
    (base / "erp.csv").write_text("sku,location,quantity\nA,web,7\n")
    path.write_text(SYSTEMS + "".join(f"      - {json.dumps(hook)}\n" for hook in hooks))
    return path


def push_hook(emulator, subscription, **other):
    return {"kind": "push_subscription", "project": PROJECT, "subscription": subscription,
            "endpoint": emulator.endpoint, **other}  # fmt: skip


def file_hook(base, name):
    """A consumer that stands still while a file is there."""
    return {"kind": "command", "pause": ["touch", str(base / name)], "resume": ["rm", "-f", str(base / name)]}


def silent(message, share=None):
    pass


def push_of(emulator, subscription):
    return emulator.subscriber.get_subscription(subscription=emulator.subscription_path(subscription)).push_config


def numbers(requests):
    """What the messages that were pushed say."""
    return sorted(int(base64.b64decode(json.loads(each.body)["message"]["data"])) for each in requests)


def publish(emulator, topic, *bodies):
    emulator.publish(topic, *[str(each).encode() for each in bodies])


def test_the_backlog_waits_and_nothing_is_lost(tmp_path, emulator, endpoint, pushed):
    topic, subscription = pushed
    path = job(tmp_path, push_hook(emulator, subscription))
    before = push_of(emulator, subscription)
    publish(emulator, topic, 0, 1)
    assert numbers(endpoint.take(2)) == [0, 1]
    with pause.paused(load(path), "nightly", path, silent):
        publish(emulator, topic, *range(2, 40))
        assert not push_of(emulator, subscription).push_endpoint
        assert pause_state.paused_jobs(str(tmp_path / ".recon")) == ["nightly"]
    assert push_of(emulator, subscription) == before
    publish(emulator, topic, 40)
    assert numbers(endpoint.take(39)) == list(range(2, 41))
    assert pause_state.paused_jobs(str(tmp_path / ".recon")) == []


@pytest.mark.parametrize("error", [Unreachable("a source is away"), KeyboardInterrupt(), ZeroDivisionError()])
def test_an_error_resumes(tmp_path, error):
    path = job(tmp_path, file_hook(tmp_path, "one"), file_hook(tmp_path, "two"))
    stood = []

    def run():
        with pause.paused(load(path), "nightly", path, silent):
            stood.extend((tmp_path / name).exists() for name in ("one", "two"))
            raise error

    with pytest.raises(type(error)):
        run()
    assert stood == [True, True]
    assert not (tmp_path / "one").exists()
    assert not (tmp_path / "two").exists()


CHILD = """
import sys
from pathlib import Path
from jobs import pause
from jobs.config import load

if {watched} is False:
    pause._Pause._watched = lambda self: None
path = Path({path!r})
try:
    with pause.paused(load(path), "nightly", path, lambda *_: None):
        print("paused", flush=True)
        sys.stdin.read()
except KeyboardInterrupt:
    sys.exit(130)
"""


def paused_child(path, watched=True):
    """Another process that pauses, once it has."""
    code = CHILD.format(path=str(path), watched=watched)
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert child.stdout.readline() == b"paused\n"
    return child


def test_killed_the_watchdog_resumes_at_once(tmp_path, emulator, endpoint, pushed):
    topic, subscription = pushed
    path = job(tmp_path, push_hook(emulator, subscription))
    child = paused_child(path)
    publish(emulator, topic, *range(20))
    assert not push_of(emulator, subscription).push_endpoint
    child.kill()
    child.wait()
    assert numbers(endpoint.take(20)) == list(range(20))
    assert push_of(emulator, subscription).push_endpoint.endswith("/orders?token=geheim")


@pytest.mark.parametrize("way", ["the next run", "recon resume"])
def test_killed_without_a_watchdog(tmp_path, emulator, endpoint, pushed, way):
    """As if the whole machine had gone: what is written down is enough."""
    topic, subscription = pushed
    path = job(tmp_path, push_hook(emulator, subscription))
    before = push_of(emulator, subscription)
    child = paused_child(path, watched=False)
    publish(emulator, topic, *range(20))
    child.kill()
    child.wait()
    assert not push_of(emulator, subscription).push_endpoint
    if way == "the next run":
        with pause.paused(load(path), "nightly", path, silent):
            assert not push_of(emulator, subscription).push_endpoint
    else:
        # the configuration has moved on; what is paused has to go on all the same
        job(tmp_path, file_hook(tmp_path, "other"))
        done = subprocess.run(
            [sys.executable, "-m", "cli.main", "resume", "-c", str(path)], capture_output=True, text=True, check=True
        )
        assert done.stdout.startswith("nightly: 1 resumed, paused since ")
    assert push_of(emulator, subscription) == before
    assert numbers(endpoint.take(20)) == list(range(20))


def test_a_signal_resumes_before_the_process_ends(tmp_path):
    path = job(tmp_path, file_hook(tmp_path, "still"))
    child = paused_child(path, watched=False)
    assert (tmp_path / "still").exists()
    child.send_signal(signal.SIGTERM)
    assert child.wait(300) == 130
    assert not (tmp_path / "still").exists()


def test_by_hand_until_resume(tmp_path):
    path = job(tmp_path, file_hook(tmp_path, "still"))
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", "pause", "nightly", "-c", str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("paused command touch\nuntil ")
    with pause.paused(load(path), "nightly", path, silent):
        pass
    assert (tmp_path / "still").exists(), "a run leaves alone what was paused by hand"
    with pytest.raises(ConfigError, match="job 'nightly' is paused since"):
        pause.pause_by_hand(path, "nightly", silent)
    assert [each["resumed"] for each in pause.resume(path, "nightly")] == [1]
    assert pause.resume(path, "nightly") == []
    assert not (tmp_path / "still").exists()


def test_the_maximum_ends_it(tmp_path, endpoint):
    calls = {name: {"url": f"{endpoint.url}/{name}"} for name in ("pause", "resume")}
    path = job(tmp_path, {"kind": "http", "maximum": "PT1S", **calls})
    pause.pause_by_hand(path, "nightly", silent)
    assert [each.path for each in endpoint.take(2)] == ["/pause", "/resume"]


def test_a_run_whose_pause_ended_early_says_so(tmp_path, endpoint):
    calls = {name: {"url": f"{endpoint.url}/{name}"} for name in ("pause", "resume")}
    path = job(tmp_path, {"kind": "http", "maximum": "PT1S", **calls})
    said = []
    with pause.paused(load(path), "nightly", path, lambda message, share=None: said.append(message)):
        assert [each.path for each in endpoint.take(2)] == ["/pause", "/resume"]
        while pause_state.paused_jobs(str(tmp_path / ".recon")):
            pass  # the watchdog forgets right after it has resumed
    assert said[-1].startswith("the pause was over before the capture")
    assert endpoint.requests.empty()


def test_one_that_cannot_be_paused_leaves_none_paused(tmp_path, endpoint):
    endpoint.answers = [500]
    calls = {name: {"url": f"{endpoint.url}/{name}"} for name in ("pause", "resume")}
    path = job(tmp_path, file_hook(tmp_path, "still"), {"kind": "http", **calls})
    refused = pytest.raises(Unreachable, match=r"^not paused: HTTP 127.0.0.1: POST answered 500$")
    with refused, pause.paused(load(path), "nightly", path, silent):
        pytest.fail("must not capture")
    assert not (tmp_path / "still").exists()
    # it may have been paused all the same
    assert [each.path for each in endpoint.take(2)] == ["/pause", "/resume"]


def test_one_that_cannot_be_resumed_stays_written_down(tmp_path, endpoint, monkeypatch):
    monkeypatch.setenv("TOKEN", "s3cr3t")
    endpoint.answers = [200, 503]
    calls = {name: {"url": f"{endpoint.url}/{name}", "headers": {"authorization": "Bearer ${TOKEN}"}}
             for name in ("pause", "resume")}  # fmt: skip
    monkeypatch.setattr(pause._Pause, "_watched", lambda self: None)
    path = job(tmp_path, {"kind": "http", **calls}, file_hook(tmp_path, "still"))
    with (
        pytest.raises(Unreachable, match=r"still paused, `recon resume nightly` tries again: HTTP .* answered 503"),
        pause.paused(load(path), "nightly", path, silent),
    ):
        pass
    assert not (tmp_path / "still").exists(), "the others go on"
    written = (tmp_path / ".recon" / "paused" / "nightly.json").read_text()
    assert "s3cr3t" not in written
    assert "Bearer ${TOKEN}" in written
    assert (tmp_path / ".recon" / "paused").stat().st_mode & 0o077 == 0
    assert pause.resume(path, None) == [{"job": "nightly", "resumed": 1, "since": json.loads(written)["since"]}]
    assert [each.headers["authorization"] for each in endpoint.take(3)] == ["Bearer s3cr3t"] * 3
    assert pause.resume(path, None) == []


def test_what_does_not_push_is_refused(tmp_path, emulator):
    path = job(tmp_path, push_hook(emulator, emulator.subscription(emulator.topic())))
    with pytest.raises(ConfigError, match="does not push"), pause.paused(load(path), "nightly", path, silent):
        pass


def test_google_cloud_jobs_and_workers(tmp_path):
    """Against a local server that speaks the contract with Google's own message types."""
    place = "projects/p/locations/europe-west3"
    with google_cloud() as cloud:
        states = {"nightly": "ENABLED", "off": "PAUSED"}
        for name, state in states.items():
            path = f"{place}/jobs/{name}"
            cloud.jobs[path] = scheduler_v1.Job(name=path, schedule="0 * * * *", state=state)
        pool = run_v2.WorkerPool(name=f"{place}/workerPools/w", description="d", scaling={"manual_instance_count": 3})
        cloud.pools[pool.name] = pool
        service = run_v2.Service(
            name=f"{place}/services/s", scaling={"scaling_mode": "AUTOMATIC", "min_instance_count": 1}
        )
        cloud.services[service.name] = service
        where = {"project": "p", "location": "europe-west3", "endpoint": cloud.endpoint}
        path = job(
            tmp_path,
            {"kind": "scheduler_job", "name": "nightly", **where},
            {"kind": "scheduler_job", "name": "off", **where},
            {"kind": "cloud_run", "worker_pool": "w", **where},
            {"kind": "cloud_run", "service": "s", **where},
        )
        with pause.paused(load(path), "nightly", path, silent):
            assert {each.state.name for each in cloud.jobs.values()} == {"PAUSED"}
            assert pool.scaling.manual_instance_count == 0
            assert (service.scaling.scaling_mode.name, service.scaling.manual_instance_count) == ("MANUAL", 0)
        assert {name: cloud.jobs[f"{place}/jobs/{name}"].state.name for name in states} == states
        assert (pool.scaling.manual_instance_count, pool.description) == (3, "d")
        assert (service.scaling.scaling_mode.name, service.scaling.min_instance_count) == ("AUTOMATIC", 1)
        gone = job(tmp_path, {"kind": "scheduler_job", "name": "nowhere", **where})
        with (
            pytest.raises(Unreachable, match="jobs/nowhere does not exist"),
            pause.paused(load(gone), "nightly", gone, silent),
        ):
            pass


@pytest.mark.parametrize(
    ("hook", "problem"),
    [
        ({"kind": "http"}, "pause: missing key 'pause'|missing key 'pause'"),
        ({"kind": "push_subscribtion"}, "unknown kind 'push_subscribtion'; did you mean 'push_subscription'"),
        ({"kind": "command", "pause": ["a"], "resume": ["b"], "maximum": "1h"}, "not an ISO 8601 duration"),
        ({"kind": "cloud_run", "project": "p", "location": "l"}, "needs either worker_pool or service"),
        ({"kind": "command", "pause": ["a"], "resume": ["b"], "second": 3}, "unknown key"),
    ],
)
def test_a_wrong_hook_is_told_with_its_line(tmp_path, hook, problem):
    path = job(tmp_path, hook)
    with pytest.raises(ConfigError, match=rf"recon.yaml:9: jobs.nightly.pause\[0\].*({problem})"):
        load(path)


def test_every_kind_says_what_its_keys_are_for():
    documents = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
    files = {path.stem for path in Path(pauses.__file__).parent.glob("*.py")} - {"__init__"}
    assert set(pauses.REGISTRY) == files
    for kind in pauses.REGISTRY:
        assert f"`{kind}`" in documents
        for name, field in pauses.module(kind).Options.model_fields.items():
            assert field.description, f"{kind}.{name}"
            assert f"`{name}`" in documents, f"{kind}.{name}"
