"""Validate snapshots and results: measured on Beam, decided by Great Expectations, reported."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from jobs import plan, records
from jobs.config import Config
from jobs.config_expectations import Expectations
from jobs.config_records import Records
from jobs.config_system import Dataset
from jobs.quality import Judged, Occasion, write_reports
from pipelines import connectors, filesystem, snapshots
from pipelines.reconcile import part_paths
from pipelines.snapshots import SKU, Snapshot, dataset_schema
from pipelines.tables import PartRows, Rows, SnapshotRows
from pipelines.validate import Measurement, list_failing, measure_rows, near
from reconcilers.errors import ConfigError
from reconcilers.schemas import Kind, breaks_schema, corrections_schema, levels_schema

if TYPE_CHECKING:
    import great_expectations as gx

    from expectations import judge
    from jobs.run import Run

# Great Expectations takes seconds to import: `expectations.judge` and the suites are imported only
# where something is judged.

#: A trend needs so many earlier snapshots, and looks no further back than that.
TREND = (3, 8)

#: What a run wrote that is judged, before anything is published from it.
OUTPUTS: dict[Literal["levels", "breaks", "corrections"], Callable[[int], pa.Schema]] = {
    "levels": levels_schema,
    "breaks": breaks_schema,
    "corrections": corrections_schema,
}


@dataclass(frozen=True)
class Subject:
    """Rows that are judged by a suite, what is known about them, and what they are compared with.

    `keyed_by` are the columns that say which bucket a row is in.
    """

    system: str
    dataset: str
    rows: Rows
    suite: gx.ExpectationSuite
    identifiers: Mapping[str, Any]
    facts: Mapping[str, Any] = field(default_factory=dict)
    others: Mapping[str, Snapshot] = field(default_factory=dict)
    keyed_by: tuple[str, ...] = (SKU,)

    @property
    def name(self) -> str:
        """Of its files."""
        return f"{self.system}.{self.dataset}"


def check_suites(config: Config, systems: Iterable[str], sides: Iterable[records.Side] = ()) -> None:
    """Whether every suite can be judged of its dataset, before anything is captured.

    Which types the columns of records have, `sides`, is known only then: their suites are read.

    Raises:
        ConfigError: everything that is wrong with the suites, a line each.
    """
    from expectations import judge

    problems = []
    for system in systems:
        for dataset, definition in plan.dataset_names(config.system(system)).items():
            try:
                judge.plan(suite_of(definition, dataset), dataset_schema(dataset, config.decimals))
            except ConfigError as error:
                problems += [f"systems.{system}.{dataset}: {each}" for each in error.problems]
    for system, dataset in sides:
        try:
            suite_of(config.system(system).keyed[dataset], dataset)
        except ConfigError as error:
            section = "orders" if dataset in config.system(system).orders else "records"
            problems += [f"systems.{system}.{section}.{dataset}: {each}" for each in error.problems]
    if problems:
        raise ConfigError(problems)


def validate_snapshots(
    run: Run, sources: Mapping[str, Mapping[str, Snapshot]], taken: Mapping[records.Side, Snapshot]
) -> list[dict[str, Any]]:
    """Judge every snapshot and write results, failing rows and reports below `validation/`.

    `sources` are the snapshots of stock and events, `taken` those of records.

    Returns:
        A row a snapshot: `system, dataset, success, evaluated, failed, critical, messages`, where
        `critical` are the messages of failed critical expectations, and `messages` all of them.
    """
    subjects = [
        _snapshot(run, sources, snapshot, definition)
        for system, datasets in sources.items()
        for dataset, definition in plan.dataset_names(run.config.system(system)).items()
        if (snapshot := datasets.get(dataset)) is not None
    ]
    subjects += [
        _snapshot(run, sources, snapshot, run.config.system(system).keyed[dataset])
        for (system, dataset), snapshot in taken.items()
    ]
    return validate(_occasion(run), subjects)


def validate_outputs(run: Run, pairs: Iterable[str]) -> list[dict[str, Any]]:
    """Judge what a run concluded, as `validate_snapshots` judges what it started from."""
    subjects = []
    for pair in pairs:
        for output, schema in OUTPUTS.items():
            own = run.config.stock_pair(pair).expectations.get(output, Expectations())
            paths = part_paths(run.directory, output, pair)
            rows = PartRows(tuple(paths), schema(run.config.decimals), "sku")
            subjects.append(Subject(pair, output, rows, _suite(own, output), {"run_id": run.run_id}))
    engine = near(sum(subject.rows.buckets for subject in subjects), run.engine)
    return validate(replace(_occasion(run), engine=engine), subjects)


def validate(occasion: Occasion, subjects: list[Subject]) -> list[dict[str, Any]]:
    """Measure, list what fails, judge and report; a row a subject."""
    plans = [_planned(subject) for subject in subjects]
    directory, engine = occasion.directory, occasion.engine
    work = filesystem.join(directory, "work")
    measurements = [Measurement(s.name, s.rows, p.metrics, s.others) for s, p in zip(subjects, plans, strict=True)]
    values = measure_rows(measurements, work, engine, occasion.counters)
    listings = [
        (m, p.failing(v), filesystem.join(directory, m.name, "unexpected.parquet"))
        for m, p, v in zip(measurements, plans, values, strict=True)
    ]
    samples = list_failing(listings, work, engine)
    filesystem.delete(work)
    judged = [
        Judged(s.system, s.dataset, s.identifiers, p.judge(v, shown, s.facts, _about(occasion, s)))
        for s, p, v, shown in zip(subjects, plans, values, samples, strict=True)
    ]
    write_reports(occasion, judged)
    return [each.summary() for each in judged]


def _planned(subject: Subject) -> judge.Plan:
    """What has to be measured. Raises `ConfigError` where the suite does not fit the columns."""
    from expectations import judge

    try:
        return judge.plan(subject.suite, subject.rows.schema, subject.keyed_by)
    except ConfigError as error:
        raise ConfigError([f"{subject.system}/{subject.dataset}: {each}" for each in error.problems]) from error


def suite_of(definition: Dataset | Records, dataset: str) -> gx.ExpectationSuite:
    """The suite of a dataset: ours, extended, changed or replaced as the configuration says."""
    if isinstance(definition, Records):
        return _suite(definition.expectations, "records")
    if dataset == "stock":
        return _suite(definition.expectations, definition.suite)
    if definition.suite == "events" and connectors.gives_once(definition.connector):
        return _suite(definition.expectations, "tap")
    ordered = definition.lines is not None and Kind.PLACE in definition.lines.steps
    return _suite(definition.expectations, "order_lines" if ordered else definition.suite)


def _suite(own: Expectations, built_in: str) -> gx.ExpectationSuite:
    from expectations import suites

    parts = [suites.built_in(built_in)] if own.extend else []
    if own.suite is not None:
        parts.append(suites.load(own.suite, own.parameters))
    changes = [suites.Change(each.expectation, each.where, each.set, each.drop) for each in own.change]
    return suites.changed(suites.joined(parts[-1].name, parts), changes)


def _snapshot(
    run: Run, sources: Mapping[str, Mapping[str, Snapshot]], snapshot: Snapshot, definition: Dataset | Records
) -> Subject:
    manifest = snapshot.manifest
    earlier = [
        other
        for other in snapshots.list_snapshots(run.workspace.root, manifest.system, manifest.dataset)
        if other.manifest.finished_at < manifest.finished_at
    ]
    others = {f"{system}/{dataset}": other for system, found in sources.items() for dataset, other in found.items()}
    if earlier:
        others["previous"] = earlier[-1]
    return Subject(
        manifest.system,
        manifest.dataset,
        SnapshotRows(snapshot),
        suite_of(definition, manifest.dataset),
        {"snapshot_id": manifest.snapshot_id, "rows": manifest.rows, "as_of": manifest.as_of.isoformat()},
        _facts(run, sources, snapshot, earlier),
        others,
        definition.key if isinstance(definition, Records) else (SKU,),
    )


def _facts(
    run: Run, sources: Mapping[str, Mapping[str, Snapshot]], snapshot: Snapshot, earlier: list[Snapshot]
) -> Mapping[str, Any]:
    """What the manifests say about a snapshot."""
    from expectations.facts import Facts

    manifest = snapshot.manifest
    rows = [other.manifest.rows for other in earlier][-TREND[1] :]
    stocks = [found["stock"].manifest.as_of for found in sources.values() if "stock" in found]
    lag = None
    if manifest.dataset != "stock" and manifest.watermark is not None and stocks:
        lag = (max(stocks) - manifest.watermark).total_seconds() / 3600
    return Facts(
        age_in_hours=(run.now - manifest.as_of).total_seconds() / 3600,
        rejected_share=manifest.rejected / manifest.rows_read if manifest.rows_read else 0.0,
        rows_to_last_time=manifest.rows / rows[-1] if rows and rows[-1] else None,
        rows_to_trailing_median=manifest.rows / median(rows) if len(rows) >= TREND[0] and median(rows) else None,
        watermark_lag_in_hours=lag,
        fingerprint_changed=(
            int(earlier[-1].manifest.schema_fingerprint != manifest.schema_fingerprint) if earlier else None
        ),
    ).values()


def _occasion(run: Run) -> Occasion:
    results = filesystem.join(run.workspace.root, "dq_results")
    directory = filesystem.join(run.directory, "validation")
    return Occasion(run.run_id, run.job, run.now, directory, results, run.engine, run.counters)


def _about(occasion: Occasion, subject: Subject) -> Mapping[str, Any]:
    return {
        "run_id": {"run_name": occasion.run_id, "run_time": occasion.now.isoformat()},
        "active_batch_definition": {
            "datasource_name": subject.system,
            "data_asset_name": subject.dataset,
            "data_connector_name": "recon",
            "batch_identifiers": dict(subject.identifiers),
        },
    }
