"""`python -m benchmarks.http`: pages and exports of the connectors http and shopify beside a plain loop, as ratios.

The server is a process of its own on this machine; a delay before each answer stands for the network.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pyarrow as pa

from benchmarks.measure import Measured, measured
from pipelines.connectors import Context, json_parents
from pipelines.connectors.http import Options, Source
from pipelines.connectors.shopify import STOCK

SIZE = 250


def main() -> None:
    """Serve, let each contender read all of it in a process of its own, and print ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--delay", type=float, default=0.02, help="seconds before each answer")
    parser.add_argument("--repeat", type=int, default=2, help="the best of so many runs counts")
    arguments = parser.parse_args()
    rows, repeat = arguments.rows, arguments.repeat
    for delay in (0.0, arguments.delay):
        with serving(rows, delay) as url:
            print(f"{rows:,} rows in pages of {SIZE}, {delay * 1000:.0f} ms before each answer")
            loop = measured(plain_loop, url, repeat=repeat)
            show("a loop with httpx", loop, loop)
            for concurrency in (1, 4, 8):
                mine = measured(partial(connector, concurrency=concurrency), url, repeat=repeat)
                show(f"http, {concurrency} at a time", mine, loop)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "export.jsonl"
        write_export(path, rows)
        print(f"{rows:,} levels of a bulk export, with their items")
        loop = measured(plain_export, path, repeat=repeat)
        show("a loop with json", loop, loop)
        show("joined by DuckDB", measured(joined_export, path, repeat=repeat), loop)


def show(name: str, found: Measured, loop: Measured) -> None:
    """One line: seconds, rows a second, memory, and how many times as fast as the loop."""
    if found.result != loop.result:
        raise SystemExit(f"{name} read {found.result:,} rows, the loop {loop.result:,}")
    rate, ratio = found.result / found.seconds, loop.seconds / found.seconds
    print(f"  {name:22} {found.seconds:7.2f} s {rate:10,.0f} rows/s {found.peak_mib:6.0f} MiB {ratio:6.2f} x")


def plain_loop(url: str) -> int:
    """What one would write: page after page, into a table of the same columns."""
    tables, page = [], 1
    with httpx.Client() as client:
        while True:
            items = client.get(url, params={"page": page}).raise_for_status().json()["items"]
            if not items:
                break
            columns = {"sku": [], "location": [], "quantity": []}  # type: dict[str, list[str]]
            for item in items:
                columns["sku"].append(item["sku"])
                columns["location"].append(item["warehouse"]["code"])
                columns["quantity"].append(str(item["quantity"]))
            tables.append(pa.table(columns))
            page += 1
    return len(pa.concat_tables(tables))


def connector(url: str, concurrency: int) -> int:
    """The same by the connector."""
    by = {"by": "page", "parameter": "page", "total": "total", "concurrency": concurrency}
    fields = {"sku": "sku", "location": "warehouse.code", "quantity": "quantity"}
    options = Options(url=url, paginate=by, records="items", fields=fields)
    source = Source(options, Context(".", "UTC", "stock"))
    plan = source.plan(datetime.now(UTC))
    return sum(len(batch.rows) for batch in source.read(plan.splits[0]))


def plain_export(path: Path) -> int:
    """Children after their parents, line by line."""
    items: dict[str, str] = {}
    columns: dict[str, list[str]] = {"sku": [], "location": [], "available": []}
    with path.open("rb") as file:
        for line in file:
            found = json.loads(line)
            if "__parentId" not in found:
                items[found["id"]] = found["sku"]
                continue
            columns["sku"].append(items[found["__parentId"]])
            columns["location"].append(found["location"]["name"])
            columns["available"].append(str(found["available"][0]["quantity"]))
    return len(pa.table(columns))


def joined_export(path: Path) -> int:
    """The same as the connector shopify does it."""
    with tempfile.TemporaryDirectory() as scratch, json_parents.opened(Path(scratch)) as connection:
        json_parents.load(connection, [path], "__parentId", "export")
        return sum(len(batch) for batch in connection.sql(STOCK).to_arrow_reader(65_536))


def write_export(path: Path, levels: int) -> None:
    """Items with four levels each, as a bulk operation groups them."""
    with path.open("w", encoding="utf-8") as file:
        for number in range(levels // 4):
            item = f"gid://shopify/InventoryItem/{number}"
            file.write(json.dumps({"id": item, "sku": f"SKU-{number:07}", "tracked": True}) + "\n")
            for place in range(4):
                numbers = {
                    name: [{"quantity": number % 90}] for name in ("available", "on_hand", "committed", "incoming")
                }
                location = {"id": f"gid://shopify/Location/{place}", "name": f"Store {place}"}
                level = {"id": f"gid://shopify/InventoryLevel/{number}-{place}", "updatedAt": "2026-11-24T02:00:00Z"}
                file.write(json.dumps({**level, "location": location, **numbers, "__parentId": item}) + "\n")


@contextmanager
def serving(rows: int, delay: float) -> Iterator[str]:
    """A server of pages in a process of its own."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, rows, delay), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}/stock"
    finally:
        process.terminate()
        process.join()


def _serve(pipe: Any, rows: int, delay: float) -> None:
    pages = [_page(rows, begin) for begin in range(0, rows, SIZE)]
    empty = json.dumps({"items": [], "total": rows}).encode()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            page = int(dict(parse_qsl(urlsplit(self.path).query))["page"])
            body = pages[page - 1] if page <= len(pages) else empty
            time.sleep(delay)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    pipe.send(server.server_address[1])
    server.serve_forever()


def _page(rows: int, begin: int) -> bytes:
    numbers = range(begin, min(begin + SIZE, rows))
    items = [
        {
            "id": number,
            "sku": f"SKU-{number:07}",
            "warehouse": {"code": f"WH{number % 4}", "name": "Somewhere"},
            "quantity": number % 90,
            "updated_at": "2026-11-24T02:00:00Z",
        }
        for number in numbers
    ]
    return json.dumps({"items": items, "total": rows}).encode()


if __name__ == "__main__":
    main()
