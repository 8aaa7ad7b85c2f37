"""The `recon` command as a user runs it: a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        """The one document on stdout."""
        return json.loads(self.out)

    @property
    def told(self) -> list[str]:
        """What it said on stderr beside progress."""
        return [line.removeprefix("recon: ") for line in self.err.splitlines() if line.startswith("recon: ")]


def recon(*arguments, at: Path, **options) -> Done:
    """Run `recon` in a directory."""
    command = [sys.executable, "-m", "cli.main", *map(str, arguments)]
    done = subprocess.run(command, cwd=at, capture_output=True, text=True, check=False, timeout=120, **options)
    assert "Traceback" not in done.stderr, done.stderr
    return Done(done.returncode, done.stdout, done.stderr)
