"""One process holds a lock; one that is gone is taken over from, whatever its clock said."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from storage import storage

from pipelines import filesystem, lock
from reconcilers.errors import Refused

ROOT = Path(__file__).parents[2]

HOLD = """
import sys, time
from pipelines import lock
with lock.locked(sys.argv[1], "ann", "publishing run-1"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock."""
    path = str(tmp_path / "publish" / "lock.json")
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, path], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield path, process
    process.kill()
    process.wait(120)


def test_whoever_comes_second_is_told_who_was_first(holder):
    path, _ = holder
    with (
        pytest.raises(Refused, match=r"^ann on .* is publishing run-1 since "),
        lock.locked(path, "bob", "publishing run-1"),
    ):
        pass


def test_a_lock_is_free_again_when_its_holder_is_done(holder):
    path, process = holder
    process.communicate("", timeout=120)
    with lock.locked(path, "bob", "publishing"):
        assert json.loads(Path(path).read_text())["owner"] == "bob"
    assert not Path(path).exists()


def test_a_holder_that_was_killed_is_taken_over_from_at_once(holder):
    path, process = holder
    process.kill()
    process.wait(120)
    began = time.monotonic()
    with lock.locked(path, "bob", "publishing"):
        assert time.monotonic() - began < 2


def test_a_holder_that_gives_no_sign_of_life_loses_it_and_notices(holder, tmp_path):
    """Stopped, not dead: after patience another takes over; what the first asks next tells it."""
    path, process = holder
    token = json.loads(Path(path).read_text())["token"]
    lock.check(path, token)
    os.kill(process.pid, signal.SIGSTOP)
    with lock.locked(path, "bob", "publishing", patience=1.0) as mine:
        lock.check(path, mine)
        with pytest.raises(Refused, match="another process took over"):
            lock.check(path, token)
        os.kill(process.pid, signal.SIGCONT)
        process.communicate("", timeout=120)
        lock.check(path, mine)


def test_a_lock_on_another_machine_is_only_watched(tmp_path):
    """Its process number says nothing here; a file that does not change belongs to nobody."""
    path = tmp_path / "lock.json"
    path.write_text(json.dumps({"token": "x", "owner": "ann", "host": "elsewhere", "pid": 2**22 + 1, "since": "then"}))
    with lock.locked(str(path), "bob", "publishing", patience=0.5):
        assert json.loads(path.read_text())["owner"] == "bob"


@pytest.fixture(scope="module")
def bucket():
    with storage("recon-lock") as name:
        yield name


def test_a_lock_in_a_bucket_has_one_holder(bucket):
    path = f"{bucket}/publish/lock.json"
    with lock.locked(path, "ann", "publishing run-1") as token:
        lock.check(path, token)
        with pytest.raises(Refused, match=r"^ann on .* is publishing since"), lock.locked(path, "bob", "publishing"):
            pass
    with lock.locked(path, "bob", "publishing") as mine:
        lock.check(path, mine)
        with pytest.raises(Refused, match="another process took over"):
            lock.check(path, token)


def test_a_lock_in_a_bucket_is_taken_over_from_whoever_is_gone(bucket):
    path = f"{bucket}/left/lock.json"
    left = {"token": "x", "owner": "ann", "host": "elsewhere", "pid": 1, "since": "then", "beat": 3}
    filesystem.write_atomic(path, json.dumps(left).encode())
    with lock.locked(path, "bob", "publishing", patience=0.5) as mine:
        lock.check(path, mine)
        with pytest.raises(Refused, match="another process took over"):
            lock.check(path, "x")


def test_of_many_that_want_an_object_one_gets_it(bucket):
    """Each reads before anybody writes; the service takes one of the writes."""
    path, names = f"{bucket}/wanted", [f"w{n}".encode() for n in range(8)]
    together = threading.Barrier(len(names))

    def want(name):
        together.wait(120)
        return lock.exchange(path, None, name)

    with ThreadPoolExecutor(len(names)) as pool:
        got = list(pool.map(want, names))
    assert got.count(True) == 1
    with filesystem.open_read(path) as file:
        assert file.read() == names[got.index(True)]
    # the same again is done already, whether or not its answer was heard
    assert lock.exchange(path, names[got.index(True)], b"next")
    assert not lock.exchange(path, names[got.index(True)], b"late")
    assert lock.exchange(path, b"next", None)
    assert not filesystem.exists(path)
