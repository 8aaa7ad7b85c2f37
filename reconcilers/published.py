"""Published corrections as facts: what became of each, and what the next run has to expect (DESIGN 9)."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from reconcilers.profiles import EffectProfile
from reconcilers.schemas import Kind, events_schema, refused_schema

#: The steps in SQL: each makes a view of relations that are there (their files say which).
_SQL = {
    step: (Path(__file__).parent / "sql" / f"{step}.sql").read_text(encoding="utf-8")
    for step in ("fates", "published", "settled", "standing", "totals", "inverse", "summed", "moved")
}


def fates(con: duckdb.DuckDBPyConnection) -> None:
    """Make `fate` of `outgoing` and `receipt`: the last thing known of each correction (`receipts_schema`).

    What was on its way out and has no receipt may have been applied: SENT.
    """
    con.execute(_SQL["fates"])


def standing(con: duckdb.DuckDBPyConnection) -> None:
    """Make `standing` of `planned`, `fate`, `decision` and `held`: which are left, and which may go out.

    Columns `place`, `is_free` (nobody has to approve it any more), `is_held` (by a gate).
    """
    con.execute(_SQL["standing"])


def totals(con: duckdb.DuckDBPyConnection) -> dict[str, dict[str, Any]]:
    """What the gates look at, of `planned`: for each pair what `Facts` calls so."""
    con.execute(_SQL["totals"])
    return {row["pair"]: row for row in con.sql("from total").to_arrow_table().to_pylist()}


def inverse(con: duckdb.DuckDBPyConnection, run_id: str) -> None:
    """Make `inverse` of `fate`: what undoes all that took effect (`corrections_schema`), as corrections of a run."""
    con.execute("set variable run = ?", [run_id])
    con.execute(_SQL["inverse"])


def postings(con: duckdb.DuckDBPyConnection) -> None:
    """Make `published_event` of `fate`: what corrections did, whatever number shows it (`events_schema`).

    Two a correction: the fault (at the instant of the snapshot that showed it) and its correction (when
    the target took it). `source_file` is the target.
    """
    con.execute(_SQL["published"])


def summed(con: duckdb.DuckDBPyConnection) -> None:
    """Make `sum_of_postings` of `posted`: one a key, for numbers younger than all of them (`events_schema`)."""
    con.execute(_SQL["summed"])


def events(posted: pa.Table, profile: EffectProfile, scale: int) -> pa.Table:
    """Postings as the events of a number; one that does not move on PUBLISH has none."""
    sign = profile.coefficient(Kind.PUBLISH)
    if sign == 0 or not len(posted):
        return events_schema(scale).empty_table()
    at = posted.schema.get_field_index("quantity")
    moved = pc.multiply(posted["quantity"], sign).cast(posted.schema.field(at).type)
    return posted.set_column(at, posted.schema.field(at), moved)


def refused(con: duckdb.DuckDBPyConnection, scale: int) -> pa.Table:
    """The keys of `answered` whose last correction the target refused (`refused_schema`)."""
    found = con.sql(
        """
        select
            sku, location, unexplained,
            'refused ' || strftime(answered_at, '%Y-%m-%d') || coalesce(': ' || nullif(message, ''), '') as evidence
        from answered
        qualify row_number() over (partition by sku, location order by answered_at desc, correction_id) = 1
            and status = 'REJECTED'
        """
    )
    return found.to_arrow_table().cast(refused_schema(scale))


def settled(con: duckdb.DuckDBPyConnection) -> None:
    """Make `settled` of the corrections `fate` and the numbers `level` of one pair: as new rows of `receipts_schema`.

    VERIFIED: the number is what it should be by now. STALE: it was acknowledged, and is undone. EXPIRED: it
    was handed over, never arrived, and may not arrive any more. Of the others nothing can be said yet.
    """
    con.execute(_SQL["settled"])


def moved(con: duckdb.DuckDBPyConnection, profile: EffectProfile, now: datetime) -> None:
    """Make `moved` of `key` (`sku, location, as_of`) and `event`: how far each number has moved since it was read.

    Columns `sku, location, moved`; 0 where nothing happened.

    Args:
        con: has `event`, the target's feed, as fresh as can be had.
        profile: says what each kind does to the number.
        now: later events have not happened yet.
    """
    effects = {
        "kind": pa.array([str(kind) for kind in profile.effects], pa.string()),
        "coefficient": pa.array(list(profile.effects.values()), pa.int32()),
    }
    con.register("effect", pa.table(effects))
    con.execute("set variable now = ?", [now])
    con.execute(_SQL["moved"])
