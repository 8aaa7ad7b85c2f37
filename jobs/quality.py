"""What is written about a validation: standard results, pages, JUnit, and a table that grows run by run."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines import filesystem
from pipelines.execution import Engine

#: `dq_results`: a row a run, dataset and expectation (`kind` expectation), and one a run (`kind` run).
RESULTS = pa.schema(
    [
        ("kind", pa.string()),
        ("run_id", pa.string()),
        ("job", pa.string()),
        ("run_time", pa.timestamp("us", tz="UTC")),
        ("system", pa.string()),
        ("dataset", pa.string()),
        ("snapshot_id", pa.string()),
        ("rows", pa.int64()),
        ("expectation", pa.string()),
        ("columns", pa.string()),
        ("description", pa.string()),
        ("reason", pa.string()),
        ("severity", pa.string()),
        ("success", pa.bool_()),
        ("evaluated_rows", pa.int64()),
        ("unexpected_rows", pa.int64()),
        ("unexpected_percent", pa.float64()),
        ("observed_value", pa.string()),
        ("message", pa.string()),
        ("expectations", pa.int32()),
        ("failed", pa.int32()),
        ("failed_critical", pa.int32()),
    ]
)


@dataclass(frozen=True)
class Occasion:
    """When something is judged, and where it is written.

    Args:
        run_id: of the run, or of what is like one.
        job: of the run.
        now: the instant of the judgement.
        directory: for results, pages and failing rows.
        results: the `dq_results` that the rows are added to.
        engine: where the pipelines run.
        counters: what they count is added to these.
    """

    run_id: str
    job: str | None
    now: datetime
    directory: str
    results: str
    engine: Engine = ()
    counters: dict[str, int] | None = None


@dataclass(frozen=True)
class Outcome:
    """What a validation found: a row a dataset, and the page that shows it."""

    results: list[dict[str, Any]]
    page: str | None

    def text(self) -> str:
        """A line a dataset, the failed expectations below, and where the pages are."""
        lines = []
        for result in self.results:
            state = "ok  " if result["success"] else "FAIL" if result["critical"] else "warn"
            lines.append(
                f"{state} {result['system']}/{result['dataset']}: "
                f"{result['evaluated'] - result['failed']} of {result['evaluated']} expectations met"
            )
            lines += [f"       {message}" for message in result["messages"]]
        return "\n".join([*lines, *([] if self.page is None else ["", f"pages: {self.page}"])])


@dataclass(frozen=True)
class Judged:
    """A dataset and what Great Expectations decided about it."""

    system: str
    dataset: str
    identifiers: Mapping[str, Any]
    result: Any

    @property
    def name(self) -> str:
        """Of its files."""
        return f"{self.system}.{self.dataset}"

    def summary(self) -> dict[str, Any]:
        """What the run says about it."""
        from expectations import results

        said = f"{self.system}/{self.dataset}"
        statistics = self.result.statistics
        return {
            "system": self.system,
            "dataset": self.dataset,
            "success": bool(self.result.success),
            "evaluated": statistics["evaluated_expectations"],
            "failed": statistics["unsuccessful_expectations"],
            "critical": [f"{said}: {message}" for message in results.messages(self.result, "critical")],
            "messages": results.messages(self.result),
        }


def write_reports(occasion: Occasion, judged: list[Judged]) -> None:
    """Everything about a validation, below its directory, and its rows in `dq_results`."""
    from reports import data_docs, junit

    directory = occasion.directory
    for each in judged:
        text = json.dumps(each.result.to_json_dict(), indent=2, ensure_ascii=False, default=str)
        filesystem.write_atomic(filesystem.join(directory, f"{each.name}.json"), text.encode())
        page = data_docs.page(each.result, f"{each.system}/{each.dataset}", f"run {occasion.run_id}")
        filesystem.write_atomic(filesystem.join(directory, f"{each.name}.html"), page.encode())
    table = _appended(occasion, judged)
    filesystem.write_atomic(filesystem.join(directory, "junit.xml"), junit.render(table.to_pylist()))
    index = data_docs.index(_history(occasion, table), occasion.run_id)
    filesystem.write_atomic(filesystem.join(directory, "index.html"), index.encode())


def _history(occasion: Occasion, newest: pa.Table, runs: int = 30) -> list[dict[str, Any]]:
    """The results of this run and those before, newest first."""
    files = filesystem.list_files(occasion.results)
    stems = sorted(path.removesuffix(".parquet") for path in files if path.endswith(".parquet"))
    before = [stem for stem in stems if stem < _path(occasion).removesuffix(".parquet")][-runs:]
    tables = [newest]
    for stem in reversed(before):
        with filesystem.open_read(f"{stem}.parquet") as file:
            tables.append(pq.read_table(file, schema=RESULTS))
    return [row for table in tables for row in table.to_pylist()]


def _appended(occasion: Occasion, judged: list[Judged]) -> pa.Table:
    """The rows of this run in `dq_results`: a file a run, those of a second validation of it added."""
    rows = [row for each in judged for row in _rows(occasion, each)]
    path = _path(occasion)
    if filesystem.exists(path):
        with filesystem.open_read(path) as file:
            known = pq.read_table(file, schema=RESULTS).to_pylist()
        names = {(each.system, each.dataset) for each in judged}
        rows = [r for r in known if r["kind"] == "expectation" and (r["system"], r["dataset"]) not in names] + rows
    failed = [row for row in rows if not row["success"]]
    summary = {
        "kind": "run",
        "run_id": occasion.run_id,
        "job": occasion.job,
        "run_time": occasion.now,
        "success": not failed,
        "expectations": len(rows),
        "failed": len(failed),
        "failed_critical": sum(row["severity"] == "critical" for row in failed),
    }
    table = pa.Table.from_pylist([summary, *rows], schema=RESULTS)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    filesystem.write_atomic(path, buffer.getbuffer())
    return table


def _rows(occasion: Occasion, judged: Judged) -> list[dict[str, Any]]:
    from expectations import results

    about = {
        "kind": "expectation",
        "run_id": occasion.run_id,
        "job": occasion.job,
        "run_time": occasion.now,
        "system": judged.system,
        "dataset": judged.dataset,
        "snapshot_id": judged.identifiers.get("snapshot_id"),
        "rows": judged.identifiers.get("rows"),
    }
    return [{**about, **row} for row in results.rows(judged.result)]


def _path(occasion: Occasion) -> str:
    return filesystem.join(occasion.results, f"{occasion.run_id}.parquet")
