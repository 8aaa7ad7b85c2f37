"""From the corrections of a run to what would be sent, and whether it may be."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from jobs.plan import own_names
from jobs.publication import Publication
from jobs.published import unsettled
from pipelines import filesystem
from pipelines.connectors import Context
from pipelines.publish import Target
from pipelines.queries import Queries, queries, write_rows
from pipelines.reconcile import part_paths
from reconcilers import approvals, gates
from reconcilers.corrections import Mode, safest
from reconcilers.errors import ConfigError
from reconcilers.gates import Facts, SnapshotFacts, Verdict
from reconcilers.published import totals
from reconcilers.schemas import corrections_schema, outgoing_schema

_PENDING = "an earlier one for the same number is on its way"
_NAMELESS = "the target has several names for the SKU"

#: Earlier runs that the usual number of rows is taken from.
_TRAILING = 7


@dataclass(frozen=True)
class Planned:
    """The file of what would be sent (`outgoing_schema`), and why others cannot be, with their number."""

    path: str
    number: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)


def targets(publication: Publication) -> dict[str, Target]:
    """The target of every pair that has corrections.

    Raises:
        ConfigError: a target's configuration does not say where it takes corrections.
    """
    return {
        name: target_of(publication, pair["target"])
        for name, pair in publication.origin["pairs"].items()
        if pair["corrections"]
    }


def target_of(publication: Publication, system: str) -> Target:
    """A system as something that takes corrections. Raises `ConfigError` where it is not."""
    config, rules = publication.config, publication.rules
    owner = config.system(system)
    if owner.sink is None:
        raise ConfigError(f"systems.{system} has no sink, so nothing can be sent to it")
    return Target(
        name=system,
        connector=owner.sink.connector,
        options=owner.sink.options,
        context=Context(base=str(config.base), timezone=owner.timezone, dataset="corrections"),
        rate=rules.rate,
        concurrency=rules.concurrency,
    )


@contextmanager
def planned(publication: Publication, now: datetime) -> Iterator[Planned]:
    """The plan of a run as it was made, or as it would be made now. Raises what `plan` does."""
    if filesystem.exists(publication.plan):
        yield Planned(publication.plan)
        return
    with tempfile.TemporaryDirectory(prefix="recon-plan-") as scratch:
        yield plan(publication, now, str(Path(scratch) / "plan.parquet"))


def plan(publication: Publication, now: datetime, path: str) -> Planned:
    """Write every correction of the run down as it would be sent now.

    A key whose last correction is neither seen nor expired is left out: two of them could both be
    applied. So is a SKU that the target knows under several names.

    Raises:
        ConfigError: a target takes no corrections.
        Unreachable: a target's sink cannot be opened.
    """
    left_out: Counter[str] = Counter()
    empty = outgoing_schema(publication.config.decimals).empty_table()
    with queries() as ask:
        parts = (
            part
            for name, target in targets(publication).items()
            for part in _planned(publication, ask, name, target, now, left_out)
        )
        number = write_rows(path, chain([empty], parts))
    return Planned(path, number, dict(+left_out))


def judge(publication: Publication, ask: Queries, now: datetime) -> list[Verdict]:
    """What every gate says of `planned`, pair by pair."""
    bounds = publication.rules.bounds.bounds()
    earlier = [] if publication.is_rollback else _earlier(publication)
    found = totals(ask.con)
    return [
        verdict
        for name, pair in publication.origin["pairs"].items()
        if pair["corrections"]
        for verdict in gates.judge(_facts(publication, name, pair, found.get(name, {}), earlier, now), bounds)
    ]


def _planned(
    publication: Publication, ask: Queries, pair: str, target: Target, now: datetime, left_out: Counter[str]
) -> Iterator[pa.Table]:
    """The corrections of a pair as they would be sent, piece by piece; counts in `left_out` those that cannot be."""
    unsettled(publication, ask, target.name, now)
    mode = _mode(target)
    schema = corrections_schema(publication.config.decimals)
    ask.show("correction", part_paths(publication.directory, "corrections", pair), schema)
    left_out[_PENDING] += ask.number("select count(*) from correction semi join unsettled using (sku, location)")
    for piece in ask.at("correction", "select place from correction anti join unsettled using (sku, location)"):
        named = _named(publication, piece, target.name)
        left_out[_NAMELESS] += len(piece) - len(named)
        yield _decided(publication, named, target, mode, now)


def _mode(target: Target) -> Mode:
    """The safest way in which a target takes corrections."""
    sink = target.open()
    try:
        return safest(sink.modes)
    finally:
        sink.close()


def _decided(publication: Publication, corrections: pa.Table, target: Target, mode: Mode, now: datetime) -> pa.Table:
    """The columns that are decided here: mode, the target's words, approval, identity in time."""
    rules = publication.rules
    owner = publication.config.system(target.name)
    words = owner.sink.reasons if owner.sink else {}
    decided: dict[str, Any] = {
        "mode": str(mode),
        "reason": _told(corrections["reason"], words),
        "status": "PROPOSED",
        "run_id": publication.run_id,
        "reference": pc.binary_join_element_wise("gid://recon/Correction/", corrections["correction_id"], ""),
        "why": corrections["reason"],
        "approval": approvals.why(corrections, rules.approval.rules()),
        "attempt": 1,
        "created_at": now,
        "expires_at": now + rules.expires,
    }
    schema = outgoing_schema(publication.config.decimals)
    columns = [_column(decided, corrections, field) for field in schema]
    return pa.table(columns, schema=schema)


def _column(decided: Mapping[str, Any], corrections: pa.Table, field: pa.Field) -> pa.ChunkedArray | pa.Array:
    """A column that was decided here, one value for all where it is no column; or as the run has it."""
    made = decided.get(field.name, corrections)
    if made is corrections:
        return corrections[field.name].cast(field.type)
    if isinstance(made, pa.Array | pa.ChunkedArray):
        return made.cast(field.type)
    if isinstance(made, list):
        return pa.array(made, field.type)
    return pa.repeat(pa.scalar(made, field.type), len(corrections))


def _told(column: pa.ChunkedArray, words: Mapping[str, str]) -> pa.Array:
    """A column of text with the words that stand for others."""
    coded = column.combine_chunks().dictionary_encode()
    return pa.array([words.get(text, text) for text in coded.dictionary.to_pylist()], pa.string()).take(coded.indices)


def _named(publication: Publication, corrections: pa.Table, system: str) -> pa.Table:
    """The corrections with `target_sku`, the name that the target's own aliases have for the SKU."""
    own = own_names(publication.config.system(system))
    ambiguous = [sku for sku, names in own.items() if len(names) > 1]
    known = corrections.filter(pc.invert(pc.is_in(corrections["sku"], pa.array(ambiguous, pa.string()))))
    words = {sku: names[0] for sku, names in own.items()}
    return known.append_column("target_sku", _told(known["sku"], words) if words else known["sku"])


def _facts(
    publication: Publication,
    name: str,
    pair: Mapping[str, Any],
    total: Mapping[str, Any],
    earlier: list[Mapping[str, Any]],
    now: datetime,
) -> Facts:
    classes = pair.get("classes", {})
    return Facts(
        pair=name,
        keys=pair["keys"],
        corrections=total.get("corrections", 0),
        units=total.get("units", Decimal(0)),
        value=total.get("value", Decimal(0)),
        largest=total.get("largest", Decimal(0)),
        to_zero=total.get("to_zero", 0),
        unmapped=sum(classes.get(missing, {}).get("keys", 0) for missing in ("MISSING_IN_A", "MISSING_IN_B")),
        failed=sum(len(each.get("critical", ())) for each in publication.origin.get("validation", ())),
        snapshots=() if publication.is_rollback else tuple(_snapshots(publication.origin, name, earlier, now)),
        superseded_by=None if publication.is_rollback else _superseded(publication, name),
    )


def _snapshots(
    origin: Mapping[str, Any], pair: str, earlier: list[Mapping[str, Any]], now: datetime
) -> Iterable[SnapshotFacts]:
    for each in origin["snapshots"]:
        if each["system"] in pair.split("~"):
            is_feed = each["dataset"] != "stock"
            yield SnapshotFacts(
                name=f"{each['system']}/{each['dataset']}",
                rows=each["rows"],
                earlier=tuple(_rows(earlier, each)),
                age=None if is_feed else _since(each["as_of"], now),
                feed_age=_since(each["watermark"] or each["as_of"], now) if is_feed else None,
            )


def _rows(earlier: list[Mapping[str, Any]], snapshot: Mapping[str, Any]) -> Iterable[int]:
    """The rows of the same dataset in the runs before, each snapshot once."""
    seen = {snapshot["snapshot_id"]}
    for run in earlier:
        for each in run["snapshots"]:
            same = (each["system"], each["dataset"]) == (snapshot["system"], snapshot["dataset"])
            if same and each["snapshot_id"] not in seen:
                seen.add(each["snapshot_id"])
                yield each["rows"]


def _earlier(publication: Publication) -> list[Mapping[str, Any]]:
    """The finished runs before this one, as many as a median needs."""
    began = publication.origin["started_at"]
    runs = [run for run in publication.workspace.runs() if run["started_at"] < began and run["pairs"]]
    return list(runs[-_TRAILING:])


def _superseded(publication: Publication, pair: str) -> str | None:
    began = publication.origin["started_at"]
    later = [r["run_id"] for r in publication.workspace.runs() if r["started_at"] > began and pair in r["pairs"]]
    return later[-1] if later else None


def _since(instant: str, now: datetime) -> timedelta:
    return now - datetime.fromisoformat(instant)
