"""Running a Beam pipeline: the same code in process, on Dataflow or on Flink."""

from __future__ import annotations

import io
import logging
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Protocol, TextIO

import apache_beam as beam
import pyarrow as pa
from apache_beam.metrics import Metrics
from apache_beam.metrics.metric import MetricsFilter
from apache_beam.options.pipeline_options import PipelineOptions, SetupOptions, StandardOptions
from apache_beam.runners.runner import PipelineResult

from reconcilers import errors

#: In process and named explicitly: DirectRunner would first try to download another runner.
#: A thread a core; the work inside is DuckDB, Arrow and files, which do not hold the interpreter.
LOCAL = (
    "--runner=FnApiRunner",
    "--direct_running_mode=multi_threading",
    f"--direct_num_workers={max(1, len(os.sched_getaffinity(0)))}",
)

_EXPECTED = re.compile(r"reconcilers\.errors\.(\w+): (.*?)(?: \[while running [^\n]*\])?$", re.MULTILINE)

#: What Beam says where the program of a runner is not at hand: Prism, or the job server of Flink.
_NO_PROGRAM = re.compile(r"Unable to (?:parse|fetch remote) (.*?)(?: URL)?(?: at)? \"?(\S+?)\"?[.:](?:\s|$)")


#: A step on one piece of work, which may say what it has counted.
Verb = Callable[..., Mapping[str, int] | None]


class Elsewhere(Protocol):
    """Something that runs a pipeline in a place of its own, such as a job of a service."""

    def call_each(self, verb: Verb, calls: Sequence[tuple[Any, ...]], watch: Callable[[], None] | None) -> None:
        """Do what `call_each` does, and return when it is done. Raises `ReconError` where it failed."""
        ...


#: Where a pipeline runs: Beam's own options (in process where there are none), or elsewhere.
Engine = tuple[str, ...] | Elsewhere


def call_each(
    verb: Verb,
    calls: Sequence[tuple[Any, ...]],
    engine: Engine = (),
    watch: Callable[[], None] | None = None,
    counters: dict[str, int] | None = None,
) -> None:
    """Call `verb` once with each tuple of arguments, spread over the workers of an engine.

    This is the one pipeline of the project: what a call finds, it writes; nothing is shuffled but the
    arguments. A call may be repeated, so it must write the same files again. What the calls of an engine
    of Beam's own count is added to `counters`, as `verb.name`. In process a single call is just made: a
    pipeline takes a quarter of a second to begin.

    Raises:
        ConfigError: Beam does not know an option or runner.
        ReconError: a call met an expected error.
    """
    if not isinstance(engine, tuple):
        engine.call_each(verb, calls, watch)
        return
    # buckets come and go: Arrow's own allocator gives their memory back and takes it again all the time
    pa.set_memory_pool(pa.system_memory_pool())
    name = verb.__name__
    if not engine and len(calls) == 1:
        with _watched(watch):
            amounts = verb(*calls[0]) or {}
        _add(counters, {f"{name}.{what}": amount for what, amount in amounts.items()})
        return
    with pipeline(engine, watch, counters) as built:
        done = built | "Calls" >> beam.Create(calls) | "Spread" >> beam.Reshuffle() | name >> beam.MapTuple(verb)
        _ = done | "Count" >> beam.ParDo(Count(name))


@contextmanager
def pipeline(
    args: tuple[str, ...] = (), watch: Callable[[], None] | None = None, counters: dict[str, int] | None = None
) -> Iterator[beam.Pipeline]:
    """A pipeline that runs when the block ends; `args` are Beam's own options.

    While it runs, `watch` is called now and then, to tell how far it is. What its steps counted is
    added to `counters`.

    Raises:
        ConfigError: Beam does not know an option or runner.
        ReconError: a step met an expected error; it arrives as itself, not as a wall of text.
    """
    options = PipelineOptions(list(args or LOCAL))
    options.view_as(SetupOptions).save_main_session = False
    try:
        built = beam.Pipeline(options=options)
    except ValueError as error:
        raise errors.ConfigError(f"Beam does not take {' '.join(args)}: {' '.join(str(error).split())}") from error
    yield built
    with _quiet_workers(), _watched(watch):
        try:
            result = built.run()
            if not options.view_as(StandardOptions).no_wait_until_finish:
                result.wait_until_finish()
        except Exception as error:
            kind = type(error)
            expected = expected_error(f"{kind.__module__}.{kind.__qualname__}: {error}")
            if expected is None:
                raise
            raise expected from None
    if counters is not None:
        _add(counters, counted(result))


class Count(beam.DoFn):  # type: ignore[misc]
    """Adds what each element says to counters of that name: elements are mappings name → amount, or None.

    A retried bundle may count twice on a distributed runner: counters tell how it went, never what is true.
    """

    def __init__(self, step: str) -> None:
        self.step = step

    def process(self, element: Mapping[str, int] | None) -> None:
        """Count one element."""
        for name, amount in (element or {}).items():
            Metrics.counter(self.step, name).inc(amount)


def counted(result: PipelineResult) -> dict[str, int]:
    """The counters of a finished pipeline that `Count` made, as `verb.name`."""
    found: dict[str, int] = {}
    for each in result.metrics().query(MetricsFilter().with_step("Count"))["counters"]:
        name = f"{each.key.metric.namespace}.{each.key.metric.name}"
        found[name] = found.get(name, 0) + int(each.committed)
    return found


def _add(counters: dict[str, int] | None, amounts: Mapping[str, int]) -> None:
    """Add amounts to counters of the same names, where somebody wants to know."""
    if counters is not None:
        for name, amount in amounts.items():
            counters[name] = counters.get(name, 0) + amount


def expected_error(text: str) -> errors.ReconError | None:
    """The expected error that a worker's traceback ends with, as the object that it was.

    The program of a runner that is not at hand is one too.
    """
    found = _EXPECTED.findall(text)
    missing = _NO_PROGRAM.search(text)
    if not found and missing:
        return errors.ConfigError(f"Beam finds no {missing[1]} at {missing[2]} (docs/engines.md)")
    if not found:
        return None
    name, message = found[-1]
    kind = getattr(errors, name, None)
    return kind(message) if isinstance(kind, type) and issubclass(kind, errors.ReconError) else None


@contextmanager
def _watched(watch: Callable[[], None] | None) -> Iterator[None]:
    """Call `watch` every half second from a thread of its own; what it cannot see, it leaves out."""
    if watch is None:
        yield
        return
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.5):
            with suppress(errors.Unreachable):
                watch()

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@contextmanager
def _quiet_workers() -> Iterator[None]:
    """Workers log and print the traceback of every error; it is told once, by the caller.

    The workers of a pipeline that failed go on for a while, and stay quiet.
    """
    loggers = [logging.getLogger(f"apache_beam.runners.{name}") for name in ("common", "worker")]
    before, stream = [logger.level for logger in loggers], sys.stderr
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    if not isinstance(stream, _WithoutTracebacks):
        sys.stderr = _WithoutTracebacks(stream)
    yield
    sys.stderr = stream
    for logger, level in zip(loggers, before, strict=True):
        logger.setLevel(level)


class _WithoutTracebacks(io.TextIOBase):
    """A text stream that passes everything on but printed tracebacks and their line ends."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._dropped = False

    def write(self, text: str) -> int:
        """Pass `text` on, unless it is a traceback."""
        drop = text.startswith("Traceback (most recent call last)") or (self._dropped and text == "\n")
        self._dropped = drop
        if not drop:
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush the stream behind."""
        self._stream.flush()

    def isatty(self) -> bool:
        """Whether the stream behind is a terminal."""
        return self._stream.isatty()
