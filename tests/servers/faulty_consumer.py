"""The example consumer with faults, one a request, as listed in `<database>.faults` (a JSON list).

`silent`: applies, and never answers. `partial`: applies, and answers half of the lines. `down`: closes the
connection at once. `sell:SKU`: sells one unit of a SKU before it looks, and posts the order to `orders.csv`.
`steal:SKU`: the same without an order.
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
            (shown,) = connection.execute("select quantity from stock where sku = ?", (sku,)).fetchone()
            connection.execute("update stock set quantity = ? where sku = ?", (str(Decimal(shown) - 1), sku))
        if posted:
            with Path(self.database).with_name("orders.csv").open("a") as file:
                file.write(f"late-{sku},PLACE,{sku},web,1,{datetime.now(UTC).isoformat()}\n")

    def answer(self, status, document):
        if self.fault == "silent":
            self.connection.close()
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
