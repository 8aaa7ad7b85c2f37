"""What a run does: snapshot, validate, reconcile, report; `jobs.steps` has the order, and what is kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from types import MappingProxyType
from typing import Any, Protocol

import pyarrow as pa

from jobs import plan, records
from jobs.config import Config
from jobs.config_pair import BalancePair
from jobs.published import carry, settle
from jobs.run_state import FAULTS
from jobs.summary import pair_summary, snapshot_summary
from jobs.validate import validate_outputs
from jobs.workspace import Workspace
from pipelines import filesystem
from pipelines.capture import capture
from pipelines.execution import Engine
from pipelines.reconcile import PairTask, add_causes, read_output, read_parts, reconcile_snapshots
from pipelines.snapshots import Snapshot
from reconcilers.across import causes_across
from reconcilers.aliases import Alias, suggest_aliases
from reconcilers.errors import ExpectationsFailed
from reports import html, junit, junit_orders, model

Sources = dict[str, dict[str, Snapshot]]


class Progress(Protocol):
    """Told what is going on, and, where it is known, which share of it is done."""

    def __call__(self, message: str, share: float | None = None) -> None:
        """Say it."""
        ...


def silent(message: str, share: float | None = None) -> None:
    """No progress."""


@dataclass
class Run:
    """A run under way: where it writes, what it is about, and what it has counted so far.

    `capturing` makes the block in which it captures.
    """

    config: Config
    workspace: Workspace
    run_id: str
    now: datetime
    job: str | None = None
    progress: Progress = silent
    engine: Engine = ()
    pairs: tuple[str, ...] = ()
    previous: Mapping[str, str | None] = field(default_factory=dict)
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    capturing: Callable[[], AbstractContextManager[None]] = nullcontext
    timings: dict[str, float] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)

    @property
    def directory(self) -> str:
        """Where the run writes."""
        return self.workspace.run_directory(self.run_id)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time a step and say that it begins."""
        self.progress(f"{name} …")
        began = time.monotonic()
        yield
        self.timings[name] = round(time.monotonic() - began, 3)


def start(config: Config, label: str, progress: Progress = silent, engine: Engine = ()) -> Run:
    """A new run with an id of its own; `now` is the configuration's, else the present."""
    workspace = Workspace(str(config.workspace))
    now = config.now or datetime.now(UTC)
    run_id = workspace.new_run_id(now, label)
    return Run(config, workspace, run_id, now, label, progress, engine)


def snapshot(run: Run, systems: Iterable[str]) -> Sources:
    """Capture the stock and the events of the systems, and return the snapshots taken."""
    with run.step("snapshot"):
        taken = capture(
            plan.captures(run.config, systems),
            run.workspace.root,
            run.now,
            run.engine,
            lambda snapshot: run.progress(f"snapshot {snapshot.manifest.told}"),
            run.counters,
        )
    sources: Sources = {}
    for snapshot in taken:
        sources.setdefault(snapshot.manifest.system, {})[snapshot.manifest.dataset] = snapshot
    return sources


def reconcile(
    run: Run, sources: Sources, taken: Mapping[records.Side, Snapshot], validation: list[dict[str, Any]]
) -> dict[str, Any]:
    """Reconcile the pairs from validated snapshots and write every output; returns the summary.

    `sources` are the snapshots of stock and events, `taken` those of records.

    Raises:
        ExpectationsFailed: a snapshot, or what was concluded, failed a critical expectation. The
            report says so, and nothing may be published from it.
    """
    if any(result["critical"] for result in validation):
        finish(run, {}, sources, validation, [])
    _refuse(run, validation)
    compared = records.compare(run, run.pairs, taken)
    stock = [name for name in run.pairs if name not in compared]
    summaries = _reconciled(run, stock, sources) if stock else {}
    if stock:
        with run.step("validate results"):
            validation = [*validation, *validate_outputs(run, stock)]
    gates = [*_gates(run, summaries), *records.gates(run, compared)]
    summary = finish(run, summaries, sources, validation, gates, compared, taken)
    _refuse(run, validation)
    return summary


def _refuse(run: Run, validation: list[dict[str, Any]]) -> None:
    """Stop where a critical expectation is not met: nothing may be concluded or published."""
    critical = [message for result in validation for message in result["critical"]]
    if critical:
        raise ExpectationsFailed(f"{critical[0]} ({len(critical)} critical; run {run.run_id})")


def _reconciled(run: Run, pairs: list[str], sources: Sources) -> dict[str, dict[str, Any]]:
    """Reconcile pairs of stock; returns the summary of each."""
    tasks = plan.tasks(run.config, run.workspace, pairs, sources, run.now, run.previous)
    with run.step("reconcile"):
        tallies = reconcile_snapshots(
            tasks,
            run.run_id,
            run.directory,
            run.engine,
            lambda done, of: run.progress(f"reconcile: {done} of {of} buckets", done / of),
            run.counters,
        )
    summaries = {task.pair.name: _pair(run, task, tallies) for task in tasks}
    for name in summaries:
        settle(run.workspace, run.run_id, name, run.config.decimals)
    for target in dict.fromkeys(task.pair.a.system for task in tasks):
        carry(run.workspace, target, run.config.decimals, run.now)
    return summaries


def finish(
    run: Run,
    pairs: Mapping[str, Mapping[str, Any]],
    sources: Sources,
    validation: list[dict[str, Any]],
    gates: list[dict[str, Any]],
    compared: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    taken: Mapping[records.Side, Snapshot] = MappingProxyType({}),
) -> dict[str, Any]:
    """Write the report, and last of all the summary, which says that the run is finished."""
    summary: dict[str, Any] = {
        "format": 1,
        "run_id": run.run_id,
        "job": run.job,
        "started_at": run.started_at.isoformat(),
        "finished_at": datetime.now(UTC).isoformat(),
        "now": run.now.isoformat(),
        "tool_version": version("recon-toolkit"),
        "verdict": "",
        "pairs": pairs,
        "records": dict(compared),
        "snapshots": [
            snapshot_summary(s) for s in [*(s for found in sources.values() for s in found.values()), *taken.values()]
        ],
        "validation": validation,
        "gates": gates,
        "timings": run.timings,
        "counters": run.counters,
    }
    with run.step("report"):
        report = report_of(run.workspace, summary)
        summary["verdict"] = report.verdict
        path = filesystem.join(run.directory, "report.html")
        filesystem.write_atomic(path, html.render(report).encode())
        _write_junit(run, report)
    run.workspace.write_json(run.run_id, "summary.json", summary)
    return summary


def _write_junit(run: Run, report: model.Report) -> None:
    """Records and orders for build servers; what a gate allows does not fail there."""
    names = [*(each.name for each in report.comparisons), *(each.name for each in report.orders)]
    within = set(names) - {gate.pair for gate in report.gates if not gate.passed}
    documents = {}
    if report.comparisons:
        found = {each.name: each for each in report.comparisons}
        documents["junit.xml"] = junit.render_comparisons(found, within)
    if report.orders:
        documents["junit-orders.xml"] = junit_orders.render(report.orders, within)
    for name, document in documents.items():
        filesystem.write_atomic(filesystem.join(run.directory, name), document)


def report_of(workspace: Workspace, summary: Mapping[str, Any]) -> model.Report:
    """The report of a run, built from its data sets."""
    directory = workspace.run_directory(summary["run_id"])
    breaks, corrections, in_flight = (read_output(directory, o) for o in ("breaks", "corrections", "in_flight"))
    ordered = [name for name, pair in summary.get("records", {}).items() if pair["kind"] == "orders"]
    differences = {name: pa.concat_tables(read_parts(directory, "differences", name)) for name in ordered}
    return model.build(summary, breaks, corrections, in_flight, summary["validation"], differences)


def within_gates(summary: Mapping[str, Any]) -> bool:
    """Whether no gate tripped."""
    return all(gate["passed"] for gate in summary["gates"])


def _pair(run: Run, task: PairTask, tallies: Any) -> dict[str, Any]:
    name = task.pair.name
    in_flight = read_output(run.directory, "in_flight", name, ["quantity"])
    corrections = read_output(run.directory, "corrections", name, ["sku"]).num_rows
    breaks = read_output(
        run.directory, "breaks", name, ["sku", "location", "class", "quantity_a", "quantity_b", "unexplained"]
    )
    summary = {**pair_summary(task, tallies, in_flight, corrections), **_figure(run.config, name)}
    aliases = suggest_aliases(breaks)
    _tell_across(run, task, breaks, aliases)
    summary["aliases"] = [asdict(alias) for alias in aliases]
    closes = sum(amounts["keys"] for amounts in summary["classes"].values())
    if closes != summary["keys"]:
        raise AssertionError(f"{name}: {summary['keys']} keys but {closes} in classes")
    return summary


def _tell_across(run: Run, task: PairTask, breaks: pa.Table, aliases: list[Alias]) -> None:
    """Add the causes that only the breaks of all buckets show, where there can be any."""
    if task.kits is None and not any(alias.sure for alias in aliases):
        return
    documents = read_output(run.directory, "in_flight", task.pair.name, ["sku", "location", "class", "quantity"])
    add_causes(run.directory, task.pair.name, causes_across(breaks, documents, aliases, task.kits))


def _figure(config: Config, pair: str) -> dict[str, Any]:
    """What a pair is about, where it is no stock: the figure, and what names an account of it."""
    if not isinstance(config.pair(pair), BalancePair):
        return {}
    target = pair.split("~")[0]
    return {"figure": {"name": target.rpartition(".")[2], "key": list(config.balances[target].key)}}


def _gates(run: Run, pairs: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """How many keys may need somebody; without a bound in the job, none."""
    bounds = run.config.job(run.job).gates if run.job in run.config.jobs else {}
    gates = []
    for name, pair in pairs.items():
        faults = [pair["classes"][c] for c in FAULTS if c in pair["classes"]]
        keys = sum(amounts["keys"] for amounts in faults)
        found = {
            "breaks": keys,
            "break_share": keys / pair["keys"] if pair["keys"] else 0,
            "units": sum(amounts["units"] for amounts in faults),
        }
        wanted = bounds or {"breaks": 0}
        gates += [
            {"pair": name, "gate": gate, "value": found[gate], "bound": bound, "passed": found[gate] <= bound}
            for gate, bound in wanted.items()
        ]
    return gates
