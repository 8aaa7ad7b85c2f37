"""A lock that one process holds on a file, local or `gs://`, and that outlives no crash.

The holder changes the file every few seconds. Whoever wants it watches for a while: a file that changes
is held, one that stays as it is belonged to a process that is gone, and is taken over. Only the watcher's
own monotonic clock is asked, so neither a clock that jumps nor one that differs between machines matters.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from pipelines import filesystem
from reconcilers.errors import Refused, Unreachable

#: Seconds between two signs of life, and how long a watcher waits for one.
BEAT = 2.0
PATIENCE = 20.0


@contextmanager
def locked(path: str, owner: str, what: str, patience: float = PATIENCE) -> Iterator[str]:
    """Hold the lock at `path` for the block; yields the token to ask `check` about.

    Raises:
        Refused: somebody else holds it; the message names them and `what` they are doing.
    """
    token = uuid4().hex
    record = {"token": token, "owner": owner, "host": socket.gethostname(), "pid": os.getpid(), "beat": 0}
    record["since"] = datetime.now(UTC).isoformat(timespec="seconds")
    text = _acquire(path, record, what, patience)
    done = threading.Event()
    heart = threading.Thread(target=_beat, args=(path, record, text, done), daemon=True)
    heart.start()
    try:
        yield token
    finally:
        done.set()
        heart.join()
        with suppress(Unreachable):
            current = _read(path)
            if current is not None and json.loads(current)["token"] == token:
                exchange(path, current, None)


def check(path: str, token: str) -> None:
    """Raise `Refused` where the lock is not held under `token` any more."""
    current = _read(path)
    if current is None or json.loads(current)["token"] != token:
        raise Refused(f"{path}: another process took over, as this one gave no sign of life for {PATIENCE:.0f} s")


def _acquire(path: str, record: dict[str, Any], what: str, patience: float) -> bytes:
    wanted = json.dumps(record).encode()
    while True:
        found = _read(path)
        if found is not None and not _gone(path, found, patience):
            holder = json.loads(_read(path) or found)
            raise Refused(f"{holder['owner']} on {holder['host']} is {what} since {holder['since']}")
        if exchange(path, found, wanted):
            return wanted


def _gone(path: str, found: bytes, patience: float) -> bool:
    """Whether the holder is dead: it ran here and its process is gone, or it gives no sign of life."""
    holder = json.loads(found)
    if holder["host"] == socket.gethostname():
        try:
            os.kill(holder["pid"], 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
    ends = time.monotonic() + patience
    while time.monotonic() < ends:
        time.sleep(0.2)
        if _read(path) != found:
            return _read(path) is None
    return True


def _beat(path: str, record: dict[str, Any], text: bytes, done: threading.Event) -> None:
    while not done.wait(BEAT):
        record["beat"] += 1
        following = json.dumps(record).encode()
        with suppress(Unreachable):
            if exchange(path, text, following):
                text = following
                continue
            # An exchange whose answer was lost may have been done: then it is still ours.
            found = _read(path)
            if found is None or json.loads(found)["token"] != record["token"]:
                return
            text = found


def _read(path: str) -> bytes | None:
    try:
        with filesystem.open_read(path) as file:
            return bytes(file.read())
    except Unreachable:
        if filesystem.exists(path):
            raise
        return None


def exchange(path: str, expected: bytes | None, wanted: bytes | None) -> bool:
    """Replace a file's text (None: no file) if it still is `expected`; whether it was. Raises `Unreachable`."""
    if filesystem.is_remote(path):
        return _exchanged_object(path, expected, wanted)
    guard = Path(f"{path}.guard")
    try:
        guard.parent.mkdir(parents=True, exist_ok=True)
        with guard.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if _read(path) != expected:
                return False
            if wanted is None:
                Path(path).unlink(missing_ok=True)
            else:
                filesystem.write_atomic(path, wanted)
            return True
    except OSError as error:
        raise Unreachable(f"{path}: {error.strerror or error}") from error


def _exchanged_object(path: str, expected: bytes | None, wanted: bytes | None) -> bool:
    """The same for an object: the service compares its generation."""
    from google.api_core.exceptions import GoogleAPICallError, NotFound, PreconditionFailed
    from google.cloud import storage

    bucket, _, name = path.removeprefix("gs://").partition("/")
    try:
        objects = storage.Client().bucket(bucket)
        blob = objects.get_blob(name)
        current = None if blob is None else blob.download_as_bytes()
        if current != expected:
            return False
        generation = 0 if blob is None else blob.generation
        if wanted is None:
            if blob is not None:
                blob.delete(if_generation_match=generation)
        else:
            objects.blob(name).upload_from_string(wanted, if_generation_match=generation)
    except (PreconditionFailed, NotFound):
        # Somebody was faster: another one, or an earlier try of ours whose answer was lost.
        return _read(path) == wanted
    except GoogleAPICallError as error:
        raise Unreachable(f"{path}: {' '.join(str(error).split())[:300]}") from error
    return True
