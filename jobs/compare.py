"""`recon compare`: two files, globs or database URLs, compared by key without a configuration."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

import duckdb
import yaml

from pipelines import filesystem
from pipelines.relations import Relation, database, is_database, relation
from reconcilers.database import connect
from reconcilers.errors import ConfigError, Unreachable
from reconcilers.fields import Judged, Rows, judge
from reconcilers.formulas import defused_sql
from reconcilers.records import Comparison, Duplicates
from reconcilers.rules import Rule, literal, quoted
from reconcilers.schemas import Class, Reason
from reports import comparison as reporting
from reports import html, junit
from reports.comparison import ComparisonReport, SideReport

#: DuckDB goes to disk beyond so many MB, and so many more for each value column after the first, so that two files
#: of any length are compared in bounded memory. A join sets aside more than it takes: for 10 million rows a side,
#: which take 1 GB, it must be so much with 2 to 8 threads; with less it goes to disk, and takes more time and memory.
MEMORY, MEMORY_A_COLUMN = 1500, 60

#: What the differences may be written as, by the end of the file's name. Keys are all different: looking for a
#: dictionary of them ends early.
FORMATS = {
    ".parquet": "format parquet, compression zstd, compression_level 1, dictionary_size_limit 2000",
    ".csv": "format csv, header true",
    ".jsonl": "format json",
}


@dataclass(frozen=True)
class Asked:
    """What the command line says."""

    left: str
    right: str
    key: tuple[str, ...]
    tolerance: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    renamed: tuple[str, ...] = ()
    duplicates: str = Duplicates.PAIR
    output: Path | None = None
    html: Path | None = None
    junit: Path | None = None


def compare(asked: Asked) -> ComparisonReport:
    """Compare, write what is asked for, and report.

    Raises:
        ConfigError: a column or an option is wrong.
        Unreachable: a side cannot be read, or a file cannot be written.
        ExpectationsFailed: a key is there more than once, and that is refused.
    """
    comparison = _comparison(asked)
    if asked.output is not None and asked.output.suffix not in FORMATS:
        raise ConfigError(f"--output {asked.output}: its name ends in none of {', '.join(FORMATS)}")
    with tempfile.TemporaryDirectory(prefix="recon-compare-") as scratch, connect() as con:
        con.execute(f"set temp_directory = {literal(str(Path(scratch) / 'spill'))}")
        con.execute("set preserve_insertion_order = false")
        base = str(Path.cwd())
        left = relation(asked.left, base, Path(scratch) / "left")
        right = relation(asked.right, base, Path(scratch) / "right")
        values = len(con.sql(f"from {left.sql}").columns) - len(comparison.key)
        con.execute(f"set memory_limit = '{MEMORY + MEMORY_A_COLUMN * max(0, values - 1)}MB'")
        judged = judge(con, comparison, left.sql, right.sql)
        if asked.output is not None:
            _write(judged, asked.output)
        report = _report(asked, judged, left, right)
    if asked.html is not None:
        filesystem.write_atomic(str(asked.html), html.render_comparison(report).encode())
    if asked.junit is not None:
        filesystem.write_atomic(str(asked.junit), junit.render_comparisons({report.name: report}))
    return report


def _comparison(asked: Asked) -> Comparison:
    return Comparison(
        key=tuple(_listed(asked.key)),
        rules={name: _tolerance(name, bound) for name, bound in _pairs(asked.tolerance, "--tolerance", "price=0.01")},
        ignore=tuple(_listed(asked.ignore)),
        renamed=dict(_pairs(asked.renamed, "--map", "price=unit_price")),
        duplicates=_policy(asked.duplicates),
    )


def _policy(name: str) -> Duplicates:
    if name not in list(Duplicates):
        raise ConfigError(f"--duplicates {name!r} is not one of {', '.join(Duplicates)}")
    return Duplicates(name)


def _listed(given: Iterable[str]) -> list[str]:
    """Names that were given one by one, or with commas between them."""
    return [name.strip() for each in given for name in each.split(",") if name.strip()]


def _pairs(given: Iterable[str], option: str, example: str) -> Iterable[tuple[str, str]]:
    for each in given:
        name, sign, value = each.partition("=")
        if not sign or not name.strip() or not value.strip():
            raise ConfigError(f"{option} {each!r} is not like {example}")
        yield name.strip(), value.strip()


def _tolerance(name: str, bound: str) -> Rule:
    """A bound as it is, or in percent of the larger value."""
    number = bound.removesuffix("%")
    try:
        value = Decimal(number)
    except InvalidOperation:
        raise ConfigError(f"--tolerance {name}={bound}: {number!r} is not a number") from None
    if not value.is_finite():
        raise ConfigError(f"--tolerance {name}={bound}: {number!r} is not a number")
    return Rule(relative=value / 100, number=True) if bound.endswith("%") else Rule(absolute=value, number=True)


def _write(judged: Judged, output: Path) -> None:
    partial = output.with_name(f".{output.name}.partial")
    rows = _plain(judged) if output.suffix == ".csv" else _coded(judged)
    try:
        judged.con.execute(f"copy ({rows}) to {literal(str(partial))} ({FORMATS[output.suffix]})")
        partial.replace(output)
    except (duckdb.IOException, OSError) as error:
        raise Unreachable(f"{output}: {' '.join(str(error).split())[:200]}") from error


def _coded(judged: Judged) -> str:
    """The query for the differences with its few words as codes: a fifth less to write, and the same when read."""
    words: dict[str, list[str]] = {
        "pair": [judged.comparison.name],
        "column": [column.name for column in judged.layout.columns],
        "class": list(Class),
        "reason": list(Reason),
    }
    coded = []
    for name, each in words.items():
        if each:
            judged.con.execute(f"create or replace type coded_{name} as enum ({', '.join(map(literal, each))})")
            coded.append(f"{quoted(name)}::coded_{name} as {quoted(name)}")
    return f"select * replace ({', '.join(coded)}) from ({judged.differences})"


def _plain(judged: Judged) -> str:
    """The differences without a cell that a spreadsheet would run."""
    shown = judged.con.sql(judged.differences)
    texts = [quoted(name) for name, kind in zip(shown.columns, shown.types, strict=True) if str(kind) == "VARCHAR"]
    plain = ", ".join(f"{defused_sql(name)} as {name}" for name in texts)
    return f"select * replace ({plain}) from ({judged.differences})"


def _report(asked: Asked, judged: Judged, left: Relation, right: Relation) -> ComparisonReport:
    tally = judged.tally().to_pylist()
    columns = judged.column_stats().to_pylist()
    records = reporting.records(tally)
    schema = [asdict(each) for each in judged.layout.differences]
    a, b = _side(asked.left, judged.a, left), _side(asked.right, judged.b, right)
    left_out = any(side.rejected or side.without_key for side in (a, b))
    unlike = sum(records.values()) - records["equal"]
    return ComparisonReport(
        name=f"{a.name} against {b.name}",
        a=a,
        b=b,
        key=judged.comparison.key,
        records=records,
        columns=columns,
        schema=schema,
        frequent=judged.frequent().to_pylist(),
        samples=judged.samples().to_pylist(),
        same=not (unlike or left_out or any(each["kind"].startswith("missing") for each in schema)),
        output=None if asked.output is None else str(asked.output),
        hints=reporting.by_value(columns),
        nightly=nightly(asked, judged, left, right),
    )


def _side(place: str, rows: Rows, read: Relation) -> SideReport:
    return SideReport(_shown(place), rows.read, read.rejected, rows.without_key, rows.folded, read.first_reject)


def _shown(place: str) -> str:
    """A path or URL without what may be a password."""
    return re.sub(r"(://[^:/@]+):[^@]*@", r"\1:***@", place)


def nightly(asked: Asked, judged: Judged, left: Relation, right: Relation) -> str:
    """The part of a recon.yaml that compares the same every night."""
    keys, both = judged.layout.keys, [*judged.layout.keys, *judged.layout.columns]
    rows = {
        "left": {"key": [c.name for c in keys], "columns": [c.name for c in both]},
        "right": {"key": [c.name_b for c in keys], "columns": [c.name_b for c in both]},
    }
    pair: dict[str, object] = {"kind": "records"}
    if renamed := {c.name: c.name_b for c in judged.layout.columns if c.name != c.name_b}:
        pair["map"] = renamed
    if judged.comparison.rules:
        pair["rules"] = {name: _written(rule) for name, rule in judged.comparison.rules.items()}
    if judged.comparison.duplicates is not Duplicates.PAIR:
        pair["duplicates"] = str(judged.comparison.duplicates)
    document = {
        "systems": {
            "left": {"records": {"rows": {**_dataset(asked.left, "LEFT_URL", left), **rows["left"]}}},
            "right": {"records": {"rows": {**_dataset(asked.right, "RIGHT_URL", right), **rows["right"]}}},
        },
        "pairs": {"left.rows~right.rows": pair},
        "jobs": {"nightly": {"pairs": ["left.rows~right.rows"]}},
    }
    return yaml.safe_dump(document, sort_keys=False, default_flow_style=None, allow_unicode=True, width=100)


def _written(rule: Rule) -> dict[str, object]:
    bound = {"relative": str(rule.relative)} if rule.relative else {"absolute": str(rule.absolute)}
    return {"tolerance": bound}


def _dataset(place: str, variable: str, read: Relation) -> dict[str, object]:
    """Where a side comes from; the address of a database, which may have a password, is not repeated."""
    if is_database(place):
        connector, options = database(place)
        secret = {"url": f"${{{variable}}}"} if "url" in options else {}
        return {"connector": connector, **options, **secret}
    path = place if filesystem.is_remote(place) else str(Path(place).absolute())
    dialect = {} if read.delimiter in (None, ",") else {"delimiter": read.delimiter}
    return {"connector": "files", "path": path, **dialect, "as_of": {"from": "mtime"}}
