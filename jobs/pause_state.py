"""What is paused, written before it is: `paused/<job>.json` in the workspace, gone when all is resumed.

It holds everything that it takes to resume, so that a later process can, whatever became of the
configuration. Secrets are in it as `${NAME}`, and are read from the environment again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from jobs import pauses
from jobs.config_text import Secret, parse, redacted
from pipelines import filesystem
from reconcilers.errors import ConfigError, ReconError, Unreachable


@dataclass(frozen=True)
class PausedHook:
    """One consumer: how to reach it, and what it was before."""

    kind: str
    options: Mapping[str, Any]
    saved: Mapping[str, Any]


@dataclass(frozen=True)
class Paused:
    """The consumers that a job has paused. `by` is `run`, or `hand` for `recon pause`."""

    job: str
    by: str
    config: str
    since: datetime
    until: datetime
    hooks: tuple[PausedHook, ...] = ()
    token: str = ""

    @staticmethod
    def begin(job: str, by: str, config: str, maximum: timedelta) -> Paused:
        """Nothing is paused yet."""
        now = datetime.now(UTC)
        return Paused(job, by, config, now, now + maximum, token=uuid4().hex)

    def with_hook(self, kind: str, options: Mapping[str, Any], saved: Mapping[str, Any]) -> Paused:
        """One more; its options are kept as they are written."""
        return replace(self, hooks=(*self.hooks, PausedHook(kind, _writable(options), saved)))

    def write(self, workspace: str) -> None:
        """Make it durable. Raises `Unreachable`."""
        directory = filesystem.join(workspace, "paused")
        if not filesystem.is_remote(directory):
            # what is saved may hold secrets, such as the token in a push endpoint
            Path(directory).mkdir(mode=0o700, parents=True, exist_ok=True)
        text = json.dumps(asdict(self), indent=2, default=datetime.isoformat, ensure_ascii=False)
        filesystem.write_atomic(_path(workspace, self.job), text.encode())

    def resume(self, workspace: str) -> None:
        """Resume every consumer, the last one first, and forget those that are.

        Raises:
            Unreachable: some could not be; they are kept for the next time.
        """
        problems: list[str] = []
        left: list[PausedHook] = []
        base = str(Path(self.config).parent)
        for hook in reversed(self.hooks):
            try:
                options = _expanded(hook.options, self.config)
                try:
                    pauses.open_hook(hook.kind, options, base).resume(dict(hook.saved))
                except ReconError as error:
                    raise Unreachable(redacted(str(error), options)) from error
            except ReconError as error:
                problems.append(str(error))
                left.append(hook)
        if left:
            replace(self, hooks=tuple(reversed(left))).write(workspace)
            raise Unreachable(f"still paused, `recon resume {self.job}` tries again: {'; '.join(problems)}")
        with suppress(Unreachable):  # another process may have been first
            filesystem.delete(_path(workspace, self.job))


def read(workspace: str, job: str) -> Paused | None:
    """What a job has paused; None where nothing is. Raises `Unreachable` for a file that says neither."""
    path = _path(workspace, job)
    if not filesystem.exists(path):
        return None
    with filesystem.open_read(path) as file:
        text = file.read()
    try:
        fields = json.loads(text)
        for name in ("since", "until"):
            fields[name] = datetime.fromisoformat(fields[name])
        fields["hooks"] = tuple(PausedHook(**hook) for hook in fields["hooks"])
        return Paused(**fields)
    except (ValueError, KeyError, TypeError) as error:
        raise Unreachable(f"{path}: does not say what is paused: {error}") from error


def paused_jobs(workspace: str) -> list[str]:
    """The jobs that have something paused."""
    names = [path.rsplit("/", 1)[-1] for path in filesystem.list_files(filesystem.join(workspace, "paused"))]
    return [name.removesuffix(".json") for name in names if name.endswith(".json")]


def _path(workspace: str, job: str) -> str:
    return filesystem.join(workspace, "paused", f"{job}.json")


def _writable(data: Any) -> Any:
    """Nested data as a configuration would say it, each secret as its `${NAME}`."""
    if isinstance(data, Mapping):
        return {key: _writable(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_writable(value) for value in data]
    if isinstance(data, Secret):
        return data.written
    return data.replace("${", "$${") if isinstance(data, str) else data


def _expanded(options: Mapping[str, Any], config: str) -> dict[str, Any]:
    document = parse(json.dumps(options), f"what {config} paused", os.environ)
    document.check()
    if not isinstance(document.data, dict):
        raise ConfigError(f"what {config} paused has no options")
    return document.data
