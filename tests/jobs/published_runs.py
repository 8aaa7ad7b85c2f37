"""Finished runs with corrections, made by hand: what publishing needs of a run, and nothing else."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from jobs.config import load
from jobs.publication import open_publication
from reconcilers.corrections import key_of
from reconcilers.schemas import corrections_schema

PAIR = "shop~erp"

#: Gates that a handmade run of a few keys passes.
OPEN = {"to_zero": 1, "unmapped": 1}


def configuration(root: Path, sink: dict, publish: dict | None = None, **more) -> Path:
    """A `recon.yaml` with a shop that takes corrections, and an ERP."""
    for name in ("shop", "erp"):
        stock = root / f"{name}.csv"
        if not stock.exists():
            stock.write_text("sku,location,quantity\n")
    datasets = {
        name: {"connector": "files", "path": f"{name}.csv", "as_of": {"from": "mtime"}, "profile": profile}
        for name, profile in (("shop", "storefront.available"), ("erp", "erp.on_hand"))
    }
    shop = {"stock": datasets["shop"], "sink": sink, **more.pop("owner", {})}
    text = {
        "systems": {"shop": shop, "erp": {"stock": datasets["erp"]}},
        "pairs": {PAIR: {}},
        "jobs": {"nightly": {"pairs": [PAIR], "publish": {"gates": OPEN} if publish is None else publish}},
        **more,
    }
    path = root / "recon.yaml"
    path.write_text(yaml.safe_dump(text))
    return path


def correction(run_id: str, number: int, was, value, **fields) -> dict:
    """One row of `corrections_schema`."""
    identity = f"{run_id}-{number}"
    was, value = Decimal(was), Decimal(value)
    return {
        "correction_id": identity, "pair": PAIR, "target": "shop", "sku": f"S{number}", "location": "web",
        "basis": "available", "mode": "set", "value": value, "change_from": was, "delta": value - was,
        "reason": "UNEXPLAINED", "idempotency_key": key_of(identity, "shop", 1), "status": "PROPOSED",
        "class": "BREAK", "severity": "high", "unexplained": was - value, "seen": was,
        "as_of": datetime.now(UTC) - timedelta(hours=1), "price": Decimal(2), "undoes": None, **fields,
    }  # fmt: skip


def finished(config: Path, rows: list[dict], run_id: str = "run-1", keys: int = 100, **more) -> str:
    """Write a finished run with these corrections; returns its id."""
    directory = Path(load(config).workspace) / "runs" / run_id
    (directory / "corrections").mkdir(parents=True)
    table = pa.Table.from_pylist(rows, schema=corrections_schema())
    pq.write_table(table, directory / "corrections" / f"{PAIR}.part-00000-of-00001.parquet")
    now = datetime.now(UTC)
    summary = {
        "run_id": run_id, "job": "nightly", "started_at": now.isoformat(), "finished_at": now.isoformat(),
        "pairs": {PAIR: {"target": "shop", "keys": keys, "classes": {}, "corrections": len(rows)}},
        "snapshots": [snapshot("shop", now), snapshot("erp", now)], "validation": [], "verdict": "", **more,
    }  # fmt: skip
    (directory / "summary.json").write_text(json.dumps(summary, default=str))
    return run_id


def snapshot(system: str, as_of: datetime, rows: int = 100, dataset: str = "stock", snapshot_id: str = "s") -> dict:
    return {
        "system": system, "dataset": dataset, "snapshot_id": snapshot_id, "as_of": as_of.isoformat(),
        "watermark": None, "rows": rows,
    }  # fmt: skip


def publication(config: Path, run_id: str = "run-1"):
    return open_publication(load(config), run_id)


def fates(publication) -> pa.Table:
    """What has become of every correction that was ever on its way out, as one table."""
    with publication.fates() as ask:
        return ask.con.sql("from fate").to_arrow_table()


def silent(*_) -> None:
    """No progress."""
