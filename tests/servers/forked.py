"""Processes forked from one that has imported everything, so that each takes a moment, not seconds."""

from __future__ import annotations

import atexit
import multiprocessing

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    ["cli.main", "jobs.validate", "jobs.lifecycle", "jobs.publish", "jobs.compare", "great_expectations", "duckdb"]
)


def start(function, *arguments):
    """A process that calls a function of a module."""
    process = _FORKS.Process(target=function, args=arguments)
    process.start()
    atexit.register(process.kill)
    return process


def wait(process, timeout=300):
    """Its exit code, negative where a signal ended it."""
    process.join(timeout)
    assert process.exitcode is not None, "still running"
    return process.exitcode
