"""What is compared: the raw DuckDB statement, `diff` from snapshots, and the whole job."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import great_expectations as gx
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.generate import AS_OF
from expectations import judge, suites
from expectations.facts import Facts
from pipelines import snapshots
from pipelines.capture import CaptureRequest, capture
from pipelines.connectors import Context
from pipelines.reconcile import PairTask, reconcile_snapshots
from pipelines.tables import SnapshotRows
from pipelines.validate import Measurement, list_failing, measure_rows
from reconcilers import profiles
from reconcilers.database import connect
from reconcilers.mapping import Mapping
from reconcilers.pairs import Pair, Side
from reconcilers.schemas import Kind

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
    """Measure the built-in suites over the newest snapshots, list what fails, and have them judged."""
    shutil.rmtree(output, ignore_errors=True)
    found = snapshots.list_snapshots(str(workspace))
    suites_ = [suites.built_in("stock" if s.manifest.dataset == "stock" else "events") for s in found]
    return _validated(found, suites_, output)


def validate_stock(workspace: Path, output: Path) -> bool:
    """The same for the rows of one stock snapshot: what the pandas engine is compared with."""
    shutil.rmtree(output, ignore_errors=True)
    stock = snapshots.newest(str(workspace), "storefront", "stock")
    if stock is None:
        raise RuntimeError("no snapshots")
    return _validated([stock], [_rows_only()], output)


def validate_with_pandas(workspace: Path) -> bool:
    """Great Expectations' own pandas engine: the same rules of the same rows, from the same files."""
    stock = snapshots.newest(str(workspace), "storefront", "stock")
    if stock is None:
        raise RuntimeError("no snapshots")
    frame = pa.concat_tables(stock.read(["sku", "location", "quantity"])).to_pandas()
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    asset = context.data_sources.add_pandas("pandas").add_dataframe_asset("rows")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
    return bool(batch.validate(_rows_only(), result_format="SUMMARY").success)


def _rows_only() -> gx.ExpectationSuite:
    """The stock suite without what only recon knows: facts of manifests, and other snapshots."""
    suite = suites.built_in("stock")
    core = [each for each in suite.expectations if type(each).__module__.startswith("great_expectations.")]
    return gx.ExpectationSuite("rows", expectations=core)


def _validated(found: list[snapshots.Snapshot], suites_: list[gx.ExpectationSuite], output: Path) -> bool:
    plans = [judge.plan(suite, snapshot.schema) for snapshot, suite in zip(found, suites_, strict=True)]
    asked = [
        Measurement(f"{s.manifest.system}.{s.manifest.dataset}", SnapshotRows(s), p.metrics)
        for s, p in zip(found, plans, strict=True)
    ]
    work = str(output / "work")
    values = measure_rows(asked, work)
    listings = [(a, p.failing(v), str(output / a.name)) for a, p, v in zip(asked, plans, values, strict=True)]
    samples = list_failing(listings, work)
    facts = Facts(age_in_hours=1, rejected_share=0).values()
    return all(p.judge(v, s, facts, {}).success for p, v, s in zip(plans, values, samples, strict=True))


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
