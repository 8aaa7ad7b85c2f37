"""Validation results in words and in rows: what a run says, JUnit shows and `dq_results` keeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from expectations.listing import ORIGIN

#: How many examples a message names.
EXAMPLES = 3


def messages(result: Any, severity: str | None = None) -> list[str]:
    """What failed, in words: the expectation, how much, and examples.

    Args:
        result: an `ExpectationSuiteValidationResult`.
        severity: only expectations of this severity.
    """
    return [
        message(each)
        for each in result.results
        if not each.success and (severity is None or severity_of(each) == severity)
    ]


def message(each: Any) -> str:
    """What an expectation that is not met found."""
    config, found = each.expectation_config, each.result
    words = config.description or f"{config.type} of {', '.join(_columns(config.kwargs)) or 'the table'}"
    if "element_count" in found:
        examples = ", ".join(_examples(config.kwargs, found))
        counted = f"{found['unexpected_count']:,} of {found['element_count']:,} {_unit(config.type)}"
        return f"not met: {words}: {counted}" + (f", e.g. {examples}" if examples else "")
    if found.get("partial_unexpected_list"):
        examples = ", ".join(_words(value) for value in found["partial_unexpected_list"][:EXAMPLES])
        return f"not met: {words}: {found['unexpected_count']:,} values, e.g. {examples}"
    return f"not met: {words}: it is {_words(found.get('observed_value'))}"


def severity_of(each: Any) -> str:
    """`critical`, `warning` or `info`."""
    severity = each.expectation_config.severity
    return str(getattr(severity, "value", severity))


def rows(result: Any) -> list[dict[str, Any]]:
    """One row an expectation: its type, columns, severity, outcome and numbers."""
    return [_row(each) for each in result.results]


def _row(each: Any) -> dict[str, Any]:
    config, found = each.expectation_config, each.result
    return {
        "expectation": config.type,
        "columns": ", ".join(_columns(config.kwargs)),
        "description": config.description or "",
        "reason": (config.meta or {}).get("reason", ""),
        "severity": severity_of(each),
        "success": bool(each.success),
        "evaluated_rows": found.get("element_count"),
        "unexpected_rows": found.get("unexpected_count"),
        "unexpected_percent": found.get("unexpected_percent"),
        "observed_value": None if found.get("observed_value") is None else _words(found["observed_value"]),
        "message": "" if each.success else message(each),
    }


def _columns(kwargs: Mapping[str, Any]) -> list[str]:
    single = [kwargs[name] for name in ("column", "column_A", "column_B") if name in kwargs]
    return list(kwargs.get("column_list") or single)


def _unit(kind: str) -> str:
    return {
        "expect_keys_to_be_kept": "keys",
        "expect_keys_to_be_known": "keys",
        "expect_order_lines_to_add_up": "order lines",
        "expect_reservations_to_close_at_zero": "closed order lines",
        "expect_share_in_every_group_to_be_at_most": "groups",
    }.get(kind, "rows")


def _examples(kwargs: Mapping[str, Any], found: Mapping[str, Any]) -> Iterable[str]:
    """Which rows, and what is wrong with them: the key tells where to look."""
    rows_ = found.get("partial_unexpected_index_list") or []
    if not rows_:
        yield from (_words(value) for value in found.get("partial_unexpected_list", [])[:EXAMPLES])
    judged = _columns(kwargs)
    seen: list[str] = []
    for row in rows_:
        key = " at ".join(str(row[name]) for name in ("sku", "location") if row.get(name) is not None)
        ref = f"{row['ref']} " if row.get("ref") is not None else ""
        value = ", ".join(
            f"{_words(row[name])}" for name in judged if name in row and name not in ("sku", "location", "ref")
        )
        place = f"{row['source_file']}:{row['source_line']}" if all(row.get(n) is not None for n in ORIGIN) else ""
        told = f"{ref}{key}".strip() or place
        said = f"{told}: {value}" if value and told else told or value
        if said and said not in seen and len(seen) < EXAMPLES:
            seen.append(said)
    yield from seen


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        if set(value) == {"quantiles", "values"}:
            return ", ".join(f"{q:g}: {_words(v)}" for q, v in zip(value["quantiles"], value["values"], strict=True))
        return " at ".join(str(part) for part in value.values())
    if isinstance(value, list | tuple):
        return ", ".join(map(_words, value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)
