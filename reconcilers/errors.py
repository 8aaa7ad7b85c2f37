"""Expected errors: one base class, one exit code each, one catch site (`cli.main`).

An expected error is one line that names the value, the bound and the place. Anything else that
escapes is a bug and exits with 70.
"""

from __future__ import annotations


class ReconError(Exception):
    """Something that a user can act on. `str(error)` is the one line that they see."""

    exit_code = 2


class ConfigError(ReconError):
    """The configuration or the command line is wrong; `problems` holds one line each."""

    exit_code = 2

    def __init__(self, problems: list[str] | str) -> None:
        self.problems = [problems] if isinstance(problems, str) else problems
        super().__init__("\n".join(self.problems))


class ExpectationsFailed(ReconError):
    """A snapshot failed a critical expectation, so nothing may be concluded from it."""

    exit_code = 3


class Unreachable(ReconError):
    """A source, sink or store could not be reached, or what it holds cannot be read."""

    exit_code = 4


class Refused(ReconError):
    """A safety gate refused to act, or an approval is missing."""

    exit_code = 5
