"""The in-memory twins of the pipelines, for notebooks and small merchants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Union

import pyarrow as pa

from reconcilers.database import session
from reconcilers.errors import ConfigError
from reconcilers.fields import Compared, judge
from reconcilers.orders import ComparedOrders, Orders, judge_orders, verdicts
from reconcilers.pairs import Pair
from reconcilers.records import Comparison
from reconcilers.schemas import events_schema, stock_schema
from reconcilers.stock import Inputs, Reconciled, reconcile_bucket

if TYPE_CHECKING:
    import pandas as pd

Frame = Union["pd.DataFrame", pa.Table]


def reconcile(
    stock_a: Frame,
    stock_b: Frame,
    pair: Pair,
    events_a: Frame | None = None,
    events_b: Frame | None = None,
    run: str = "",
    previous: pa.Table | None = None,
) -> Reconciled:
    """Reconcile two systems' stock that is already in memory: one bucket holds everything.

    Args:
        stock_a: the target's stock, columns of `stock_schema` (those that may be null may be absent).
        stock_b: the authority's stock.
        pair: what is compared and how it is judged.
        events_a: the target's postings, columns of `events_schema`.
        events_b: the authority's postings.
        run: identifies this run in the age of breaks.
        previous: the breaks of the run before.

    Raises:
        ConfigError: a column is missing, or does not fit its type.
    """
    return reconcile_bucket(
        Inputs(
            stock_a=_conform(stock_a, stock_schema(pair.scale), "stock_a"),
            stock_b=_conform(stock_b, stock_schema(pair.scale), "stock_b"),
            events_a=_conform(events_a, events_schema(pair.scale), "events_a"),
            events_b=_conform(events_b, events_schema(pair.scale), "events_b"),
        ),
        pair,
        run,
        previous,
    )


def compare(a: Frame, b: Frame, comparison: Comparison) -> Compared:
    """Compare two sets of records that are already in memory, field by field.

    A missing value of pandas is null, whatever it is written as. Text, decimals and integers are
    compared exactly, floats by value.

    Raises:
        ConfigError: a column that the comparison names is not there.
        ExpectationsFailed: a key is there twice, and the comparison refuses that.
    """
    with session() as con:
        con.register("given_a", _table(a))
        con.register("given_b", _table(b))
        return judge(con, comparison, "given_a", "given_b").compared()


def compare_orders(a: Frame, b: Frame, orders: Orders) -> ComparedOrders:
    """Compare the orders of two systems that are already in memory.

    Args:
        a: the target's order lines, columns of `reconcilers.order_rows.ROLES`, of which only `ref` must be
            there; any others that both sides have are compared as they are.
        b: the authority's.
        orders: the rules.

    Raises:
        ConfigError: a side has no reference, or a condition is wrong.
    """
    with session() as con:
        con.register("given_a", _table(a))
        con.register("given_b", _table(b))
        judge_orders(con, orders, "given_a", "given_b")
        return ComparedOrders(con.sql("from finding").to_arrow_table(), verdicts(con))


def _table(frame: Frame) -> pa.Table:
    return frame if isinstance(frame, pa.Table) else pa.Table.from_pandas(frame, preserve_index=False)


def _conform(frame: Frame | None, schema: pa.Schema, name: str) -> pa.Table:
    """The frame as a table of exactly `schema`; what may be null may be absent."""
    if frame is None:
        return schema.empty_table()
    table = _table(frame)
    columns = []
    for field in schema:
        if field.name in table.column_names:
            columns.append(_cast(table.column(field.name), field, name))
        elif field.nullable:
            columns.append(pa.nulls(len(table), field.type))
        else:
            raise ConfigError(f"{name}: column {field.name!r} is missing")
    return pa.table(columns, schema=schema)


def _cast(column: pa.ChunkedArray, field: pa.Field, name: str) -> pa.ChunkedArray:
    if not field.nullable and column.null_count:
        raise ConfigError(f"{name}: {column.null_count} rows have no {field.name}")
    if pa.types.is_floating(column.type) and pa.types.is_decimal(field.type):
        raise ConfigError(f"{name}: {field.name} is a float; quantities are exact: use Decimal, int or text")
    try:
        if pa.types.is_integer(column.type) and pa.types.is_decimal(field.type):
            # whatever an integer may be, not only what this one holds, has to fit where it is cast to
            column = column.cast(pa.decimal128(38, field.type.scale))
        return column.cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ConfigError(f"{name}: {field.name} ({column.type}): {error}") from error
