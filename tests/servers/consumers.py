"""The example consumer as a process of its own, with the stock that it shows."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from contextlib import closing, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from examples.consumer import connect

ROOT = Path(__file__).parents[2]
SECRET = "a secret of a test only"

#: What a shop sells beside; the consumer itself knows nothing of it.
ORDERS = "create table orders (ref text, kind text, sku text, location text, quantity text, posted_at text)"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@dataclass
class Consumer:
    """Where it listens, and its table."""

    url: str
    database: Path

    def stock(self, numbers) -> None:
        """Make it show these numbers by (sku, location)."""
        with sqlite3.connect(self.database, timeout=30) as connection:
            rows = [(sku, place, str(quantity)) for (sku, place), quantity in numbers.items()]
            connection.executemany("insert or replace into stock values (?, ?, ?)", rows)

    def clear(self) -> None:
        """Forget everything."""
        with sqlite3.connect(self.database, timeout=30) as connection:
            connection.executescript("delete from stock; delete from applied; delete from orders")

    def forget(self) -> None:
        """Forget which keys were applied, which a consumer must not."""
        with sqlite3.connect(self.database, timeout=30) as connection:
            connection.executescript("delete from applied")

    def faults(self, *names: str) -> None:
        """What goes wrong with the next requests, one each; a `faulty_consumer` only."""
        Path(f"{self.database}.faults").write_text(json.dumps(names))

    def shown(self) -> dict[tuple[str, str], Decimal]:
        with sqlite3.connect(self.database, timeout=30) as connection:
            rows = connection.execute("select sku, location, quantity from stock").fetchall()
        return {(sku, place): Decimal(quantity) for sku, place, quantity in rows}

    def applied(self) -> list[tuple[str, str]]:
        """Key and correction of everything that it applied."""
        with sqlite3.connect(self.database, timeout=30) as connection:
            return connection.execute("select idempotency_key, correction_id from applied").fetchall()


@contextmanager
def consumer(directory: Path, module: str = "examples.consumer"):
    """The consumer, listening."""
    database, port = directory / "shop.db", free_port()
    with closing(connect(str(database))) as connection:
        connection.execute(ORDERS)
    environment = {**os.environ, "RECON_SECRET": SECRET, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'servers'}"}
    command = [sys.executable, "-m", module, str(database), "--port", str(port)]
    process = subprocess.Popen(command, env=environment, cwd=directory)
    url = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 20
        while True:
            try:
                urllib.request.urlopen(f"{url}/health", timeout=1).close()
                break
            except OSError:
                assert process.poll() is None, "the consumer ended"
                assert time.monotonic() < until, "the consumer does not answer"
                time.sleep(0.02)
        yield Consumer(f"{url}/corrections", database)
    finally:
        process.terminate()
        process.wait(10)
