"""Kinds of consumers that can be paused: one file is one kind, one row in `REGISTRY` is its name.

A kind offers `Options` (a pydantic model whose fields say what they are for) and `Hook(options, base)`.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any, Protocol

from reconcilers.errors import ConfigError

REGISTRY: dict[str, str] = {
    "cloud_run": "jobs.pauses.cloud_run",
    "command": "jobs.pauses.command",
    "http": "jobs.pauses.http",
    "push_subscription": "jobs.pauses.push_subscription",
    "scheduler_job": "jobs.pauses.scheduler_job",
}


class Hook(Protocol):
    """One consumer. Every verb may be repeated: a crash may come between the deed and the note of it."""

    @property
    def name(self) -> str:
        """What it is, for people."""
        ...

    def look(self) -> dict[str, Any]:
        """What has to be known to resume it, as JSON data; changes nothing. Raises `ReconError`."""
        ...

    def pause(self, saved: dict[str, Any]) -> None:
        """Stop it; `saved` is what `look` found. Raises `Unreachable`."""
        ...

    def resume(self, saved: dict[str, Any]) -> None:
        """Make it again what `look` found. Raises `Unreachable`."""
        ...


def module(kind: str) -> ModuleType:
    """The kind, imported. Raises `ConfigError` for an unknown one."""
    if kind not in REGISTRY:
        raise ConfigError(f"unknown kind of pause {kind!r}; there are: {', '.join(sorted(REGISTRY))}")
    return import_module(REGISTRY[kind])


def open_hook(kind: str, options: dict[str, Any], base: str) -> Hook:
    """The hook of validated options; relative paths start at the directory `base`."""
    found = module(kind)
    hook: Hook = found.Hook(found.Options(**options), base)
    return hook
