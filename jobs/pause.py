"""Consumers stand still while a job captures, and always go on afterwards.

What is paused is written down before it is (`jobs.pause_state`). It is resumed when the capture ends,
whatever way; when the process dies, by a watchdog that notices at once (`jobs.watchdog`); when the machine
dies, by the job's next run or by `recon resume`. After `maximum` the watchdog resumes in any case.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs import pauses
from jobs.config import Config, load
from jobs.config_text import redacted
from jobs.pause_state import Paused, paused_jobs, read
from jobs.watchdog import DISMISSED
from reconcilers.errors import ConfigError, ReconError, Unreachable

if TYPE_CHECKING:  # what runs captures is heavy, and nothing that resumes needs it
    from jobs.run import Progress


@contextmanager
def paused(config: Config, job: str, path: Path, progress: Progress) -> Iterator[None]:
    """The job's consumers stand still inside the block.

    Those that `recon pause` has paused by hand are left as they are.

    Raises:
        Unreachable: one could not be paused (then the others go on), or not be resumed.
    """
    workspace = str(config.workspace)
    before = read(workspace, job)
    if before is not None and before.by == "hand":
        progress(f"paused by hand since {_clock(before.since)}; `recon resume {job}` ends it")
        yield
        return
    if before is not None:
        before.resume(workspace)
        progress("resumed what an interrupted run had left paused")
    if not config.job(job).pause:
        yield
        return
    with _signals(), _Pause(config, job, path, "run", progress) as pause:
        try:
            pause.begin()
            yield
        except BaseException:
            try:
                pause.end()
            except ReconError as error:
                progress(str(error))
            raise
        pause.end()


def pause_by_hand(path: Path, job: str, progress: Progress) -> dict[str, Any]:
    """Pause the consumers of a job until `resume`, or until their maximum is over.

    Raises:
        ConfigError: the job pauses nothing, or is paused already.
        Unreachable: one could not be paused; then the others go on.
    """
    config = load(path)
    if not config.job(job).pause:
        raise ConfigError(f"job {job!r} pauses nothing; see jobs.{job}.pause in docs/configuration.md")
    before = read(str(config.workspace), job)
    if before is not None:
        raise ConfigError(f"job {job!r} is paused since {_clock(before.since)}; `recon resume {job}` ends it")
    with _Pause(config, job, path, "hand", progress) as pause:
        try:
            pause.begin()
        except BaseException:
            pause.end()
            raise
        return {"job": job, "paused": pause.names, "until": pause.state.until.isoformat()}


def resume(path: Path, job: str | None) -> list[dict[str, Any]]:
    """Resume what a job, or any job, has paused; a row a job.

    Raises:
        ConfigError: no such job, neither in the configuration nor among what is paused.
        Unreachable: something is still paused.
    """
    config = load(path)
    workspace = str(config.workspace)
    if job is not None and read(workspace, job) is None:
        config.job(job)
    done = []
    for each in [job] if job is not None else paused_jobs(workspace):
        state = read(workspace, each)
        if state is not None:
            state.resume(workspace)
            done.append({"job": each, "resumed": len(state.hooks), "since": state.since.isoformat()})
    return done


class _Pause:
    """A pause under way, with the watchdog that ends it if this process cannot."""

    def __init__(self, config: Config, job: str, path: Path, by: str, progress: Progress) -> None:
        self.config = config
        self.job = job
        self.progress = progress
        self.workspace = str(config.workspace)
        self.hooks = config.job(job).pause
        maximum = min(hook.maximum for hook in self.hooks)
        self.state = Paused.begin(job, by, str(path.absolute()), maximum)
        self.names: list[str] = []
        self._dog: subprocess.Popen[bytes] | None = None
        self._over = False

    def __enter__(self) -> _Pause:
        return self

    def __exit__(self, *error: object) -> None:
        """The watchdog of a run is dismissed, or, where something is still paused, let loose."""
        if self._dog is None or self._dog.stdin is None:
            return
        if self._over:
            with suppress(OSError):
                self._dog.stdin.write(DISMISSED)
        with suppress(OSError):
            self._dog.stdin.close()
        if self._over:
            self._dog.wait()

    def begin(self) -> None:
        """Write down what is about to be paused, then pause it, one after the other."""
        for configured in self.hooks:
            options = dict(configured.options)
            try:
                hook = pauses.open_hook(configured.kind, options, str(self.config.base))
                saved = hook.look()
                self.state = self.state.with_hook(configured.kind, options, saved)
                self.state.write(self.workspace)
                if self._dog is None:
                    self._dog = self._watched()
                hook.pause(saved)
            except ReconError as error:
                raise type(error)(redacted(f"not paused: {error}", options)) from error
            self.names.append(redacted(hook.name, options))
            self.progress(f"paused {self.names[-1]}")

    def end(self) -> None:
        """Resume everything that is still paused. Raises `Unreachable`."""
        if self.state.hooks:
            now = read(self.workspace, self.job)
            if now is None or now.token != self.state.token:
                self.progress(f"the pause was over before the capture: it could last until {_clock(self.state.until)}")
            else:
                now.resume(self.workspace)
                self.progress(f"resumed {', '.join(reversed(self.names))}")
        self._over = True

    def _watched(self) -> subprocess.Popen[bytes]:
        """Start the watchdog; when the pipe to it is cut, this process is no more."""
        words = [sys.executable, "-m", "jobs.watchdog", self.workspace, self.job, self.state.token]
        words += [str(self.state.until.timestamp()), self.state.by]
        ours = str(Path(__file__).parents[1])
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [ours, os.environ.get("PYTHONPATH")]))}
        try:
            return subprocess.Popen(  # noqa: S603  this program, and names of the configuration
                words,
                stdin=subprocess.PIPE if self.state.by == "run" else subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                cwd=self.config.base,
                env=environment,
            )
        except OSError as error:
            raise Unreachable(f"no watchdog: {error.strerror}") from error


@contextmanager
def _signals() -> Iterator[None]:
    """A process that is asked to end (SIGTERM, SIGHUP) ends like an interrupted one: it resumes first."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = {each: signal.signal(each, interrupt) for each in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _clock(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S} UTC"
