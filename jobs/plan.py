"""From configuration to work: which captures and which pairs, with everything they need."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from jobs import records
from jobs.config import Config
from jobs.config_orders import Spelling
from jobs.config_pair import BalancePair, PairConfig
from jobs.config_system import Dataset, System
from jobs.config_tables import text_table
from jobs.published import events_snapshot, refused_of
from jobs.workspace import Workspace
from pipelines import snapshots
from pipelines.capture import CaptureRequest
from pipelines.connectors import Context
from pipelines.reconcile import PairTask
from pipelines.snapshots import Snapshot
from reconcilers import kits
from reconcilers.errors import ConfigError
from reconcilers.kits import Kits
from reconcilers.mapping import Mapping as ColumnMapping
from reconcilers.pairs import Pair, Side, Tolerance
from reconcilers.parsing import factors
from reconcilers.references import Normaliser
from reconcilers.schemas import goods_schema, packs_schema
from reconcilers.shares import Shares

Sources = dict[str, dict[str, Snapshot]]


def dataset_names(system: System) -> dict[str, Dataset]:
    """The datasets of a system by the name of their snapshots: `stock`, `events`, `events-2` and so on."""
    named: dict[str, Dataset] = {"stock": system.stock} if system.stock else {}
    for number, events in enumerate(system.events, 1):
        named["events" if number == 1 else f"events-{number}"] = events
    return named


def captures(config: Config, systems: Iterable[str]) -> list[CaptureRequest]:
    """One capture per dataset of the systems, in the order of the configuration."""
    wanted = set(systems)
    return [
        _capture(config, name, dataset, definition)
        for name, system in config.places.items()
        if name in wanted
        for dataset, definition in dataset_names(system).items()
    ]


def systems_of(config: Config, pairs: Iterable[str]) -> list[str]:
    """The systems whose stock the pairs compare, and their balances, each once."""
    stock = [pair for pair in pairs if isinstance(config.pair(pair), PairConfig)]
    return list(dict.fromkeys(name for pair in stock for name in pair.split("~")))


def sides_of(config: Config, pairs: Iterable[str]) -> list[tuple[str, str]]:
    """Every dataset that the pairs need, as system and dataset: stock and events, and records."""
    names = list(pairs)
    stock = [(system, each) for system in systems_of(config, names) for each in dataset_names(config.system(system))]
    return [*stock, *records.sides(config, names)]


def newest_snapshots(
    config: Config,
    workspace: Workspace,
    sides: Iterable[tuple[str, str]],
    chosen: Mapping[str, str],
    now: datetime | None = None,
) -> Sources:
    """The newest complete snapshot of every dataset, or the one chosen (`system/dataset` or `system`).

    With `now`, the newest that is of that instant or before.

    Raises:
        ConfigError: a dataset has no such snapshot yet.
    """
    found: Sources = {}
    for system, dataset in sides:
        found.setdefault(system, {})[dataset] = _snapshot(workspace, system, dataset, chosen, now)
    return found


def stored_snapshots(workspace: Workspace, ids: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, Snapshot]]:
    """The snapshots with these ids, by system and dataset."""
    return {
        system: {dataset: snapshots.load(workspace.root, system, dataset, each) for dataset, each in found.items()}
        for system, found in ids.items()
    }


def stored_captures(workspace: Workspace, sides: Iterable[tuple[str, str]]) -> list[datetime]:
    """The instants at which all of these datasets had been captured, one a capture, oldest first."""
    captures: dict[str, datetime] = {}
    complete: list[datetime] = []
    for system, dataset in sides:
        found = snapshots.list_snapshots(workspace.root, system, dataset)
        if not found:
            return []
        complete.append(min(each.manifest.as_of_hi or each.manifest.as_of for each in found))
        for each in found:
            # Captures of one run share the beginning of their ids: its instant of judgement.
            stamp = each.manifest.snapshot_id.split("-")[0]
            judged = datetime.strptime(stamp, "%Y%m%dT%H%M%S%z")
            last = each.manifest.as_of_hi or each.manifest.as_of
            captures[stamp] = max(captures.get(stamp, judged), last)
    return sorted({at for at in captures.values() if at >= max(complete)})


def tasks(
    config: Config,
    workspace: Workspace,
    pairs: Iterable[str],
    sources: Mapping[str, Mapping[str, Snapshot]],
    now: datetime,
    previous: Mapping[str, str | None],
) -> list[PairTask]:
    """What the reconcile pipeline needs for each pair; `previous` is the run that each goes on from."""
    directories = {name: run and workspace.run_directory(run) for name, run in previous.items()}
    return [_task(config, workspace, name, sources, now, directories[name]) for name in pairs]


def own_names(system: System) -> dict[str, list[str]]:
    """What a system calls those SKUs that its aliases name."""
    names: dict[str, list[str]] = {}
    aliases = text_table(system.aliases, ("raw", "sku"))
    for row in [] if aliases is None else aliases.to_pylist():
        names.setdefault(row["sku"], []).append(row["raw"])
    return names


def _capture(config: Config, system: str, dataset: str, definition: Dataset) -> CaptureRequest:
    owner = config.system(system)
    timezone = definition.timezone or owner.timezone
    return CaptureRequest(
        system=system,
        dataset=dataset,
        profile=definition.profile,
        connector=definition.connector,
        options=dict(definition.options),
        context=Context(base=str(config.base), timezone=timezone, dataset=dataset),
        mapping=ColumnMapping(
            dataset="stock" if dataset == "stock" else "events",
            scale=config.decimals,
            aliases=text_table(owner.aliases, ("raw", "sku")),
            units=text_table(owner.units, ("sku", "unit", "factor")),
            kits=text_table(owner.kits, kits.COLUMNS),
            **{**definition.mapping_kwargs(), "timezone": timezone},
        ),
        config_hash=config.config_hash,
        buckets=config.buckets,
    )


def _snapshot(
    workspace: Workspace, system: str, dataset: str, chosen: Mapping[str, str], now: datetime | None
) -> Snapshot:
    wanted = chosen.get(f"{system}/{dataset}", chosen.get(system))
    if wanted is not None:
        return snapshots.load(workspace.root, system, dataset, wanted)
    found = snapshots.list_snapshots(workspace.root, system, dataset)
    if not found:
        raise ConfigError(f"no snapshot of {system}/{dataset} yet; `recon snapshot {system}` takes one")
    if now is None:
        return found[-1]
    by_then = [each for each in found if (each.manifest.as_of_hi or each.manifest.as_of) <= now]
    if not by_then:
        first = min(each.manifest.as_of for each in found)
        raise ConfigError(
            f"no snapshot of {system}/{dataset} as of {now.isoformat()}; the first is of {first.isoformat()}"
        )
    return max(by_then, key=lambda each: (each.manifest.as_of, each.manifest.finished_at))


def _task(
    config: Config,
    workspace: Workspace,
    name: str,
    sources: Mapping[str, Mapping[str, Snapshot]],
    now: datetime,
    previous: str | None,
) -> PairTask:
    a, b = name.split("~")
    sides = {system: _side(config, system, sources[system]) for system in (a, b)}
    published = {
        system: events_snapshot(workspace, system, side.profile, config.decimals, sources[system]["stock"])
        for system, side in sides.items()
    }
    return PairTask(
        pair=_pair(config, workspace, name, sides, now),
        stock_a=sources[a]["stock"],
        stock_b=sources[b]["stock"],
        events_a=(*_feeds(config, a, sources[a]), *published[a]),
        events_b=(*_feeds(config, b, sources[b]), *published[b]),
        previous=previous,
        kits=_kits(config.system(a)),
    )


def _pair(config: Config, workspace: Workspace, name: str, sides: Mapping[str, Side], now: datetime) -> Pair:
    """What is compared and how it is judged, as the configuration says."""
    a, b = name.split("~")
    rules = config.stock_pair(name)
    return Pair(
        name=name,
        a=sides[a],
        b=sides[b],
        now=now,
        sla={str(kind): longest for kind, longest in rules.sla.items()},
        locations=rules.locations,
        references_a=_normaliser(rules, "a"),
        references_b=_normaliser(rules, "b"),
        xref_a=text_table(_spelling(rules, "a").xref, ("raw", "ref")),
        xref_b=text_table(_spelling(rules, "b").xref, ("raw", "ref")),
        tolerance=Tolerance(rules.tolerance.absolute, rules.tolerance.relative),
        safety_stock=rules.safety_stock,
        goods=_goods(rules, config.decimals),
        packs=_packs(config.system(a), config.system(b)),
        refused=refused_of(workspace, name, config.decimals, now),
        shares=None if rules.shares is None else Shares(rules.shares.weights, rules.shares.caps),
        returns_sellable=rules.returns_sellable,
        debounce=rules.debounce,
        high_value=rules.high_value,
        own_kinds=isinstance(rules, BalancePair),
        correct=not isinstance(rules, BalancePair) or rules.publish,
        scale=config.decimals,
    )


def _side(config: Config, system: str, found: Mapping[str, Snapshot]) -> Side:
    manifest = found["stock"].manifest
    definition = config.system(system).stock
    watermarks = [s.manifest.watermark for s in _events(found) if s.manifest.watermark is not None]
    return Side(
        system=system,
        profile=config.profile(system),
        as_of=manifest.as_of,
        as_of_hi=manifest.as_of_hi,
        watermark=min(watermarks, default=None),
        absent=Decimal(0) if definition is not None and definition.absent_means == "zero" else None,
    )


def _goods(rules: PairConfig, scale: int) -> pa.Table | None:
    """The rules of every SKU that has a class.

    Raises:
        ConfigError: a SKU in two classes, or in one that has no rules.
    """
    table = text_table(rules.goods, ("sku", "class"))
    if table is None:
        return None
    rows: dict[str, dict[str, object]] = {}
    for row in table.to_pylist():
        known = rules.classes.get(row["class"])
        if known is None:
            raise ConfigError(f"{rules.goods}: {row['sku']!r} is of class {row['class']!r}, which has no rules")
        if row["sku"] in rows:
            raise ConfigError(f"{rules.goods}: {row['sku']!r} is there twice")
        tolerance = known.tolerance
        rows[row["sku"]] = {
            "sku": row["sku"],
            "tolerance_absolute": tolerance and tolerance.absolute,
            "tolerance_relative": tolerance and tolerance.relative,
            "safety_stock": known.safety_stock,
        }
    return pa.Table.from_pylist(list(rows.values()), schema=goods_schema(scale))


def _kits(target: System) -> Kits | None:
    """What the target sells as one SKU and the authority keeps as parts."""
    table = text_table(target.kits, kits.COLUMNS)
    return None if table is None else Kits.from_table(table)


def _packs(*systems: System) -> pa.Table | None:
    """The pack sizes that the systems' units know."""
    tables = [table for system in systems if (table := text_table(system.units, ("sku", "unit", "factor"))) is not None]
    if not tables:
        return None
    ratios = pa.concat_tables([factors(table) for table in tables])
    whole = ratios.filter(pc.and_(pc.equal(ratios["denominator"], 1), pc.greater(ratios["numerator"], 1)))
    return pa.table([whole["sku"], whole["numerator"]], schema=packs_schema()).group_by(["sku", "factor"]).aggregate([])


def _events(found: Mapping[str, Snapshot]) -> tuple[Snapshot, ...]:
    return tuple(snapshot for dataset, snapshot in found.items() if dataset.startswith("events"))


def _feeds(config: Config, system: str, found: Mapping[str, Snapshot]) -> tuple[Snapshot, ...]:
    """Every snapshot that the feeds of a system consist of."""
    looks = {name: each.look_back for name, each in dataset_names(config.system(system)).items()}
    return tuple(each for newest in _events(found) for each in feed(newest, looks[newest.manifest.dataset]))


def feed(newest: Snapshot, look_back: timedelta) -> tuple[Snapshot, ...]:
    """The snapshots that make up a feed, oldest capture first.

    An incremental feed gives each event once, so its earlier snapshots belong to it, as far back as
    `look_back` before the newest one's watermark. An event that is in several is known by its id.
    """
    reach = newest.manifest.watermark
    if not newest.manifest.incremental or reach is None:
        return (newest,)
    return tuple(
        each
        for each in snapshots.up_to(newest)
        if each.manifest.incremental
        and each.manifest.watermark is not None
        and each.manifest.watermark >= reach - look_back
    )


def _spelling(rules: PairConfig, side: str) -> Spelling:
    own: Spelling | None = getattr(rules.references, side)
    return own or rules.references


def _normaliser(rules: PairConfig, side: str) -> Normaliser:
    own = _spelling(rules, side)
    return Normaliser(tuple(own.strip_prefix), own.case)
