"""What is compared: the raw DuckDB statement, `diff` from snapshots, and the whole job."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.generate import AS_OF
from expectations import judge
from pipelines import snapshots
from pipelines.capture import CaptureRequest, capture
from pipelines.connectors import Context
from pipelines.reconcile import PairTask, reconcile_snapshots
from pipelines.validate import Measurement, measure_snapshots
from reconcilers import profiles
from reconcilers.canonical import Mapping
from reconcilers.pairs import Pair, Side
from reconcilers.schemas import Kind
from reconcilers.stock import connect

NOW = datetime(2026, 11, 23, 3, tzinfo=UTC)
RAW = (Path(__file__).parent / "raw.sql").read_text(encoding="utf-8")


def raw(paths: dict[str, Path], output: Path) -> int:
    """The raw statement over the source files; returns the number of keys."""
    with connect() as con:
        con.execute("set threads = 2")
        con.execute(RAW.format(**paths, output=output))
    return int(pq.read_metadata(output).num_rows)


def take_snapshots(paths: dict[str, Path], workspace: Path) -> int:
    """Capture the four exports; returns the rows."""
    shutil.rmtree(workspace, ignore_errors=True)
    requests = [
        CaptureRequest(
            system=system,
            dataset=dataset,
            connector="files",
            options={"path": str(paths[f"{dataset}_{side}"]), "as_of": {"from": "value", "value": AS_OF}},
            context=Context(str(workspace), "UTC", dataset),
            mapping=Mapping(dataset, columns={"price": "price"} if dataset == "stock" else {}),
        )
        for side, system in (("a", "storefront"), ("b", "erp"))
        for dataset in ("stock", "events")
    ]
    return sum(snapshot.manifest.rows for snapshot in capture(requests, str(workspace), NOW))


def validate(workspace: Path, output: Path) -> bool:
    """Measure the built-in suites over the newest snapshots, and have them judged."""
    found = snapshots.list_snapshots(str(workspace))
    suites = [judge.suite_for(snapshot.manifest.dataset) for snapshot in found]
    asked = [Measurement(s, judge.metrics_of(suite)) for s, suite in zip(found, suites, strict=True)]
    facts = {"snapshot.age_in_hours": 1, "snapshot.rejected_share": 0, "snapshot.rows_to_last_time": 1}
    values = measure_snapshots(asked, str(output / "validation"))
    return all(judge.judge(suite, v, facts, {}).success for suite, v in zip(suites, values, strict=True))


def diff(workspace: Path, output: Path) -> int:
    """Reconcile the newest snapshots and write every output; returns the number of keys."""
    shutil.rmtree(output, ignore_errors=True)
    found = {
        (system, dataset): snapshots.newest(str(workspace), system, dataset)
        for system in ("storefront", "erp")
        for dataset in ("stock", "events")
    }
    as_of = datetime.fromisoformat(AS_OF)
    pair = Pair(
        name="storefront~erp",
        a=Side("storefront", profiles.load("storefront.available"), as_of, watermark=as_of),
        b=Side("erp", profiles.load("erp.on_hand"), as_of, watermark=as_of),
        now=NOW,
        sla={Kind.PLACE: timedelta(days=1)},
        safety_stock=Decimal(0),
    )
    stock_a, stock_b = found["storefront", "stock"], found["erp", "stock"]
    events_a, events_b = found["storefront", "events"], found["erp", "events"]
    if stock_a is None or stock_b is None or events_a is None or events_b is None:
        raise RuntimeError("no snapshots")
    tallies = reconcile_snapshots([PairTask(pair, stock_a, stock_b, (events_a,), (events_b,))], "bench", str(output))
    return int(sum(tallies["keys"].to_pylist()))


def whole_job(paths: dict[str, Path], workspace: Path, output: Path) -> int:
    """Capture, validate and diff, as `recon run` does them."""
    take_snapshots(paths, workspace)
    validate(workspace, output.with_name("validated"))
    return diff(workspace, output)
