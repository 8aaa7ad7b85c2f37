"""The example consumer with faults, one a request, as listed in `<database>.faults` (a JSON list).

`silent`: applies, and hangs up. `hang`: applies, and never answers. `partial`: applies, and answers half of the
lines. `down`: closes the connection at once. `busy`: turns it away (429). `sell:SKU`: sells one unit of a SKU
before it looks, and notes the order (table `orders`). `steal:SKU`: the same without an order.
"""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from examples import consumer


class Faulty(consumer.Handler):
    fault = ""

    def do_POST(self):
        self.fault = self.next_fault()
        name, _, sku = self.fault.partition(":")
        if name == "down":
            self.connection.close()
            return
        if name == "busy":
            self.answer(429, {"error": "busy"})
            return
        if name in ("sell", "steal"):
            self.sell(sku, posted=name == "sell")
        super().do_POST()

    def next_fault(self) -> str:
        path = Path(f"{self.database}.faults")
        faults = json.loads(path.read_text()) if path.exists() else []
        if faults:
            path.write_text(json.dumps(faults[1:]))
        return faults[0] if faults else ""

    def sell(self, sku: str, *, posted: bool) -> None:
        with sqlite3.connect(self.database, timeout=30) as connection:
            query = "select quantity, location from stock where sku = ?"
            shown, place = connection.execute(query, (sku,)).fetchone()
            connection.execute("update stock set quantity = ? where sku = ?", (str(Decimal(shown) - 1), sku))
            if posted:
                row = (f"late-{sku}", sku, place, datetime.now(UTC).isoformat())
                connection.execute("insert into orders values (?, 'PLACE', ?, ?, '1', ?)", row)

    def answer(self, status, document):
        if self.fault == "silent":
            self.connection.close()
            return
        if self.fault == "hang":
            self.connection.recv(1)
            return
        if self.fault == "partial" and "results" in document:
            document = {"results": document["results"][::2]}
        super().answer(status, document)

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except OSError:
            self.close_connection = True
        except ValueError:
            self.close_connection = True


consumer.Handler = Faulty

if __name__ == "__main__":
    consumer.main()
