"""The `recon` command as a user runs it: a process of its own."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from forked import start, wait

from cli.main import main


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


def recon(*arguments, at: Path, env: Mapping[str, str] | None = None) -> Done:
    """Run `recon` in a directory, in this environment or one that is given."""
    with tempfile.TemporaryDirectory(prefix="recon-shell-") as scratch:
        out, err = Path(scratch) / "out", Path(scratch) / "err"
        code = wait(start(_main, [*map(str, arguments)], str(at), dict(env or os.environ), str(out), str(err)))
        done = Done(code, out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8"))
    assert "Traceback" not in done.err, done.err
    return done


def _main(arguments: list[str], at: str, environment: dict[str, str], out: str, err: str) -> None:
    """The command in this process, as if it had just begun: its directory, environment and streams."""
    os.chdir(at)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    sys.stdout, sys.stderr = (Path(path).open("w", encoding="utf-8") for path in (out, err))  # noqa: SIM115
    os.dup2(sys.stdout.fileno(), 1)
    os.dup2(sys.stderr.fileno(), 2)
    sys.argv = ["recon", *arguments]
    main()
