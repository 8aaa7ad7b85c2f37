"""Publishes in forked processes that die where they are told to: the inside of the fault harness.

Started once, so that everything is imported once. Each line on stdin is a task `{"config", "run", "at",
"after"}`: a child publishes the run, and is killed (SIGKILL) at its step number `at` (`answered`: when the
target has answered for the first time), or `after` so many seconds, or not at all. The answer is a line
`{"code", "steps", "error"}`; code -9 is killed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import apache_beam  # noqa: F401  before any fork

from jobs import publish
from jobs.audit import AuditLog
from jobs.config import load
from jobs.publication import open_publication
from pipelines import connectors, filesystem
from pipelines import publish as pipeline
from reconcilers.errors import ReconError

connectors.REGISTRY["webhook"] = "webhook_sink"


class Steps:
    """Counts the steps of a publish, and ends the process at one of them."""

    def __init__(self, at: int | str | None) -> None:
        self.at = at
        self.count = 0
        self.lock = threading.Lock()

    def __call__(self) -> None:
        with self.lock:
            if self.count == self.at:
                os.kill(os.getpid(), signal.SIGKILL)
            self.count += 1

    def around(self, function, name=""):
        """The function, with a step before and one after."""

        def stepped(*arguments, **named):
            self()
            result = function(*arguments, **named)
            if name and name == self.at:
                os.kill(os.getpid(), signal.SIGKILL)
            self()
            return result

        return stepped


def watch(steps: Steps) -> None:
    """A step before and after everything that leaves a trace outside: files, their sync, the audit, the target."""
    filesystem.write_atomic = steps.around(filesystem.write_atomic)
    os.fsync = steps.around(os.fsync)
    AuditLog.append = steps.around(AuditLog.append)
    opened = pipeline.open_sink

    def open_sink(*arguments):
        sink = opened(*arguments)
        sink.send = steps.around(sink.send, "answered")
        return sink

    pipeline.open_sink = open_sink


def publish_and_die(task: dict, pipe: int) -> None:
    steps = Steps(task["at"])
    watch(steps)
    code, error = 0, ""
    try:
        outcome = publish.apply(open_publication(load(Path(task["config"])), task["run"]), "harness", lambda *_: None)
        code, error = outcome.exit_code, "; ".join(outcome.trouble)
    except ReconError as told:
        code, error = told.exit_code, str(told)
    except BaseException as bug:
        code, error = 70, repr(bug)
    os.write(pipe, json.dumps({"code": code, "steps": steps.count, "error": error}).encode())
    os._exit(0)


def run(task: dict) -> dict:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        publish_and_die(task, writer)
    os.close(writer)
    if task["after"] is not None:
        time.sleep(task["after"])
        os.kill(child, signal.SIGKILL)
    with os.fdopen(reader, "rb") as answers:
        told = answers.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) or not told:
        return {"code": -9, "steps": None, "error": ""}
    return json.loads(told)


def main() -> None:
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
