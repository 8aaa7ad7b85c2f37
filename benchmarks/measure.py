"""Time and peak memory of something that runs in a process of its own."""

from __future__ import annotations

import multiprocessing
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Measured:
    """Seconds, MiB of peak memory of its process, and what the function returned."""

    seconds: float
    peak_mib: float
    result: Any = None


def measured(function: Callable[..., Any], *arguments: Any, repeat: int = 1) -> Measured:
    """The best of `repeat` runs, each in a new process with its imports done before the clock starts."""
    runs = [_in_process(function, arguments) for _ in range(repeat)]
    return min(runs, key=lambda run: run.seconds)


def _in_process(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Measured:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_run, args=(theirs, function, arguments))
    process.start()
    theirs.close()
    try:
        answer = ours.recv()
    except EOFError:
        sys.exit(f"{function.__name__} died")
    process.join()
    return Measured(*answer)


def _run(pipe: Any, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    began = time.perf_counter()
    result = function(*arguments)
    seconds = time.perf_counter() - began
    pipe.send((seconds, _peak_mib(), result))


def _peak_mib() -> float:
    """The peak of this process alone: `ru_maxrss` begins with that of the process that started it."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024  # type: ignore[index]
