"""The sink of `files`: a batch of corrections becomes a file, whose name says what is in it."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from pipelines import filesystem
from pipelines.connectors import Context
from reconcilers.corrections import Correction, Mode, Receipt, Status
from reconcilers.formulas import defused_cell
from reconcilers.messages import to_json, to_message


class SinkOptions(BaseModel):
    """How corrections are written to files."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str = Field(description="a directory, or a gs:// prefix; every batch becomes a file of its own in it")
    format: Literal["jsonl", "csv"] = Field("jsonl", description="one message a line, or a table")
    batch: int = Field(10_000, ge=1, le=1_000_000, description="corrections in a file")


class Sink:
    """Corrections handed over as files: whole files, whose names say what is in them.

    A batch that is sent again replaces its own file.
    """

    modes = frozenset({Mode.SET})

    def __init__(self, options: SinkOptions, context: Context) -> None:
        self.options = options
        self.batch_size = options.batch
        path = options.path
        self.directory = path if filesystem.is_remote(path) else filesystem.absolute(context.base, path)

    def send(self, corrections: Sequence[Correction]) -> list[Receipt]:
        """Write a file; whoever takes it decides about its lines."""
        keys = "\n".join(correction.idempotency_key for correction in corrections)
        digest = hashlib.sha256(keys.encode()).hexdigest()[:16]
        name = f"corrections-{corrections[0].run_id}-{digest}.{self.options.format}"
        text = _lines(corrections) if self.options.format == "jsonl" else _table(corrections)
        filesystem.write_atomic(filesystem.join(self.directory, name), text.encode())
        return [Receipt(correction.idempotency_key, Status.SENT, name) for correction in corrections]

    def observe(self, keys: Sequence[tuple[str, str]]) -> None:
        """Files do not answer."""
        return

    def close(self) -> None:
        """Nothing is kept open."""


def _lines(corrections: Sequence[Correction]) -> str:
    return "".join(to_json(correction) + "\n" for correction in corrections)


def _table(corrections: Sequence[Correction]) -> str:
    """A CSV table; text that a spreadsheet would run as a formula is made plain."""
    rows = [to_message(correction) for correction in corrections]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _plain(name, value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def _plain(name: str, value: str | None) -> str | None:
    is_text = name not in ("value", "change_from", "delta")
    return defused_cell(value) if is_text and value else value
