"""What `recon publish`, `approve`, `reject`, `rollback` and `audit` do, as functions that return data."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from jobs import publish as publishing
from jobs.approve import decide as take
from jobs.audit import AuditLog
from jobs.config import load
from jobs.publication import open_publication
from jobs.rollback import propose_rollback
from jobs.run import Progress
from jobs.workspace import Workspace
from pipelines.publish import corrections_of
from pipelines.queries import Rows
from reconcilers.errors import ConfigError
from reconcilers.messages import decimal_text, to_message
from reports import text

#: Corrections that a terminal gets to see; `-v` and `--json` have them all.
_SHOWN = 20


class OneByOne(list[dict[str, Any]]):
    """A list that is made anew while it is gone through, so that it is never in memory as a whole.

    A list, as JSON is written only of those.
    """

    def __init__(self, rows: Callable[[], Iterator[dict[str, Any]]]) -> None:
        super().__init__()
        self._rows = rows

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self._rows()

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __bool__(self) -> bool:
        return next(iter(self), None) is not None


@dataclass(frozen=True)
class Published:
    """The outcome of a publish as a document, in words, and as an exit code."""

    outcome: publishing.Outcome

    @property
    def exit_code(self) -> int:
        """0, 4 or 5."""
        return self.outcome.exit_code

    def document(self) -> dict[str, Any]:
        """Everything, the corrections as the very messages that are sent: made one by one as they are asked for."""
        outcome = self.outcome
        return {
            "run_id": outcome.run_id,
            "applied": outcome.applied,
            "state": outcome.state if outcome.applied else None,
            "gates": [
                {**verdict.document(), "released": (verdict.pair, verdict.gate) in outcome.released}
                for verdict in outcome.verdicts
            ],
            "held": list(outcome.held),
            "corrections": OneByOne(lambda: _messages(outcome.corrections)),
            "waiting": OneByOne(lambda: _messages(outcome.waiting, "approval")),
            "rejected": outcome.rejected,
            "left_out": dict(outcome.left_out),
            "counts": dict(outcome.counts),
            "refused": OneByOne(lambda: (row for rows in outcome.refused.pieces() for row in rows.to_pylist())),
            "trouble": list(outcome.trouble),
        }

    def lines(self, verbose: bool = False) -> Iterator[str]:
        """The same for people; all of many corrections are a table a piece."""
        outcome = self.outcome
        number = len(outcome.corrections)
        if number:
            became = "went out" if outcome.applied else "would be sent"
            yield f"{outcome.run_id}: {_count(number, 'correction')} {became}"
            for rows in outcome.corrections.pieces() if verbose else [outcome.corrections.head(_SHOWN)]:
                yield text.table(_rows(rows), list(_COLUMNS))
            if number > _SHOWN and not verbose:
                yield f"… and {number - _SHOWN:,} more (-v shows all)"
        else:
            yield f"{outcome.run_id}: nothing {'was left to send' if outcome.applied else 'to send'}"
        for verdict in outcome.verdicts:
            if not verdict.passed:
                released = (verdict.pair, verdict.gate) in outcome.released
                word = "let go" if released else "HELD"
                bound = verdict.document()["bound"]
                yield f"{word}: {verdict.pair}: {verdict.reason} (gate {verdict.gate}, bound {bound})"
        yield from self._notes()

    def _notes(self) -> Iterator[str]:
        outcome = self.outcome
        if len(outcome.waiting):
            number = _count(len(outcome.waiting), "correction")
            yield f"{number} to be approved first: recon approve {outcome.run_id} --by NAME"
            yield text.table(_rows(outcome.waiting.head(_SHOWN)), [*_COLUMNS, "approval"])
        if outcome.rejected:
            yield f"{_count(outcome.rejected, 'correction')} rejected"
        for why, number_of in outcome.left_out.items():
            yield f"{_count(number_of, 'correction')} left out: {why}"
        if outcome.counts:
            yield counts_text(outcome.counts)
        if len(outcome.refused):
            yield text.table(outcome.refused.head(_SHOWN).to_pylist(), list(_REFUSED))
        for line in outcome.trouble:
            yield f"not reached: {line}; what is left goes out with: recon publish {outcome.run_id} --apply"
        if not outcome.applied and len(outcome.corrections):
            yield f"nothing was sent; to send: recon publish {outcome.run_id} --apply"


_REFUSED = ("pair", "sku", "location", "status", "message")
_COLUMNS = ("pair", "sku", "location", "mode", "change_from", "value", "delta", "reason")


def publish(
    path: Path, run_id: str, apply: bool, by: str | None, progress: Progress, beam_args: tuple[str, ...] = ()
) -> Published:
    """Show what would be sent, or send it."""
    publication = open_publication(load(path), run_id)
    if not apply:
        return Published(publishing.preview(publication))
    return Published(publishing.apply(publication, _somebody(by), progress, beam_args or ()))


def verify(path: Path, run_id: str) -> dict[str, int]:
    """Read back what was sent; how many corrections have come how far."""
    return dict(publishing.verify(open_publication(load(path), run_id)))


def decide(
    path: Path,
    run_id: str,
    decision: Literal["approve", "reject"],
    by: str,
    note: str,
    only: Collection[str],
    release: Collection[str],
) -> dict[str, Any]:
    """Approve or reject corrections, let gates go."""
    publication = open_publication(load(path), run_id)
    done = take(publication, decision, by, note, only, release)
    return {"run_id": publication.run_id, "by": by, **asdict(done)}


def decision_text(done: Mapping[str, Any]) -> str:
    """What was decided, in a line or two."""
    word = "approved" if done["decision"] == "approve" else "rejected"
    lines = [f"{_count(done['corrections'], 'correction')} of {done['run_id']} {word} by {done['by']}"]
    if done["gates"]:
        lines.append(f"let go: {', '.join(done['gates'])}")
    if done["decision"] == "approve":
        lines.append(f"to send: recon publish {done['run_id']} --apply")
    return "\n".join(lines)


def rollback(
    path: Path, run_id: str, apply: bool, by: str | None, progress: Progress, beam_args: tuple[str, ...] = ()
) -> Published:
    """Propose the inverse of what a run published, and send it where asked to."""
    proposed = propose_rollback(open_publication(load(path), run_id), _somebody(by))
    return publish(path, proposed.run_id, apply, by, progress, beam_args)


def audit(path: Path, action: str, head: str | None) -> list[dict[str, Any]] | dict[str, Any]:
    """The records, or what a check of them found."""
    log = AuditLog(Workspace(str(load(path).workspace)).root)
    if action == "verify":
        return asdict(log.verify(head))
    if action != "list" or head is not None:
        raise ConfigError("usage: recon audit [list] | recon audit verify [--head HASH]")
    return OneByOne(log.records)


def audit_text(found: list[dict[str, Any]] | dict[str, Any]) -> str:
    """A line a record, or the verdict."""
    if isinstance(found, dict):
        verdict = [f"{_count(found['records'], 'record')}, nothing changed, removed or inserted"]
        return "\n".join([*(found["problems"] or verdict), f"head: {found['head']}"])
    if not found:
        return "no records yet"
    return text.table(found, ["seq", "at", "actor", "action", "run_id"])


def counts_text(counts: Mapping[str, int]) -> str:
    """How many corrections have come how far, in a line."""
    return (
        ", ".join(f"{number:,} {status.replace('_', ' ').lower()}" for status, number in counts.items())
        or "nothing sent"
    )


def _somebody(by: str | None) -> str:
    """Who acts: as said, as the environment says, or the login name."""
    if by is not None:
        return by
    try:
        return os.environ.get("RECON_USER") or getpass.getuser()
    except (KeyError, OSError) as error:
        raise ConfigError("nobody knows who you are; say so with --by NAME") from error


def _messages(corrections: Rows, *more: str) -> Iterator[dict[str, Any]]:
    """The messages of corrections, with more of their columns."""
    for rows in corrections.pieces():
        for each, row in zip(corrections_of(rows), rows.to_pylist(), strict=True):
            yield {**to_message(each), **{name: row[name] for name in more}}


def _rows(corrections: pa.Table) -> list[dict[str, Any]]:
    return [
        {**row, **{name: decimal_text(row[name]) for name in ("change_from", "value", "delta")}}
        for row in corrections.to_pylist()
    ]


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
