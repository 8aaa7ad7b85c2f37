"""Data Docs: a page a validation result, and an index with the history of runs.

Each page is one file that needs no network: Great Expectations' own pages load styles and scripts from
six hosts, and a picture that counts views. What is shown is its result and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from expectations import results
from expectations.listing import ORIGIN
from reports.html import environment
from reports.text import printable

#: Most important first.
_ORDER = {"critical": 0, "warning": 1, "info": 2}

#: State of an expectation: a sign, and a word.
_STATES = {"met": ("✓", "met"), "warning": ("!", "not met"), "critical": ("✕", "not met, critical")}

#: How many runs an index shows side by side.
RUNS = 12


def page(result: Any, title: str, subtitle: str) -> str:
    """The page of one `ExpectationSuiteValidationResult`."""
    rows = sorted(
        (_expectation(each, row) for each, row in zip(result.results, results.rows(result), strict=True)),
        key=lambda row: (row["state"] == "met", _ORDER.get(row["severity"], 3)),
    )
    return environment().get_template("data_docs.html.j2").render(
        title=title,
        subtitle=subtitle,
        suite=result.suite_name,
        statistics=result.statistics,
        meta=_meta(result.meta),
        state=_worst(row["state"] for row in rows),
        states=_STATES,
        rows=rows,
    )  # fmt: skip


def index(history: Iterable[Mapping[str, Any]], run_id: str) -> str:
    """The page that links to those of a run and of the runs before it.

    Args:
        history: rows of `dq_results`, the newest run first.
        run_id: the run whose index it is; other runs are beside it.
    """
    kept = [row for row in history if row["kind"] == "expectation"]
    runs = list(dict.fromkeys(row["run_id"] for row in kept))[:RUNS]
    cells: dict[str, dict[str, dict[str, Any]]] = {}
    for row in kept:
        if row["run_id"] in runs:
            name = f"{row['system']}/{row['dataset']}"
            cell = cells.setdefault(name, {}).setdefault(
                row["run_id"], {"all": 0, "met": 0, "states": [], "href": _href(row, run_id)}
            )
            cell["all"] += 1
            cell["met"] += bool(row["success"])
            cell["states"].append("met" if row["success"] else _failed(row["severity"]))
    for found in cells.values():
        for cell in found.values():
            cell["state"] = _worst(cell["states"])
    now = [row for row in kept if row["run_id"] == run_id and not row["success"]]
    now.sort(key=lambda row: _ORDER.get(row["severity"], 3))
    return environment().get_template("data_docs_index.html.j2").render(
        run_id=run_id, runs=runs, cells=cells, failed=now, states=_STATES, failed_state=_failed
    )  # fmt: skip


def _expectation(each: Any, row: Mapping[str, Any]) -> dict[str, Any]:
    config, found = each.expectation_config, each.result
    examples = found.get("partial_unexpected_index_list") or []
    names = list(dict.fromkeys(name for example in examples for name in example if name not in ORIGIN))
    return {
        **row,
        "state": "met" if each.success else _failed(row["severity"]),
        "arguments": {k: v for k, v in config.kwargs.items() if k != "batch_id"},
        "names": names,
        "examples": [
            {"values": [_shown(example.get(name)) for name in names], "origin": _origin(example)}
            for example in examples
        ],
        "values": [] if examples else [_shown(value) for value in found.get("partial_unexpected_list") or []],
    }


def _failed(severity: str) -> str:
    return "critical" if severity == "critical" else "warning"


def _worst(states: Iterable[str]) -> str:
    return max(states, key=list(_STATES).index, default="met")


def _origin(example: Mapping[str, Any]) -> str:
    file, line = (example.get(name) for name in ORIGIN)
    return "" if file is None else f"{file}:{line}"


def _meta(meta: Mapping[str, Any]) -> dict[str, str]:
    about = meta.get("active_batch_definition", {}).get("batch_identifiers", {})
    shown = {name.replace("_", " "): str(value) for name, value in about.items()}
    return {**shown, "Great Expectations": str(meta.get("great_expectations_version", ""))}


def _href(row: Mapping[str, Any], run_id: str) -> str:
    page_ = f"{row['system']}.{row['dataset']}.html"
    return page_ if row["run_id"] == run_id else f"../../{row['run_id']}/validation/{page_}"


def _shown(value: Any) -> str:
    return "(nothing)" if value is None else printable(str(value))
