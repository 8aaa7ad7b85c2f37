"""What a command says: one JSON document or text on stdout, progress on stderr."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jobs import logs

#: Seconds between two lines about the same step, where there is no terminal.
_PATIENCE = 5.0
_BAR = 24


@dataclass
class Output:
    """Where a command's result goes.

    With `as_json` nothing but one document is printed. Progress is for people: a bar that is
    overwritten on a terminal, plain lines elsewhere, none with JSON.
    """

    as_json: bool
    verbose: bool = False
    _said_at: float = 0.0

    def result(self, document: Mapping[str, Any] | list[Any], text: Callable[[], str | Iterator[str]]) -> None:
        """Print the result: the document, or what `text` makes of it, whole or in pieces that end a line."""
        if self.as_json:
            # piece by piece: a document may be larger than memory
            json.dump(document, sys.stdout, indent=2, default=str, ensure_ascii=False)
            print()
        else:
            told = text()
            for piece in [told] if isinstance(told, str) else told:
                print(piece.rstrip("\n"))

    def progress(self, message: str, share: float | None = None) -> None:
        """Say what is going on, and which share of it is done."""
        if self.as_json or logs.is_json():
            return
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{_bar(share)}{message}")
        elif share is None or time.monotonic() - self._said_at > _PATIENCE:
            self._said_at = time.monotonic()
            sys.stderr.write(f"{message}\n")
        sys.stderr.flush()

    def progress_done(self) -> None:
        """Take the progress line off a terminal."""
        if not self.as_json and sys.stderr.isatty():
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def _bar(share: float | None) -> str:
    if share is None:
        return ""
    filled = round(_BAR * min(1.0, share))
    return f"[{'#' * filled}{'.' * (_BAR - filled)}] "
