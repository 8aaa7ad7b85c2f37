"""What a command says: one JSON document or text on stdout, progress on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Output:
    """Where a command's result goes.

    With `as_json` nothing but one document is printed. Progress is for people: a line that is
    overwritten on a terminal, plain lines elsewhere, none with JSON.
    """

    as_json: bool
    verbose: bool = False

    def result(self, document: Mapping[str, Any] | list[Any], text: Callable[[], str]) -> None:
        """Print the result: the document, or the text that `text` makes of it."""
        if self.as_json:
            print(json.dumps(document, indent=2, default=str, ensure_ascii=False))
        else:
            print(text().rstrip("\n"))

    def progress(self, message: str) -> None:
        """Say what is going on."""
        if self.as_json:
            return
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{message}")
        else:
            sys.stderr.write(f"{message}\n")
        sys.stderr.flush()

    def progress_done(self) -> None:
        """Take the progress line off a terminal."""
        if not self.as_json and sys.stderr.isatty():
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
