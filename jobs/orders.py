"""Pairs of orders in a run: what the rules of the configuration are to the kernel, and what the summary says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import pyarrow as pa

from jobs.config import Config
from jobs.config_orders import OrderLines, OrdersPair
from jobs.config_tables import text_table
from pipelines.snapshots import Snapshot
from reconcilers.errors import ConfigError
from reconcilers.findings import Findings
from reconcilers.order_rows import OrdersMapping
from reconcilers.orders import Orders


def mapping(config: Config, system: str, definition: OrderLines) -> OrdersMapping:
    """What the columns of an export of orders mean, with the tables of its system."""
    owner = config.system(system)
    return definition.mapping(
        definition.timezone or owner.timezone,
        config.decimals,
        aliases=text_table(owner.aliases, ("raw", "sku")),
        xref=text_table(definition.references.xref, ("raw", "ref")),
    )


def comparison(
    config: Config, name: str, pair: OrdersPair, sides: tuple[tuple[str, str], tuple[str, str]],
    snapshots: tuple[Snapshot, Snapshot], now: datetime,
) -> Orders:  # fmt: skip
    """The comparison of a pair.

    Raises:
        ConfigError: a rule is about a column that a side has not got.
    """
    exports = [config.system(system).orders[dataset] for system, dataset in sides]
    for column in pair.rules:
        if not all(column in each.columns for each in exports):
            raise ConfigError(f"{name}: the rule of {column!r} needs this column on both sides")
    # an export that took time shows at least what was there when it began
    a, b = (min(now, each.manifest.as_of) for each in snapshots)
    return Orders(
        name=name,
        as_of_a=a,
        as_of_b=b,
        sla=pair.sla,
        rules={column: rule.rule() for column, rule in pair.rules.items()},
        ignore=pair.ignore,
        where_a=pair.where.a,
        where_b=pair.where.b,
        settle=pair.settle,
        tax_included=(exports[0].tax_included, exports[1].tax_included),
        high_value=pair.high_value,
        scale=config.decimals,
    )


def spellings(config: Config, sides: Iterable[tuple[str, str | None]], name: str) -> list[str]:
    """What the reference of an order may be: as it is given, and as it is read of each side."""
    found = [name]
    for system, dataset in sides:
        definition = config.system(system).orders.get(dataset or "")
        if definition is not None:
            found.append(mapping(config, system, definition).canonical(pa.array([name])).to_pylist()[0])
    return list(dict.fromkeys(found))


def summary(found: Findings) -> Mapping[str, Any]:
    """What `summary.json` says of a pair of orders beyond what it says of any records."""
    findings: dict[str, dict[str, Any]] = {}
    for (name, reason), (count, value) in sorted(found.amounts.items()):
        findings.setdefault(name, {})[reason] = {"findings": count, "value": value}
    return {"kind": "orders", "findings": findings}
