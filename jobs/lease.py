"""Leases in the ledger: one process at a time works on a job and on each of its pairs.

A holder renews its lease with a heartbeat. A lease whose heartbeat stopped can be taken over, which
raises its token: a holder that only hung finds another token when it wakes up, and stops before its
next step. A clock that was set does no harm: before a lease is taken from a holder that might live,
its count of beats has to stand still for as long as a beat takes.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from jobs.clock import SYSTEM, Clock
from jobs.ledger import Ledger, leases
from reconcilers.errors import ReconError, Refused

#: After so long without a heartbeat a lease may be taken over.
TTL = timedelta(seconds=30)


@dataclass(frozen=True)
class Holder:
    """A process, told apart from any other one that ever was on any machine, as well as can be."""

    host: str
    namespace: str
    pid: int
    started: str

    @staticmethod
    def me() -> Holder:
        """This process."""
        return Holder(socket.gethostname(), _namespace(), os.getpid(), _started(os.getpid()))

    @staticmethod
    def parse(text: str) -> Holder:
        """What `str` made."""
        host, namespace, pid, started = text.split(" ")
        return Holder(host, namespace, int(pid), started)

    def __str__(self) -> str:
        return f"{self.host} {self.namespace} {self.pid} {self.started}"

    @property
    def shown(self) -> str:
        """For people."""
        return f"process {self.pid} on {self.host}"

    @property
    def surely_dead(self) -> bool:
        """Whether it was a process of this very system and is no more."""
        if not self.started or (self.host, self.namespace) != (socket.gethostname(), _namespace()):
            return False
        return _started(self.pid) != self.started


@dataclass
class Lease:
    """Leases under way on several names: all of them, or none."""

    ledger: Ledger
    tokens: dict[str, int]
    holder: str
    ttl: timedelta = TTL
    clock: Clock = SYSTEM
    _lost: threading.Event = field(default_factory=threading.Event)

    def check(self) -> None:
        """Before anything that another holder must not see: is the lease still ours?

        Raises:
            Refused: another process has taken it over.
            Unreachable: the ledger does not answer.
        """
        if self._lost.is_set() or not self.beat():
            name = next(iter(self.tokens))
            raise Refused(f"{name}: another process has taken over since this one was last heard of; it stops here")

    def beat(self) -> bool:
        """One heartbeat; False where the lease is no longer ours."""
        now = self.clock.now()

        def renew(connection: Connection) -> bool:
            renewed = [
                connection.execute(
                    sa.update(leases)
                    .where(leases.c.name == name, leases.c.token == token, leases.c.holder == self.holder)
                    .values(beats=leases.c.beats + 1, beat_at=now, expires_at=now + self.ttl)
                ).rowcount
                for name, token in self.tokens.items()
            ]
            return all(renewed)

        alive = self.ledger.act(renew)
        if not alive:
            self._lost.set()
        return alive

    def release(self) -> None:
        """Give the names back, those that are still ours."""

        def free(connection: Connection) -> None:
            for name, token in self.tokens.items():
                connection.execute(
                    sa.update(leases).where(leases.c.name == name, leases.c.token == token).values(holder=None)
                )

        self.ledger.act(free)


@contextmanager
def held(ledger: Ledger, names: Iterable[str], clock: Clock = SYSTEM, ttl: timedelta = TTL) -> Iterator[Lease]:
    """Hold the names while the block runs, with a heartbeat from a thread of its own.

    Raises:
        Refused: another process holds one of them.
    """
    lease = acquire(ledger, names, clock, ttl)
    done = threading.Event()

    def beat() -> None:
        while not done.wait(ttl.total_seconds() / 3):
            # A ledger that does not answer is told by the next check.
            with suppress(ReconError):
                if not lease.beat():
                    return

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        done.set()
        thread.join(timeout=1)
        # What was found out while it was held matters more than a lease that then runs out by itself.
        with suppress(ReconError):
            lease.release()


def acquire(ledger: Ledger, names: Iterable[str], clock: Clock = SYSTEM, ttl: timedelta = TTL) -> Lease:
    """Take every name, or none of them. Raises `Refused` where a living process holds one."""
    wanted = sorted(set(names))
    seen = {row["name"]: row for row in ledger.act(lambda connection: _rows(connection, wanted))}
    doubtful = [row for row in seen.values() if _may_live(row, clock, ttl)]
    if doubtful:
        raise Refused(_by_whom(doubtful[0], clock))
    if any(row["holder"] and not Holder.parse(row["holder"]).surely_dead for row in seen.values()):
        # Its time is up by the clock, which may have been set: watch its heart for a while.
        time.sleep(ttl.total_seconds() / 2)
    holder = str(Holder.me())

    def take(connection: Connection) -> dict[str, int]:
        now = clock.now()
        tokens = {}
        there = {row["name"]: row for row in _rows(connection, wanted, lock=True)}
        for name in wanted:
            row = there.get(name)
            if row is not None and row["holder"] and row["beats"] != seen.get(name, {}).get("beats"):
                raise Refused(_by_whom(row, clock))
            tokens[name] = 1 if row is None else row["token"] + 1
            beats = 1 if row is None else row["beats"] + 1
            values = {"holder": holder, "token": tokens[name], "beats": beats, "beat_at": now, "expires_at": now + ttl}
            if row is None:
                _insert(connection, name, values)
            else:
                connection.execute(sa.update(leases).where(leases.c.name == name).values(**values))
        return tokens

    return Lease(ledger, ledger.act(take), holder, ttl, clock)


def living(ledger: Ledger, clock: Clock = SYSTEM, ttl: timedelta = TTL) -> dict[str, str]:
    """The names that are held by a process that may live, and by whom."""
    rows = ledger.act(lambda connection: [dict(row) for row in connection.execute(sa.select(leases)).mappings()])
    return {row["name"]: Holder.parse(row["holder"]).shown for row in rows if _may_live(row, clock, ttl)}


def _rows(connection: Connection, names: list[str], lock: bool = False) -> list[dict[str, Any]]:
    query = sa.select(leases).where(leases.c.name.in_(names)).order_by(leases.c.name)
    found = connection.execute(query.with_for_update() if lock else query).mappings()
    return [dict(row) for row in found]


def _insert(connection: Connection, name: str, values: dict[str, Any]) -> None:
    try:
        with connection.begin_nested():
            connection.execute(sa.insert(leases).values(name=name, **values))
    except IntegrityError:
        raise Refused(f"{name}: another process has just begun; wait for it, or end it") from None


def _may_live(row: dict[str, Any], clock: Clock, ttl: timedelta) -> bool:
    """Whether a heartbeat was seen of late, by a holder that is not known to be dead."""
    if not row["holder"] or Holder.parse(row["holder"]).surely_dead:
        return False
    now = clock.now()
    # A beat from the future is of a clock that was set back since.
    return bool(row["expires_at"] > now and row["beat_at"] <= now + ttl)


def _by_whom(row: dict[str, Any], clock: Clock) -> str:
    ago = max(0, round((clock.now() - row["beat_at"]).total_seconds()))
    return (
        f"{row['name']}: {Holder.parse(row['holder']).shown} is at it, last heard of {ago} s ago; "
        f"wait for it, or end it"
    )


def _namespace() -> str:
    """The boot and the container that a process id belongs to; nothing where the system does not say."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}:{Path('/proc/self/ns/pid').readlink()}"
    return "-"


def _started(pid: int) -> str:
    """When a process began, as the system counts; nothing where there is no such process, or no way to know.

    A process id is used again in time: the beginning tells the old one from the new one.
    """
    with suppress(OSError):
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        fields = stat.rpartition(")")[2].split()
        return "" if fields[0] in "ZX" else fields[19]
    return ""
