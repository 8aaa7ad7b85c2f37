"""Records to compare by key, field by field: what is compared with what (`fields` does it)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property

from reconcilers.durations import format_duration
from reconcilers.errors import ConfigError
from reconcilers.rules import Rule, Sides, difference, sides, within


class Duplicates(StrEnum):
    """What is done with a key that one side has more than once."""

    PAIR = "pair"
    REFUSE = "refuse"
    AGGREGATE = "aggregate"


@dataclass(frozen=True)
class Comparison:
    """What is compared with what.

    Args:
        key: the columns that name a record, as A calls them.
        name: the pair, as it is written into every row of the results.
        rules: how a column is compared; exactly where none is given.
        ignore: columns that are not compared.
        renamed: column of A: what B calls it.
        where_a: an SQL condition; other rows of A are not compared.
        where_b: the same for B.
        duplicates: PAIR makes pairs of equal copies first, then of the others in the order of their
            values; a copy that is left over is one difference. REFUSE raises. AGGREGATE makes one
            row of all copies: the sum of a number, the largest of any other value.
        changed_at: a column with the instant of a record's last change.
        settle: a record that changed so short a time before `now` is IN_FLIGHT.
        now: when it is judged.
    """

    key: tuple[str, ...]
    name: str = "left~right"
    rules: Mapping[str, Rule] = field(default_factory=dict)
    ignore: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    where_a: str | None = None
    where_b: str | None = None
    duplicates: Duplicates = Duplicates.PAIR
    changed_at: str | None = None
    settle: timedelta = timedelta(0)
    now: datetime | None = None

    def __post_init__(self) -> None:
        if not self.key:
            raise ConfigError("a comparison needs a key: the columns that name a record")
        if twice := sorted({name for name in self.key if self.key.count(name) > 1}):
            raise ConfigError(f"key column {twice[0]!r} is named twice")
        if self.settle and (self.changed_at is None or self.now is None):
            raise ConfigError(f"settle {format_duration(self.settle)} needs changed_at and the instant of judgement")


@dataclass(frozen=True)
class Column:
    """A column of both sides: its name in A and in B, the DuckDB types, and how it is compared."""

    name: str
    name_b: str
    type_a: str
    type_b: str
    rule: Rule
    number: int

    @property
    def a(self) -> str:
        """The column of A's value among the pairs."""
        return f"a{self.number}"

    @property
    def b(self) -> str:
        """The column of B's value among the pairs."""
        return f"b{self.number}"

    def sides(self, a: str, b: str) -> Sides:
        """The expressions that compare two values."""
        return sides(a, b, self.type_a, self.type_b, self.rule)

    @property
    def gap(self) -> str:
        """The expression of a − b."""
        return difference(self.a, self.b, self.type_a, self.type_b, self.rule)

    @property
    def differs(self) -> str:
        """The condition that the two values of a pair are not the same."""
        return self.sides(self.a, self.b).differ

    @property
    def near(self) -> str:
        """The column that says whether the two values are the same to a lenient rule."""
        return f"near{self.number}"

    @property
    def nearly(self) -> str:
        """The condition for `near`."""
        return within(self.a, self.b, self.gap, self.rule)

    @property
    def wrong(self) -> str:
        """The condition that they differ beyond what the rule allows."""
        return f"({self.differs} and not {self.near})" if self.rule.lenient else self.differs


@dataclass(frozen=True)
class SchemaDifference:
    """A column that the sides do not have alike; `kind` is missing_in_a, missing_in_b, type or order."""

    column: str
    kind: str
    a: str | None
    b: str | None


@dataclass(frozen=True)
class Layout:
    """Which columns are compared, how the two schemas differ, and whether records say when they changed."""

    keys: tuple[Column, ...]
    columns: tuple[Column, ...]
    differences: tuple[SchemaDifference, ...]
    dated: bool = False

    @cached_property
    def key_names(self) -> tuple[str, ...]:
        """What the key columns are called in the results."""
        return tuple(key_name(column.name) for column in self.keys)


#: The columns of `differences` beside the key.
RESULT_COLUMNS = ("pair", "column", "value_a", "value_b", "class", "reason", "difference", "age")

#: What a run adds to them: which difference it is, and since when.
IDENTITY_COLUMNS = ("break_id", "first_seen_run", "last_seen_run", "status")


def key_name(name: str) -> str:
    """What a key column is called in the results: not as one of their own columns."""
    return f"key.{name}" if name in (*RESULT_COLUMNS, *IDENTITY_COLUMNS) else name


def layout(a: Mapping[str, str], b: Mapping[str, str], comparison: Comparison) -> Layout:
    """Match the columns of two relations, given as name: DuckDB type.

    Raises:
        ConfigError: a column that the comparison names is not there.
    """
    named = [*comparison.key, *comparison.renamed, *([comparison.changed_at] if comparison.changed_at else [])]
    _there(named, a, "left")
    _there([comparison.renamed.get(name, name) for name in named], b, "right")
    _there([*comparison.rules, *comparison.ignore], {**a, **b}, "either side")
    in_b = {name: comparison.renamed.get(name, name) for name in a}
    taken = set(comparison.renamed.values())
    shared = [name for name in a if in_b[name] in b and (name in comparison.renamed or in_b[name] not in taken)]
    values = [name for name in shared if name not in comparison.key and name not in comparison.ignore]

    def column(name: str, number: int) -> Column:
        rule = comparison.rules.get(name, Rule())
        return Column(name, in_b[name], a[name], b[in_b[name]], rule, number)

    return Layout(
        keys=tuple(column(name, n) for n, name in enumerate(comparison.key)),
        columns=tuple(column(name, n) for n, name in enumerate(values)),
        differences=tuple(_schema_differences(a, b, shared, in_b, comparison.ignore)),
        dated=comparison.changed_at is not None,
    )


def _there(names: Sequence[str], have: Mapping[str, str], where: str) -> None:
    for name in names:
        if name not in have:
            raise ConfigError(f"no column {name!r} on {where}; there are {', '.join(have)}")


def _schema_differences(
    a: Mapping[str, str], b: Mapping[str, str], shared: list[str], in_b: Mapping[str, str], ignore: Sequence[str]
) -> list[SchemaDifference]:
    back = {in_b[name]: name for name in shared}
    found = [SchemaDifference(n, "missing_in_b", a[n], None) for n in a if n not in shared and n not in ignore]
    found += [SchemaDifference(n, "missing_in_a", None, b[n]) for n in b if n not in back and n not in ignore]
    found += [SchemaDifference(n, "type", a[n], b[in_b[n]]) for n in shared if a[n] != b[in_b[n]]]
    if shared != [back[n] for n in b if n in back]:
        found.append(SchemaDifference("", "order", ", ".join(shared), ", ".join(n for n in b if n in back)))
    return found
