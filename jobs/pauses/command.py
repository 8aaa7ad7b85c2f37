"""A command of your own, such as one that scales a deployment down, and the one that undoes it."""

from __future__ import annotations

import subprocess
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from reconcilers.errors import Unreachable

Words = Annotated[tuple[str, ...], Field(min_length=1)]


class Options(BaseModel):
    """Two commands, each a list of words; no shell is involved."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pause: Words = Field(description="the command that stops the consumer, as a list of words")
    resume: Words = Field(description="the command that starts it again; it may run more than once")
    seconds: int = Field(60, ge=1, description="how long a command may take")


class Hook:
    """Runs the commands in the directory of the configuration."""

    def __init__(self, options: Options, base: str) -> None:
        self.options = options
        self.base = base

    @property
    def name(self) -> str:
        """The command that pauses."""
        return f"command {self.options.pause[0]}"

    def look(self) -> dict[str, Any]:
        """Nothing: the two commands know what they do."""
        return {}

    def pause(self, saved: dict[str, Any]) -> None:
        """Run the first command."""
        self._run(self.options.pause)

    def resume(self, saved: dict[str, Any]) -> None:
        """Run the second command."""
        self._run(self.options.resume)

    def _run(self, words: tuple[str, ...]) -> None:
        try:
            done = subprocess.run(  # noqa: S603  the configuration says which
                words,
                cwd=self.base,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=self.options.seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise Unreachable(f"command {words[0]}: took longer than {self.options.seconds} s") from error
        except OSError as error:
            raise Unreachable(f"command {words[0]}: {error.strerror}") from error
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
            raise Unreachable(
                f"command {words[0]}: exit code {done.returncode}{': ' if said else ''}{''.join(said)[:200]}"
            )
