"""Orders of two systems, compared line by line: what is lost, late, doubled, or not the same.

Orders that are plainly the same are only counted. Of the others, second documents and orders that only one
side has are told as such; the lines of the rest go through the kernel of records (`fields`), and what it finds
becomes one finding a fault: a lost order of seven lines is one lost order. The steps around the kernel are SQL,
in `reconcilers/sql/order_*.sql`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa

from reconcilers.errors import ConfigError
from reconcilers.fields import Judged, Rows, judge
from reconcilers.findings import Bucket, aged, findings
from reconcilers.order_rows import INSTANTS, LINE_AMOUNTS, ORDER_AMOUNTS, ROLES, STATUSES
from reconcilers.pairing import count
from reconcilers.records import Comparison
from reconcilers.rules import Rule, key_text, quoted, sides, within
from reconcilers.schemas import SCALE

_SQL = {
    step: (Path(__file__).parent / "sql" / f"order_{step}.sql").read_text(encoding="utf-8")
    for step in ("plain", "lines", "findings")
}

#: The columns of `differences` of a pair of orders, before identity and age.
RESULT_COLUMNS = (
    *("pair", "ref", "line", "sku", "column", "value_a", "value_b", "class", "reason", "difference", "age", "doc"),
    *("lines", "value", "currency", "clears_by", "severity"),
)

#: What names a finding, beside the pair, its column and its reason.
_IDENTITY = ("ref", "line", "doc")

#: Columns that a pair compares line by line, the currency first: bounds of amounts go by it.
_COMPARED = ("currency", "sku", *LINE_AMOUNTS, "status")

#: How the kernel calls the currency of A's line of a pair.
_CURRENCY = "a0"


@dataclass(frozen=True)
class Orders:
    """What is compared with what, and by which rules.

    Args:
        name: the pair, as it is written into every row of the results.
        as_of_a: the instant that A's orders are of; what came later it cannot have.
        as_of_b: the same for B.
        sla: how long one side may wait for what the other has posted.
        rules: how a column is compared; exactly where none is given. That of `total` also holds for
            totals against lines. `bounds` of a rule go by currency.
        ignore: columns that are not compared.
        where_a: an SQL condition; other rows of A are left out.
        where_b: the same for B.
        settle: what changed so short a time before a side was read is on its way.
        tax_included: whether the prices of A, and of B, contain the tax.
        high_value: a finding that so much money depends on is severe.
        scale: the decimal places of amounts.
    """

    as_of_a: datetime
    as_of_b: datetime
    name: str = "left~right"
    sla: timedelta = timedelta(days=1)
    rules: Mapping[str, Rule] = field(default_factory=dict)
    ignore: tuple[str, ...] = ()
    where_a: str | None = None
    where_b: str | None = None
    settle: timedelta = timedelta(0)
    tax_included: tuple[bool, bool] = (False, False)
    high_value: Decimal | None = None
    scale: int = SCALE

    @property
    def key(self) -> tuple[str, ...]:
        """What an order is known by."""
        return ("ref",)

    @property
    def renamed(self) -> Mapping[str, str]:
        """Columns have the same names on both sides."""
        return {}


@dataclass(frozen=True)
class ComparedOrders:
    """What was found, as data: `findings` has `RESULT_COLUMNS`, `verdicts` counts orders by class and reason."""

    findings: pa.Table
    verdicts: Mapping[tuple[str, str], int]


def judge_orders(con: duckdb.DuckDBPyConnection, orders: Orders, left: str, right: str) -> Judged:
    """Compare two relations of canonical order lines; leaves the tables `finding` and `verdict` in `con`.

    Returns:
        What the kernel found about the lines of orders that both sides have; those that are plainly the same
        are among the equal ones.

    Raises:
        ConfigError: a side has no reference, or a condition is wrong.
    """
    kinds = [_kinds(con, relation) for relation in (left, right)]
    more = [name for name in kinds[0] if name in kinds[1] and name not in ROLES]
    _prepare(con, orders, kinds, more, (left, right))
    shared = [name for name in _COMPARED if all(name in each for each in kinds)]
    if not _by_line(kinds) and "sku" in shared:
        shared.remove("sku")
    columns = [name for name in [*shared, *more] if name not in orders.ignore]
    inner = {name: _other(name) if name in more else name for name in columns}
    comparison, totals = _of_lines(orders, columns), _totals(orders, kinds)
    con.execute(_SQL["plain"].format(**_plain(inner, comparison.rules, orders.scale), **totals))
    again = _lines("given semi join repeated using (side, ref, line)", more)
    con.execute(_SQL["lines"].format(lines_of_repeated=again, lines_of_kept=_lines("kept", more)))
    values = "".join(f"{own} as {quoted(name)}, " for name, own in inner.items())
    for side in ("a", "b"):
        con.execute(
            f"create or replace temp table lines_{side} as select ref, line, {values}changed_at "
            f"from line semi join common using (ref) where side = '{side}'"
        )
    judged = judge(con, comparison, "lines_a", "lines_b")
    con.execute(f"create or replace temp table field as {judged.differences}")
    con.execute(_SQL["findings"].format(**totals))
    a, b = (_rows(con, side) for side in ("a", "b"))
    plain = a.read - a.without_key - count(con, "select count(*) from given where side = 'a'")
    return replace(judged, a=a, b=b, equal=judged.equal + plain)


def verdicts(con: duckdb.DuckDBPyConnection) -> dict[tuple[str, str], int]:
    """How many orders have which verdict, by class and reason ("" for none); every order counts once."""
    rows = con.execute(
        """select worst.class, coalesce(worst.reason, ''), count(*) from verdict group by all
        union all
        select 'MATCHED', '', count(*) from each_order anti join verdict using (ref) having count(*) > 0"""
    ).fetchall()
    return {(name, reason): count for name, reason, count in sorted(rows)}


def compare_bucket(con: duckdb.DuckDBPyConnection, orders: Orders, run: str, previous: pa.Table | None) -> Bucket:
    """One bucket of a pair, `records_a` and `records_b` in `con`: findings with their age, and what adds up."""
    judged = judge_orders(con, orders, "records_a", "records_b")
    differences, closed = aged(con, "from finding", _IDENTITY, run, previous)
    amounts = con.execute(
        "select class, coalesce(reason, ''), count(*), coalesce(sum(value), 0) from finding group by all order by all"
    ).fetchall()
    found = replace(
        findings(judged),
        tally=verdicts(con),
        amounts={(name, reason): (count, value) for name, reason, count, value in amounts},
        samples=(),
        schema=(),
    )
    return Bucket(differences, closed, found)


def _of_lines(orders: Orders, columns: list[str]) -> Comparison:
    """How the lines of orders that both sides have are compared."""
    rules = {
        name: replace(rule, bounds_by=_CURRENCY, bounds=rule.bounds if "currency" in columns else {})
        for name, rule in orders.rules.items()
        if name in columns
    }
    return Comparison(
        key=("ref", "line"),
        name=orders.name,
        rules=rules,
        ignore=("changed_at",),
        changed_at="changed_at",
        # what one side changed after the other was read is never held against that one
        settle=max(orders.settle, timedelta(milliseconds=1)),
        now=min(orders.as_of_a, orders.as_of_b),
    )


def _prepare(
    con: duckdb.DuckDBPyConnection,
    orders: Orders,
    kinds: list[dict[str, str]],
    more: list[str],
    relations: tuple[str, str],
) -> None:
    """Give the SQL steps their variables, and both sides with the same columns."""
    con.execute(f"create temp type amount as decimal(18, {orders.scale})")
    variables = {
        "pair": orders.name,
        "sla": orders.sla,
        "seen_a": orders.as_of_a,
        "seen_b": orders.as_of_b,
        "tax_included_a": orders.tax_included[0],
        "tax_included_b": orders.tax_included[1],
        "high_value": orders.high_value,
        "statuses": list(STATUSES),
        "unit": 10**orders.scale,
        "step": Decimal(1).scaleb(-orders.scale),
    }
    for name, value in variables.items():
        con.execute(f"set variable {name} = ?", [value])
    for side, have, relation in zip("ab", kinds, relations, strict=True):
        if "ref" not in have:
            raise ConfigError(f"{orders.name}: no column 'ref' on the {'left' if side == 'a' else 'right'}")
        _take(con, orders, side, relation)
        con.execute(
            f"create or replace temp view export_{side} as "
            f"select '{side}' as side, {_columns(have, more, kinds)} from ordered_{side} where ref is not null"
        )


def _take(con: duckdb.DuckDBPyConnection, orders: Orders, side: str, relation: str) -> None:
    """The rows of a side that are compared."""
    where = getattr(orders, f"where_{side}")
    condition = f" where {where}" if where else ""
    try:
        con.execute(f"create or replace temp view ordered_{side} as from {relation}{condition}")
    except duckdb.Error as error:
        raise ConfigError(f"{orders.name}: where.{side}: {' '.join(str(error).split())[:300]}") from error


def _plain(columns: Mapping[str, str], rules: Mapping[str, Rule], scale: int) -> dict[str, str]:
    """What tells orders that are plainly the same: the lines of each side, and when two have the same values."""
    values = "".join(f", any_value({own}) as {own}" for own in columns.values())
    lines = f"""
        select
            ref, line, count(*) as rows, min(doc) as doc, any_value(total) as total, any_value(charges) as charges,
            any_value(worth(side, weight * price, discount, tax)) as amount{values}
        from {{}} group by ref, line"""
    same = ["true"]
    for name, own in columns.items():
        kind = f"DECIMAL(18,{scale})" if name in LINE_AMOUNTS else "VARCHAR"
        same.append(f"not {sides(f'a.{own}', f'b.{own}', kind, kind, rules.get(name, Rule())).differ}")
    return {"lines_a": lines.format("export_a"), "lines_b": lines.format("export_b"), "same": " and ".join(same)}


def _lines(relation: str, more: list[str]) -> str:
    """The query for one row a line of each side; what is not ours is as it is."""
    return f"""
        select
            side, ref, line, count(*) as rows, min(doc) as first_doc, max(doc) as last_doc,
            told(sku) as sku,
            sum(quantity)::amount as quantity,
            sum(weight) as weight,
            sum(weight * price) as gross,
            if(min(price) is not distinct from max(price), max(price), mean(sum(weight * price), sum(weight)))::amount
                as price,
            sum(discount)::amount as discount, sum(tax)::amount as tax,
            told(currency) as currency, told(status) as status,
            max(total) as total, max(charges) as charges,
            min(placed_at) as placed_at, max(changed_at) as changed_at
            {"".join(f", told({_other(name)}) as {_other(name)}" for name in more)}
        from {relation}
        group by side, ref, line"""


def _columns(have: Mapping[str, str], more: list[str], kinds: list[dict[str, str]]) -> str:
    """Every column of a side in its type; null where the side has not got it."""
    types = dict.fromkeys((*LINE_AMOUNTS, *ORDER_AMOUNTS), "amount") | dict.fromkeys(INSTANTS, "timestamptz")
    names = [name for name in ROLES if name not in ("channel", "line")]
    own = [f"{name if name in have else 'null'}::{types.get(name, 'varchar')} as {name}" for name in names]
    identity = [name for name in ("line", "sku") if all(name in each for each in kinds)]
    own.append(f"coalesce({', '.join([*identity, chr(39) * 2])})::varchar as line")
    own.append(f"{'coalesce(quantity, 1)' if 'quantity' in have else '1'}::amount as weight")
    return ", ".join([*own, *(f"{key_text(quoted(name), have[name])} as {_other(name)}" for name in more)])


def _other(name: str) -> str:
    """A column that is not ours, as the steps call it: never like one of theirs."""
    return quoted(f"other.{name}")


def _by_line(kinds: list[dict[str, str]]) -> bool:
    """Whether lines have ids of their own; else the SKU is what a line is known by."""
    return all("line" in each for each in kinds)


def _totals(orders: Orders, kinds: list[dict[str, str]]) -> dict[str, str]:
    """The conditions under which totals are near enough."""
    rule = replace(orders.rules.get("total", Rule()), bounds_by="currency")

    def near(one: str, other: str, gap: str) -> str:
        return f"({within(one, other, gap, rule)})"

    return {
        "total_compared": str("total" not in orders.ignore and any("total" in each for each in kinds)),
        "total_a_near_sum": near("total_a", "sum_a", "(total_a - sum_a)"),
        "total_b_near_sum": near("total_b", "sum_b", "(total_b - sum_b)"),
        "total_near": near("total_a", "total_b", "gap"),
    }


def _kinds(con: duckdb.DuckDBPyConnection, relation: str) -> dict[str, str]:
    return {row[0]: row[1] for row in con.execute(f"describe from {relation}").fetchall()}


def _rows(con: duckdb.DuckDBPyConnection, side: str) -> Rows:
    ((read, without),) = con.execute(f"select count(*), count(*) filter (ref is null) from ordered_{side}").fetchall()
    return Rows(read, without)
