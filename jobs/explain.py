"""`recon explain`: the sums of a SKU, or the story of an order, and how each leads to the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from jobs import orders
from jobs.config import Config, load
from jobs.config_records import split
from jobs.workspace import Workspace
from pipelines import snapshots
from pipelines.reconcile import read_output, read_parts
from pipelines.records import DIFFERENCES, rows_of
from reconcilers.errors import ConfigError
from reports import explain as explaining
from reports import order_story
from reports.explain import Explanation
from reports.order_story import OrderStory
from reports.orders import Finding, finding, linked

Summary = Mapping[str, Any]


@dataclass(frozen=True)
class Explained:
    """The sums of one SKU in every pair and location that has it, and the orders that are called so."""

    explanations: list[Explanation]
    stories: list[OrderStory]

    def document(self) -> list[dict[str, Any]]:
        """The explanations as data."""
        return [*map(asdict, self.explanations), *(story.document() for story in self.stories)]

    def text(self) -> str:
        """The explanations as stories with numbers."""
        return "\n\n".join([*map(explaining.text, self.explanations), *map(order_story.text, self.stories)])


def explain(path: Path, name: str, location: str | None, run_id: str | None) -> Explained:
    """The sum of a SKU line by line, or an order as both systems have it, from the data sets of a run.

    Raises:
        ConfigError: the run has no such key, and no such order.
    """
    config = load(path)
    workspace = Workspace(str(config.workspace))
    summary = workspace.resolve(run_id)
    explanations = _of_stock(workspace, summary, name, location)
    stories = [] if location else list(_of_orders(config, workspace, summary, name))
    if not explanations and not stories:
        place = f" at {location}" if location else ""
        what = "SKU or order" if _order_pairs(summary) and not location else "SKU"
        raise ConfigError(f"run {summary['run_id']} has no {what} {name!r}{place}")
    return Explained(explanations, stories)


def _of_stock(workspace: Workspace, summary: Summary, sku: str, location: str | None) -> list[Explanation]:
    directory = workspace.run_directory(summary["run_id"])
    rows = {output: _rows(directory, output, sku, location) for output in ("levels", "in_flight", "breaks")}

    def same(row: Mapping[str, Any], level: Mapping[str, Any]) -> bool:
        return all(row[name] == level[name] for name in ("pair", "sku", "location"))

    found = []
    for level in rows["levels"]:
        documents = [row for row in rows["in_flight"] if same(row, level)]
        broken = next((row for row in rows["breaks"] if same(row, level)), None)
        explanation = explaining.explain(
            level, documents, broken, summary["snapshots"], summary["pairs"][level["pair"]].get("figure")
        )
        found.append(explaining.with_orders(explanation, _findings(directory, summary, explanation.references)))
    return found


def _rows(directory: str, output: str, sku: str, location: str | None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for part in read_parts(directory, output):
        wanted = pc.equal(part["sku"], sku)
        if location is not None:
            wanted = pc.and_(wanted, pc.equal(part["location"], location))
        found += part.filter(wanted).to_pylist()
    return sorted(found, key=lambda row: (row["pair"], row["location"], row.get("ref") or ""))


def _order_pairs(summary: Summary) -> list[str]:
    return [name for name, pair in summary.get("records", {}).items() if pair["kind"] == "orders"]


def _findings(directory: str, summary: Summary, references: Iterable[str]) -> list[Finding]:
    """What is wrong with the orders, or the lines of orders, that have one of these references."""
    wanted = set(references)
    found = []
    for pair in _order_pairs(summary) if wanted else ():
        for part in read_parts(directory, DIFFERENCES, pair):
            rows = part.filter(_may_be_of(part, wanted)).to_pylist()
            found += [each for each in map(finding, rows) if wanted & {each.ref, *each.lines}]
    return sorted(found, key=lambda each: (each.pair, each.ref, each.line or ""))


def _may_be_of(part: pa.Table, wanted: set[str]) -> pa.ChunkedArray:
    """Which findings may be of an order or line that is called so."""
    mask = pc.is_in(part["ref"], pa.array(sorted(wanted), pa.string()))
    for reference in wanted:
        mask = pc.or_(mask, pc.match_substring(part["lines"], reference))
    return mask


def _of_orders(config: Config, workspace: Workspace, summary: Summary, name: str) -> Iterable[OrderStory]:
    """The order of this reference, as people or as either system write it, in every pair that has it."""
    directory = workspace.run_directory(summary["run_id"])
    ids = {(each["system"], each["dataset"]): each["snapshot_id"] for each in summary["snapshots"]}
    stock: list[pa.Table] = []
    for pair in _order_pairs(summary):
        sides = [split(side, config.systems) for side in pair.split("~")]
        for ref in orders.spellings(config, sides, name):
            a, b = (_exported(workspace, system, dataset or "", ids, ref) for system, dataset in sides)
            if a or b:
                stock = stock or [read_output(directory, output) for output in ("breaks", "in_flight")]
                found = linked(_differences(directory, pair, ref), *stock)
                used = tuple(f"{system}/{dataset} {ids[system, dataset or '']}" for system, dataset in sides)
                yield OrderStory(pair, ref, a, b, tuple(found), used)
                break


def _exported(
    workspace: Workspace, system: str, dataset: str, ids: Mapping[tuple[str, str], str], ref: str
) -> tuple[dict[str, Any], ...]:
    snapshot = snapshots.load(workspace.root, system, dataset, ids[system, dataset])
    rows = rows_of(snapshot, "ref", ref).to_pylist()
    return tuple(
        sorted(rows, key=lambda row: [str(row.get(name) or "") for name in ("line", "sku", "placed_at", "doc")])
    )


def _differences(directory: str, pair: str, ref: str) -> list[Finding]:
    parts = (part.filter(pc.equal(part["ref"], ref)) for part in read_parts(directory, DIFFERENCES, pair))
    return [finding(row) for row in pa.concat_tables(parts).to_pylist()]
