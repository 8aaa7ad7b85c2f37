"""Pairs of records and orders in a run: what is captured, how it is compared, what the summary says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from jobs import orders
from jobs.config import Config
from jobs.config_orders import OrderLines, OrdersPair
from jobs.config_records import RecordsPair, split
from pipelines.capture import CaptureRequest, capture
from pipelines.connectors import Context
from pipelines.records import RecordsTask, compare_snapshots
from pipelines.snapshots import Snapshot
from reconcilers.errors import ConfigError
from reconcilers.findings import Findings
from reconcilers.keyed import RecordsMapping
from reconcilers.orders import Orders
from reconcilers.records import Comparison
from reconcilers.schemas import Class

if TYPE_CHECKING:
    from jobs.run import Run

#: A dataset of records or orders: its system, and its name there.
Side = tuple[str, str]


def pairs_of(config: Config, pairs: Iterable[str]) -> dict[str, RecordsPair | OrdersPair]:
    """The pairs of records and orders among these."""
    found = {name: config.pair(name) for name in pairs}
    return {name: pair for name, pair in found.items() if isinstance(pair, RecordsPair | OrdersPair)}


def sides(config: Config, pairs: Iterable[str]) -> list[Side]:
    """The datasets that the pairs of records and orders among these compare, each once."""
    return list(dict.fromkeys(_side(config, side) for pair in pairs_of(config, pairs) for side in pair.split("~")))


def all_of(config: Config, systems: Iterable[str]) -> list[Side]:
    """The datasets of records and orders that the systems have."""
    return [(system, dataset) for system in systems for dataset in config.system(system).keyed]


def take(run: Run, wanted: Iterable[Side]) -> dict[Side, Snapshot]:
    """Capture datasets of records."""
    requests = [request(run.config, side) for side in wanted]
    if not requests:
        return {}
    with run.step("snapshot records"):
        taken = capture(
            requests,
            run.workspace.root,
            run.now,
            run.engine,
            lambda snapshot: run.progress(f"snapshot {snapshot.manifest.told}"),
        )
    return {(each.manifest.system, each.manifest.dataset): each for each in taken}


def compare(run: Run, pairs: Iterable[str], taken: Mapping[Side, Snapshot]) -> dict[str, Any]:
    """Compare the pairs of records among these, write their differences, and sum up each for the summary."""
    tasks = [_task(run, name, pair, taken) for name, pair in pairs_of(run.config, pairs).items()]
    if not tasks:
        return {}
    with run.step("compare"):
        found = compare_snapshots(
            tasks,
            run.run_id,
            run.directory,
            run.engine,
            lambda done, of: run.progress(f"compare: {done} of {of} buckets", done / of),
        )
    return {task.comparison.name: summary(task, found[task.comparison.name]) for task in tasks}


def summary(task: RecordsTask, found: Findings) -> dict[str, Any]:
    """What `summary.json` says of a pair of records; `records` = Σ over classes."""
    classes: dict[str, int] = {}
    reasons: dict[str, dict[str, int]] = {}
    for (name, reason), records in sorted(found.tally.items()):
        classes[name] = classes.get(name, 0) + records
        if reason:
            reasons.setdefault(name, {})[reason] = records
    target, authority = task.comparison.name.split("~")
    own = orders.summary(found) if isinstance(task.comparison, Orders) else {"kind": "records"}
    frequent = sorted(found.frequent.items(), key=lambda item: (-item[1][0], *map(str, item[0])))[:10]
    return {
        **own,
        "target": target,
        "authority": authority,
        "key": list(task.comparison.key),
        "records": sum(classes.values()),
        "classes": classes,
        "reasons": reasons,
        "a": {**asdict(found.a), "rejected": task.a.manifest.rejected},
        "b": {**asdict(found.b), "rejected": task.b.manifest.rejected},
        "columns": [{"column": name, **counts} for name, counts in found.columns.items()],
        "schema": [asdict(each) for each in found.schema],
        "frequent": [
            {"column": column, "value_a": a, "value_b": b, "records": records, "example": example}
            for (column, a, b), (records, example) in frequent
        ],
        "samples": [dict(sample) for sample in found.samples],
    }


def request(config: Config, side: Side) -> CaptureRequest:
    """What to capture for a dataset of records."""
    system, dataset = side
    definition = config.system(system).keyed[dataset]
    timezone = definition.timezone or config.system(system).timezone
    if isinstance(definition, OrderLines):
        mapping: RecordsMapping = orders.mapping(config, system, definition)
    else:
        mapping = definition.mapping(timezone)
    return CaptureRequest(
        system=system,
        dataset=dataset,
        connector=definition.connector,
        options=dict(definition.options),
        context=Context(base=str(config.base), timezone=timezone, dataset=dataset),
        mapping=mapping,
        config_hash=config.config_hash,
        buckets=config.buckets,
    )


def gates(run: Run, pairs: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """How many records may be unlike; without a bound in the job, none. A column may never be missing."""
    bounds = run.config.job(run.job).gates if run.job in run.config.jobs else {}
    found = []
    for name, pair in pairs.items():
        unlike = sum(
            records for each, records in pair["classes"].items() if each not in (Class.MATCHED, Class.IN_FLIGHT)
        )
        share = unlike / pair["records"] if pair["records"] else 0
        missing = sum(each["kind"].startswith("missing") for each in pair["schema"])
        values = {"breaks": unlike, "break_share": share}
        wanted = {gate: bound for gate, bound in bounds.items() if gate in values} or {"breaks": 0}
        found += [
            {"pair": name, "gate": gate, "value": value, "bound": bound, "passed": value <= bound}
            for gate, value, bound in [
                *((gate, values[gate], bound) for gate, bound in wanted.items()),
                ("columns_missing", missing, 0),
            ]
        ]
    return found


def _task(run: Run, name: str, pair: RecordsPair | OrdersPair, taken: Mapping[Side, Snapshot]) -> RecordsTask:
    a, b = (_side(run.config, side) for side in name.split("~"))
    previous = run.previous.get(name)
    return RecordsTask(
        comparison=(
            orders.comparison(run.config, name, pair, (a, b), (taken[a], taken[b]), run.now)
            if isinstance(pair, OrdersPair)
            else _comparison(run, name, pair, a, b)
        ),
        a=taken[a],
        b=taken[b],
        previous=previous and run.workspace.run_directory(previous),
    )


def _comparison(run: Run, name: str, pair: RecordsPair, a: Side, b: Side) -> Comparison:
    key_a, key_b = (run.config.system(system).records[dataset].key for system, dataset in (a, b))
    if len(key_a) != len(key_b):
        raise ConfigError(f"{name}: a key of {len(key_a)} columns against one of {len(key_b)}")
    return Comparison(
        key=key_a,
        name=name,
        rules={column: rule.rule() for column, rule in pair.rules.items()},
        ignore=tuple(pair.ignore),
        renamed={**pair.renamed, **{x: y for x, y in zip(key_a, key_b, strict=True) if x != y}},
        where_a=pair.where.a,
        where_b=pair.where.b,
        duplicates=pair.duplicates,
        changed_at=pair.changed_at,
        settle=pair.settle,
        now=run.now,
    )


def _side(config: Config, side: str) -> Side:
    system, dataset = split(side, config.systems)
    if dataset is None:
        raise ConfigError(f"{side!r} is not <system>.<records>")
    return system, dataset
