"""The audit log: who did what to which run, when, under which policy, on which evidence.

JSON Lines in the workspace (in a bucket, an object a record), only ever appended to. Each record carries the
hash of the one before and its own, so that a changed, removed or inserted record shows; the head, kept in a
file of its own, shows that the end was cut off. Somebody who may write the workspace can forge all of it: keep
the head's hash elsewhere (`recon audit verify` prints it, `--head` compares it).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipelines import filesystem, lock
from reconcilers.errors import Unreachable

_START = "0" * 64


@dataclass(frozen=True)
class Audited:
    """What a check of the log found: how many records, the hash of the last one, and what is wrong."""

    records: int
    head: str
    problems: tuple[str, ...]


@dataclass(frozen=True)
class AuditLog:
    """The audit log of a workspace."""

    root: str

    def append(self, action: str, actor: str, run_id: str, evidence: Mapping[str, Any]) -> str:
        """Add a record, durably, and return its hash. Raises `Unreachable`; then nothing was added."""
        told = {
            "at": datetime.now(UTC).isoformat(),
            "actor": actor,
            "action": action,
            "run_id": run_id,
            "evidence": dict(evidence),
        }
        with self._exclusive():
            while True:
                seq, previous = self._head()
                record: dict[str, Any] = {"seq": seq + 1, **told, "prev": previous}
                record["hash"] = _hash(record)
                if self._written(record):
                    break
            head = {"seq": record["seq"], "hash": record["hash"]}
            filesystem.write_atomic(self._head_path, json.dumps(head).encode())
        return str(record["hash"])

    def records(self) -> Iterator[dict[str, Any]]:
        """The records, oldest first; lines that are not records are left to `verify`."""
        for line in self._lines():
            record = _parsed(line)
            if record is not None:
                yield record

    def verify(self, head: str | None = None) -> Audited:
        """Check every record against its own hash and the one before, and the end against the head.

        Args:
            head: the hash of the last record as somebody wrote it down; it must be in the log.
        """
        problems: list[str] = []
        # before the log is read: a record that is added meanwhile is no end that is missing
        anchor = self._anchor()
        missing = {hash for hash in (head, anchor and anchor["hash"]) if hash is not None} - {_START}
        seq, previous = 0, _START
        for place, line in enumerate(self._lines(), 1):
            record = _parsed(line)
            if record is None:
                problems.append(f"line {place}: not a record")
                continue
            if record["hash"] != _hash(record):
                problems.append(f"record {record['seq']}: changed; its hash does not fit its text")
            elif record["prev"] != previous:
                problems.append(f"record {record['seq']}: does not follow record {seq}; removed or inserted between")
            seq, previous = record["seq"], record["hash"]
            missing.discard(previous)
        if anchor is None and seq:
            problems.append(f"no {self._head_path}: nothing says where the log ends")
        elif anchor is not None and anchor["hash"] in missing:
            problems.append(f"record {anchor['seq']} is missing, the log ends at {seq}; cut off")
        if head is not None and head in missing:
            problems.append(f"no record has the hash {head[:16]}…")
        return Audited(seq, previous, tuple(problems))

    @property
    def _path(self) -> str:
        return filesystem.join(self.root, "audit", "log.jsonl")

    @property
    def _remote(self) -> bool:
        return filesystem.is_remote(self.root)

    def _object(self, seq: int) -> str:
        """Where a remote log has a record."""
        return filesystem.join(self.root, "audit", "records", f"{seq:012d}.json")

    @property
    def _head_path(self) -> str:
        return filesystem.join(self.root, "audit", "head.json")

    def _lines(self) -> Iterator[str]:
        """The lines, one by one; only a line feed ends one, as a note may have anything else that breaks lines."""
        if self._remote:
            for path in filesystem.list_files(filesystem.join(self.root, "audit", "records")):
                yield _text(path)
        elif filesystem.exists(self._path):
            with filesystem.open_read(self._path) as file:
                for line in file:
                    yield line.decode(errors="replace")

    def _anchor(self) -> dict[str, Any] | None:
        if not filesystem.exists(self._head_path):
            return None
        anchor: dict[str, Any] = json.loads(_text(self._head_path))
        return anchor

    def _head(self) -> tuple[int, str]:
        """The last record; the log itself says, as a crash may have kept the head from being written."""
        anchor = self._anchor()
        seq, previous = 0, _START
        for record in self.records() if anchor is None or not self._remote else self._since(anchor["seq"]):
            seq, previous = record["seq"], record["hash"]
        if anchor is not None and anchor["seq"] > seq:
            raise Unreachable(
                f"{self._path}: ends at record {seq}, but there were {anchor['seq']}; see recon audit verify"
            )
        return seq, previous

    def _since(self, seq: int) -> Iterator[dict[str, Any]]:
        """The records of a remote log from one on: an object each, which nobody wants to read all of."""
        while filesystem.exists(self._object(seq)):
            record = _parsed(_text(self._object(seq)))
            if record is None:
                raise Unreachable(f"{self._object(seq)}: not a record; see recon audit verify")
            yield record
            seq += 1

    def _written(self, record: Mapping[str, Any]) -> bool:
        """Whether it is in the log now; False where another machine was faster."""
        line = (json.dumps(record, ensure_ascii=False, default=str) + "\n").encode()
        if self._remote:
            return lock.exchange(self._object(record["seq"]), None, line)
        try:
            _append(Path(self._path), line)
        except OSError as error:
            raise Unreachable(f"{self._path}: {error.strerror or error}") from error
        return True

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """One writer at a time on this machine; of a remote log, the service makes each object once."""
        if self._remote:
            yield
            return
        guard = Path(f"{self._path}.guard")
        try:
            guard.parent.mkdir(parents=True, exist_ok=True)
            with guard.open("w") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise Unreachable(f"{self._path}: {error.strerror or error}") from error


def _append(path: Path, line: bytes) -> None:
    """Append a whole line or nothing; the half of a line that a crash left behind goes first."""
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        torn = _torn(handle)
        size = os.fstat(handle).st_size - len(torn)
        if _parsed(torn.decode(errors="replace")) is None:
            os.ftruncate(handle, size)
        else:
            size, line = size + len(torn), b"\n" + line
        written = 0
        try:
            written = os.write(handle, line)
        finally:
            if written != len(line):
                os.ftruncate(handle, size)
        if written != len(line):
            raise OSError(28, "no space for a whole record")
        os.fsync(handle)
    finally:
        os.close(handle)


def _torn(handle: int) -> bytes:
    """What comes after the last line end: a line that was not finished, and never acknowledged."""
    size = os.fstat(handle).st_size
    tail = os.pread(handle, min(size, 1 << 20), max(0, size - (1 << 20)))
    return tail[tail.rfind(b"\n") + 1 :]


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and {"seq", "prev", "hash"} <= set(record) else None


def _hash(record: Mapping[str, Any]) -> str:
    told = {name: value for name, value in record.items() if name != "hash"}
    text = json.dumps(told, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _text(path: str) -> str:
    with filesystem.open_read(path) as file:
        return bytes(file.read()).decode()
