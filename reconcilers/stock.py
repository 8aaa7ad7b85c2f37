"""Stock pairs: the one formula, for a bucket or for everything in memory.

`reconcile_bucket` is a pure function from Arrow tables to Arrow tables; the Beam pipeline and the
in-memory `reconcile` call it, and nothing else computes a verdict. The steps are SQL, one file each,
in `reconcilers/sql/`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from reconcilers import profiles
from reconcilers.database import session
from reconcilers.pairs import Pair, Side
from reconcilers.references import Normaliser
from reconcilers.schemas import (
    TEXT,
    Class,
    Kind,
    Reason,
    breaks_schema,
    closed_schema,
    corrections_schema,
    events_schema,
    goods_schema,
    in_flight_schema,
    levels_schema,
    packs_schema,
    refused_schema,
    tally_schema,
)
from reconcilers.shares import shared

_SQL = {
    step: (Path(__file__).parent / "sql" / f"{step}.sql").read_text(encoding="utf-8")
    for step in ("postings", "lines", "documents", "keys", "levels", "slips", "suspicions", "hints", "breaks")
}

#: Events that belong to one chain; every other kind is a family of its own.
FAMILIES = {
    Kind.PLACE: "order",
    Kind.CANCEL: "order",
    Kind.ALLOCATE: "order",
    Kind.DEALLOC: "order",
    Kind.PICK: "order",
    Kind.SHIP: "order",
    Kind.RETURN_ANNOUNCED: "return",
    Kind.RETURN_RECV: "return",
    Kind.RESTOCK: "return",
    Kind.SCRAP: "return",
    Kind.HOLD: "hold",
    Kind.RELEASE: "hold",
    Kind.XFER_OUT: "transfer",
    Kind.XFER_IN: "transfer",
}

#: Kinds whose document, not the posting, says what is expected (DOMAIN 2.1, short receipts).
BY_DOCUMENT = frozenset({Kind.XFER_IN, Kind.XFER_OUT, Kind.RECEIPT})

#: What the families of kinds that a pair names itself begin with.
OWN = "own"

#: The instants of a row, where it has its own.
_INSTANTS = ("as_of", "as_of_hi")

#: What a number usually is, whatever system shows it.
_NUMBER_KINDS = (
    *("storefront.available", "storefront.on_hand", "erp.on_hand", "erp.available"),
    *("wms.on_hand", "wms.available", "pos.on_hand"),
)

#: How many breaks one suspicion has to explain.
_SEVERAL = 3

#: The steps at which a number may count an order, in the order in which they happen.
_STEPS = (Kind.PLACE, Kind.ALLOCATE, Kind.SHIP)


@dataclass(frozen=True)
class Inputs:
    """The rows of one bucket of both sides; schemas are those of `reconcilers.schemas`."""

    stock_a: pa.Table
    stock_b: pa.Table
    events_a: pa.Table = field(default_factory=lambda: events_schema().empty_table())
    events_b: pa.Table = field(default_factory=lambda: events_schema().empty_table())


@dataclass(frozen=True)
class Reconciled:
    """The verdicts of one bucket; every table has the schema of its name in `reconcilers.schemas`.

    `tally` counts keys, units and value by class and reason; the tallies of buckets add up.
    """

    levels: pa.Table
    breaks: pa.Table
    closed: pa.Table
    in_flight: pa.Table
    corrections: pa.Table
    tally: pa.Table


def reconcile_bucket(
    inputs: Inputs, pair: Pair, run: str = "", previous: pa.Table | None = None, threads: int | None = None
) -> Reconciled:
    """Reconcile the keys of one bucket.

    Args:
        inputs: the rows of both sides; the same SKU is never in two buckets.
        pair: what is compared and how it is judged.
        run: identifies this run in the age of breaks.
        previous: breaks and closed breaks of the run before (`closed_schema` columns suffice).
        threads: how many to use; all cores if not given. Where several buckets run side by side,
            one each is faster.

    The rows come in no particular order.
    """
    with session(threads) as con:
        _prepare(con, inputs, pair, run)
        con.register("previous", closed_schema().empty_table() if previous is None else previous)
        for step in ("postings", "lines", "documents", "keys"):
            _run(con, step)
        shown = con.sql("from shown").to_arrow_table()
        settled = shown.filter(shown["settled"])
        con.register("settled", settled)
        con.register("unsettled", shown.filter(pc.invert(shown["settled"])))
        judged = _shared(con.sql(*_parsed("levels")).to_arrow_table(), pair)
        con.register("level", judged)
        _hint(con, pair)
        _run(con, "breaks")
        columns = levels_schema(pair.scale).names
        return Reconciled(
            levels=pa.concat_tables([judged.select(columns), _shared(_matched(settled, pair), pair)]),
            breaks=_result(con, "break", breaks_schema(pair.scale)),
            closed=_result(con, "closed", closed_schema()),
            in_flight=_result(con, "document", in_flight_schema(pair.scale)),
            corrections=_result(con, "correction", corrections_schema(pair.scale)),
            tally=_result(con, "tally", tally_schema()),
        )


def _run(con: duckdb.DuckDBPyConnection, step: str) -> None:
    """Execute the statements of one step."""
    for statement in _parsed(step):
        con.execute(statement)


@cache
def _parsed(step: str) -> tuple[duckdb.Statement, ...]:
    """The statements of one step, parsed once: for every bucket anew, that is a sixth of what a small bucket takes."""
    return tuple(duckdb.extract_statements(_SQL[step]))


def _matched(settled: pa.Table, pair: Pair) -> pa.Table:
    """The levels of keys that need no judgement, which are most: what they have in common is made here, once."""
    schema = levels_schema(pair.scale)
    common = {"pair": pair.name, "class": str(Class.MATCHED), "reason": None, "unexplained": Decimal(0)}
    made = {name: pa.repeat(pa.scalar(value, schema.field(name).type), len(settled)) for name, value in common.items()}
    made |= dict.fromkeys(("raw_diff", "expected_diff", "unexplained_lo", "unexplained_hi"), made["unexplained"])
    return pa.table([made[name] if name in made else settled[name] for name in schema.names], schema=schema)


def _hint(con: duckdb.DuckDBPyConnection, pair: Pair) -> None:
    """Make the table `hint`: causes that a break's own documents do not show."""
    con.execute(
        "create temp table hint (sku varchar, location varchar, quantity quantity, reason varchar, evidence varchar)"
    )
    if pair.own_kinds:
        _run(con, "slips")
        return
    odd = "select count(*) from level where reason = 'UNEXPLAINED' having count(*) >= getvariable('several')"
    if not con.execute(odd).fetchall():
        return
    con.register("number_kind", _number_kinds())
    _run(con, "suspicions")
    if con.execute("from suspicion").fetchall():
        _run(con, "hints")


@cache
def _number_kinds() -> pa.Table:
    """How numbers of the common kinds react to each kind of event (DOMAIN 2.1)."""
    numbers = [profiles.load(name) for name in _NUMBER_KINDS]
    rows = [(number.name, kind, number.coefficient(kind)) for number in numbers for kind in Kind]
    schema = pa.schema([("name", TEXT), ("kind", TEXT), ("coefficient", pa.int8())])
    return pa.table([list(column) for column in zip(*rows, strict=True)], schema=schema)


def _shared(levels: pa.Table, pair: Pair) -> pa.Table:
    """Levels with the target's own share of what can be promised, where several channels sell it."""
    if pair.shares is None or not pair.a.profile.sellable:
        return levels
    return shared(levels, pair.shares, pair.a.system)


def _prepare(con: duckdb.DuckDBPyConnection, inputs: Inputs, pair: Pair, run: str) -> None:
    """Give the SQL steps their tables and variables; what a pair does not use costs nothing."""
    con.execute(f"create temp type quantity as decimal(18, {pair.scale})")
    for name, value in {**_variables(pair), "run": run, "documents": _tell_documents(inputs)}.items():
        con.execute(f"set variable {name} = ?", [value])
    con.register("effect_arrow", _effects(pair))
    con.execute("create temp table effect as from effect_arrow")
    for side, places in (("a", tuple(pair.locations)), ("b", _pooled(pair))):
        stock = getattr(inputs, f"stock_{side}")
        con.register(f"stock_{side}_raw", stock)
        con.register(f"events_{side}_raw", getattr(inputs, f"events_{side}"))
        if getattr(pair, f"xref_{side}") is not None:
            con.register(f"xref_{side}", getattr(pair, f"xref_{side}"))
        con.execute(f"create temp table place_{side} (place varchar, location varchar)")
        if places:
            rows = [(p, p) for p in places] if side == "a" else places
            con.executemany(f"insert into place_{side} values (?, ?)", rows)
        con.execute(f"create temp view stock_{side} as {_stock_sql(stock, side, bool(places))}")
    con.register("goods", goods_schema(pair.scale).empty_table() if pair.goods is None else pair.goods)
    con.register("pack", packs_schema().empty_table() if pair.packs is None else pair.packs)
    con.register("refused", refused_schema(pair.scale).empty_table() if pair.refused is None else pair.refused)
    con.execute(f"create temp view event as {_events_sql(inputs, pair)}")
    con.execute(f"create temp table row_as_of as {_row_as_of_sql()}")


def _pooled(pair: Pair) -> tuple[tuple[str, str], ...]:
    return tuple((place, pool) for pool, places in pair.locations.items() for place in places)


def _variables(pair: Pair) -> dict[str, object]:
    opening = {side: None if pair.own_kinds else _opening(getattr(pair, side)) for side in ("a", "b")}
    steps = [_STEPS.index(k) if k else len(_STEPS) for k in opening.values()]
    return {
        "pair": pair.name,
        "target": pair.a.system,
        "basis": pair.a.profile.basis,
        "basis_pair": pair.basis_pair,
        "debounce": pair.debounce,
        "now": pair.now,
        "as_of_a": pair.a.earliest,
        "as_of_hi_a": pair.a.latest,
        "as_of_b": pair.b.earliest,
        "as_of_hi_b": pair.b.latest,
        "watermark_a": pair.a.watermark,
        "watermark_b": pair.b.watermark,
        "absent_a": pair.a.absent,
        "absent_b": pair.b.absent,
        "a_clamps": pair.a.profile.clamps_at_zero,
        "a_whole_units": pair.a.profile.whole_units,
        "a_sellable": pair.a.profile.sellable,
        "events_incomplete": pair.a.events_incomplete or pair.b.events_incomplete,
        # DuckDB 2.0 cannot fold a choice between a text and a null
        "opening_a": opening["a"] or "",
        "opening_b": opening["b"] or "",
        "opens_first": "a" if steps[0] < steps[1] else "b" if steps[1] < steps[0] else "both",
        "hold_reason": Reason.MARKET_PENDING if pair.a.profile.name.startswith("marketplace.") else Reason.CART_HOLD,
        "tolerance_absolute": pair.tolerance.absolute,
        "tolerance_relative": pair.tolerance.relative,
        "safety_stock": pair.safety_stock,
        "returns_sellable": pair.returns_sellable,
        "own_kinds": pair.own_kinds,
        "correct": pair.correct,
        "several": _SEVERAL,
        "high_value": pair.high_value,
    }


def _opening(side: Side) -> Kind | None:
    """The step at which the side's number counts an order first."""
    return next((kind for kind in _STEPS if side.profile.coefficient(kind)), None)


def _effects(pair: Pair) -> pa.Table:
    families = _own_families(pair) if pair.own_kinds else {str(kind): FAMILIES.get(kind, str(kind)) for kind in Kind}
    kinds = list(families)
    return pa.table(
        {
            "kind": kinds,
            "family": list(families.values()),
            "by_document": [not pair.own_kinds and kind in BY_DOCUMENT for kind in kinds],
            "a": pa.array([pair.a.profile.coefficient(kind) for kind in kinds], pa.int8()),
            "b": pa.array([pair.b.profile.coefficient(kind) for kind in kinds], pa.int8()),
            "sla": pa.array([pair.sla.get(kind) for kind in kinds], pa.duration("us")),
        }
    )


def _own_families(pair: Pair) -> dict[str, str]:
    """The families of kinds that the profiles name.

    What both numbers count is a family of its own. Kinds that only one of them counts are one chain:
    nothing but one of the others can clear an authorisation that the other side counts as a capture.
    """
    a, b = pair.a.profile, pair.b.profile
    families = {}
    for kind in dict.fromkeys([*a.effects, *b.effects]):
        one_sided = bool(a.coefficient(kind)) != bool(b.coefficient(kind))
        families[str(kind)] = OWN if one_sided else f"{OWN} {kind}"
    return {**families, str(Kind.PUBLISH): str(Kind.PUBLISH)}


def _stock_sql(stock: pa.Table, side: str, pooled: bool) -> str:
    """The side's stock at the pair's locations; several warehouses behind one number are summed."""
    own = [name if stock[name].null_count < len(stock) else f"null::timestamptz as {name}" for name in _INSTANTS]
    columns = ", ".join(["sku, location, quantity, price", *own])
    if not pooled:
        return f"select {columns} from stock_{side}_raw"
    if side == "a":
        return f"select {columns} from stock_a_raw semi join place_a using (location)"
    return """
        select sku, p.location, sum(quantity)::quantity as quantity,
            min(as_of) as as_of, max(coalesce(as_of_hi, as_of)) as as_of_hi, max(price) as price
        from stock_b_raw s join place_b p on s.location = p.place
        group by sku, p.location"""


def _tell_documents(inputs: Inputs) -> bool:
    """Whether any posting names its document, or says what that document is about."""
    columns = [events[name] for events in (inputs.events_a, inputs.events_b) for name in ("doc", "document_quantity")]
    return any(column.null_count < len(column) for column in columns)


def _events_sql(inputs: Inputs, pair: Pair) -> str:
    """Both feeds in one view, at the pair's locations, with canonical references."""
    pooled = bool(pair.locations)
    return " union all ".join(
        f"""
        select '{side}' as side, kind, {_ref(normaliser, xref, "e.ref")} as ref, doc, sku,
            {"p.location" if pooled else "e.location"} as location, e.location as place,
            quantity, document_quantity, posted_at
        from {_once(events, side)} e
        {f"join place_{side} p on e.location = p.place" if pooled else ""}
        {f"left join xref_{side} x on x.raw = e.ref" if xref is not None else ""}"""
        for side, events, normaliser, xref in (
            ("a", inputs.events_a, pair.references_a, pair.xref_a),
            ("b", inputs.events_b, pair.references_b, pair.xref_b),
        )
    )


def _ref(normaliser: Normaliser, xref: pa.Table | None, column: str) -> str:
    """The canonical reference: as the cross-reference says, else normalised."""
    spelled = normaliser.sql(column)
    return spelled if xref is None else f"coalesce(x.ref, {spelled})"


def _once(events: pa.Table, side: str) -> str:
    """The feed with redelivered rows counted once; only a feed that has event ids pays for it."""
    ids = events.column("event_id")
    if ids.null_count == len(ids):
        return f"events_{side}_raw"
    return f"""(
        select * from events_{side}_raw
        qualify event_id is null or row_number() over (
            partition by event_id order by posted_at desc, kind, ref, sku, location, quantity, doc
        ) = 1)"""


def _row_as_of_sql() -> str:
    """The keys whose row says itself when it was read; empty where no export does."""
    return " union all ".join(
        f"select '{side}' as side, sku, location, as_of, coalesce(as_of_hi, as_of) as as_of_hi "
        f"from stock_{side} where as_of is not null"
        for side in ("a", "b")
    )


def _result(con: duckdb.DuckDBPyConnection, view: str, schema: pa.Schema) -> pa.Table:
    columns = ", ".join(f'"{f.name}"::{_sql_type(f.type)} as "{f.name}"' for f in schema)
    return con.sql(f"select {columns} from {view}").to_arrow_table()


def _sql_type(kind: pa.DataType) -> str:
    if pa.types.is_decimal(kind):
        return f"decimal({kind.precision}, {kind.scale})"
    if pa.types.is_timestamp(kind):
        return "timestamptz"
    return {pa.int32(): "integer", pa.int64(): "bigint"}.get(kind, "varchar")
