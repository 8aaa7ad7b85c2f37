"""`recon demo`: a week of real order lines with a few faults, the real job, and whether it found them.

The demo knows what is right for every key (`jobs.oracle`), so it can say that the run found exactly
what was seeded, no more and no less.
"""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jobs import commands
from jobs.faults import seed_faults
from jobs.merchant import Fault, Merchant, read_lines, replay
from jobs.merchant_exports import CONFIG, WRITTEN, write_exports
from jobs.oracle import ORDERS_PAIR, Key, OrderFinding, judge, judge_orders
from jobs.run import Progress
from pipelines.reconcile import read_output, read_parts
from pipelines.records import DIFFERENCES
from reconcilers.errors import ConfigError, Unreachable
from reconcilers.schemas import Class, Reason
from reports import text
from reports.orders import finding, linked

#: A verdict as it is written in a run: class and reason.
Found = tuple[str, str | None]

_FINE = ("MATCHED", "IN_FLIGHT")
_MISSING: Found = ("not judged", None)

#: What a run writes beside the exports.
_WORKSPACE = ("dq_results", "runs", "snapshots", "ledger.sqlite")


@dataclass(frozen=True)
class DemoOutcome:
    """A finished demo: the run, the faults that were seeded, the right verdicts and those found.

    `differing` are the keys whose two numbers differ: what a plain diff reports. `orders_expected` and
    `orders_found` are what there is to find about orders, with the stock that each explains.
    """

    run: commands.Outcome
    directory: Path
    faults: tuple[Fault, ...]
    expected: Mapping[Key, Found]
    found: Mapping[Key, Found]
    differing: frozenset[Key]
    orders_expected: frozenset[OrderFinding]
    orders_found: frozenset[OrderFinding]

    @property
    def exact(self) -> bool:
        """Whether every key and order got the verdict that is right, and none is missing or made up."""
        sound = self.orders_expected == self.orders_found
        return sound and not self.wrong and all(self._is_found(fault) for fault in self.faults)

    @property
    def wrong(self) -> list[Key]:
        """The keys whose verdict is not the right one."""
        keys = sorted(self.expected.keys() | self.found.keys())
        return [key for key in keys if self.expected.get(key, _MISSING) != self.found.get(key, _MISSING)]

    def document(self) -> dict[str, Any]:
        """The outcome as data."""
        return {
            "exact": self.exact,
            "seeded": [{**asdict(fault), "found": _words(self._found(fault))} for fault in self.faults],
            "wrong": [
                {
                    "pair": key[0],
                    "sku": key[1],
                    "location": key[2],
                    "expected": _words(self.expected.get(key, _MISSING)),
                    "found": _words(self.found.get(key, _MISSING)),
                }
                for key in self.wrong
            ],
            "wrong_orders": sorted(self._wrong_orders()),
            "keys": len(self.found),
            "plain_diff": {"keys": len(self.differing), "faults_missed": self._unseen()},
            "report": self.run.report_path,
            "summary": self.run.summary,
        }

    def text(self) -> str:
        """The verdict, what was seeded beside what was found, and what to try next."""
        config = shlex.quote(str(self.directory / "recon.yaml"))
        hidden = next(fault.sku for fault in self.faults if fault.kind == "hidden drift")
        lost = next(fault.order for fault in self.faults if fault.kind == "lost order")
        return "\n".join(
            [
                self.run.words,
                "",
                text.table(
                    [
                        {
                            "seeded": fault.story,
                            "where": _where(fault),
                            "found as": _words(self._found(fault)),
                        }
                        for fault in self.faults
                    ],
                    ["seeded", "where", "found as"],
                ),
                "",
                self._conclusion(),
                f"A plain diff reports {len(self.differing):,} of the {len(self.found):,} keys, "
                f"and misses {self._unseen()} of the faults.",
                self._of_orders(),
                "",
                f"report: {self.run.report_path}",
                f"next:   recon explain {hidden} -c {config}",
                f"        recon explain {lost} -c {config}",
                f"        recon export latest corrections -c {config}",
                f"        recon diff -c {config}",
            ]
        )

    def _conclusion(self) -> str:
        if self.exact:
            return f"all {len(self.faults)} seeded faults found, nothing else: exact"
        lost = [fault.story for fault in self.faults if not self._is_found(fault)]
        seeded = {_key(fault) for fault in self.faults}
        lines = [f"not found: {story}" for story in lost]
        lines += [
            f"wrong: {sku} at {location} ({pair}) is {_words(self.found.get((pair, sku, location), _MISSING))}, "
            f"not {_words(self.expected.get((pair, sku, location), _MISSING))}"
            for pair, sku, location in self.wrong
            if (pair, sku, location) not in seeded
        ]
        lines += self._wrong_orders()
        return "\n".join([f"not exact: {len(lines)} verdicts are wrong, which is a bug", *lines[:20]])

    def _wrong_orders(self) -> list[str]:
        missed, made_up = self.orders_expected - self.orders_found, self.orders_found - self.orders_expected
        return [
            f"{what}: order {each.order} {each.where or ''} {_words((each.cls, each.reason))}, "
            f"which explains {', '.join(sorted(sku for _, sku, _ in each.stock)) or 'no stock'}"
            for what, of in (("not found", missed), ("wrong", made_up))
            for each in of
        ]

    def _of_orders(self) -> str:
        """Which of the faults are faults of orders, and where they lead."""
        faults = [each for each in self.orders_found if each.cls is not Class.IN_FLIGHT]
        linked_to = sum(bool(each.stock) for each in faults)
        return f"{len(faults)} of the faults are faults of orders, {linked_to} of which explain a stock number."

    def _unseen(self) -> int:
        """How many faults are at keys whose two numbers are equal, or at none."""
        return sum(_key(fault) not in self.differing for fault in self.faults)

    def _found(self, fault: Fault) -> Found:
        if fault.pair != ORDERS_PAIR:
            return self.found.get(_key(fault), _MISSING)
        of_order = [each for each in self.orders_found if (each.order, each.reason) == (fault.order, fault.reason)]
        return (str(of_order[0].cls), str(of_order[0].reason)) if of_order else _MISSING

    def _is_found(self, fault: Fault) -> bool:
        return self._found(fault) == (fault.cls, fault.reason)


def run_demo(directory: Path, seed: int, progress: Progress) -> DemoOutcome:
    """Make the demo's workspace in `directory`, run its job, and compare what it found.

    An earlier demo there is replaced.

    Raises:
        ConfigError: the directory holds something else.
        Unreachable: it cannot be written.
    """
    progress("replaying a week of real order lines …")
    merchant = seeded_merchant(seed)
    try:
        _make_room(directory)
        write_exports(merchant, directory)
    except OSError as error:
        raise Unreachable(f"{error.filename or directory}: {error.strerror or error}") from error
    outcome = commands.run_job(directory / "recon.yaml", "nightly", progress)
    columns = ["pair", "sku", "location", "raw_diff", "class", "reason"]
    run = str(Path(outcome.report_path).parent)
    levels = read_output(run, "levels", None, columns).to_pylist()
    verdicts = {(row["pair"], row["sku"], row["location"]): row for row in levels}
    return DemoOutcome(
        run=outcome,
        directory=directory,
        faults=merchant.faults,
        expected={key: (str(cls), reason and str(reason)) for key, (cls, reason) in judge(merchant).items()},
        found={key: (row["class"], row["reason"]) for key, row in verdicts.items()},
        differing=frozenset(key for key, row in verdicts.items() if row["raw_diff"] != 0),
        orders_expected=frozenset(judge_orders(merchant)),
        orders_found=frozenset(_order_findings(run)),
    )


def _order_findings(run: str) -> Iterable[OrderFinding]:
    """What the run found about orders."""
    rows = (row for part in read_parts(run, DIFFERENCES, ORDERS_PAIR) for row in part.to_pylist())
    for each in linked(map(finding, rows), read_output(run, "breaks"), read_output(run, "in_flight")):
        stock = frozenset((link.pair, link.sku, link.location) for link in each.stock)
        verdict = Class(each.class_name), Reason(each.reason or Reason.UNEXPLAINED)
        moving = verdict[0] is Class.IN_FLIGHT
        yield OrderFinding(each.ref, each.line or each.doc, *verdict, frozenset() if moving else stock)


def seeded_merchant(seed: int) -> Merchant:
    """The merchant of a seed, faults and all."""
    return seed_faults(replay(read_lines(), seed), seed)


def _make_room(directory: Path) -> None:
    """Remove an earlier demo, and nothing else.

    Raises:
        ConfigError: there is something that no demo has written.
    """
    if not directory.exists():
        return
    if not directory.is_dir():
        raise ConfigError(f"{directory}: is a file; name a directory for the demo")
    foreign = _foreign(directory)
    if foreign is not None:
        raise ConfigError(f"{directory}: {foreign} is not of an earlier demo; name an empty or new directory")
    for name in (*_WORKSPACE, "exports"):
        if (directory / name).is_dir():
            shutil.rmtree(directory / name)
        else:
            (directory / name).unlink(missing_ok=True)
    for name in WRITTEN:
        (directory / name).unlink(missing_ok=True)


def _foreign(directory: Path) -> str | None:
    """Something in the directory that is not of a demo; None if there is nothing."""
    there = sorted(directory.iterdir())
    config = directory / "recon.yaml"
    mark = CONFIG.read_text(encoding="utf-8").splitlines()[0]
    if there and not (config.is_file() and config.read_text(encoding="utf-8", errors="replace").startswith(mark)):
        return there[0].name
    exports = directory / "exports"
    known = {directory / name for name in (*WRITTEN, *_WORKSPACE)}
    known |= {folder for path in known for folder in path.parents}
    inside = sorted(exports.rglob("*")) if exports.is_dir() else []
    strange = (path for path in [*there, *inside] if path not in known or path.is_symlink())
    return next((str(path.relative_to(directory)) for path in strange), None)


def _key(fault: Fault) -> Key:
    return (fault.pair, fault.sku, fault.location)


def _where(fault: Fault) -> str:
    return f"order {fault.order}" if fault.pair == ORDERS_PAIR else f"{fault.sku} at {fault.location}"


def _words(found: Found) -> str:
    return " ".join(word for word in found if word)
