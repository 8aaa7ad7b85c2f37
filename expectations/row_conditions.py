"""Row conditions of Great Expectations as SQL: its condition objects, and the plain texts of pandas.

Nothing is executed: a text is parsed, and what is not a comparison of a column with a constant is
refused. A null is treated as pandas does: it is different from everything.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from expectations.columns import Column, column
from reconcilers.errors import ConfigError

_GE_COLUMN = re.compile(r"""col\((["'])([^"']+)\1\)""")
_SIGNS: dict[type, str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.In: "IN",
    ast.NotIn: "NOT_IN",
}
_TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}


def to_sql(condition: str | Mapping[str, Any], schema: pa.Schema) -> str:
    """The condition as SQL.

    Args:
        condition: the text of a pandas or `great_expectations` condition, or a condition object as
            its dictionary (`type` comparison, nullity, and, or, pass_through).
        schema: of the rows.

    Raises:
        ConfigError: it is not a comparison of columns with constants, or a column does not exist.
    """
    if isinstance(condition, str):
        return _of_text(condition, schema)
    kind = condition["type"]
    if kind == "pass_through":
        return _of_text(condition["pass_through_filter"], schema)
    if kind in ("and", "or"):
        return f" {kind} ".join(f"({to_sql(each, schema)})" for each in condition["conditions"])
    of = column(schema, condition["column"]["name"])
    if kind == "nullity":
        return f"{of.sql} is {'' if condition['is_null'] else 'not '}null"
    return _comparison(of, str(condition["operator"]), condition["parameter"])


def _comparison(of: Column, sign: str, value: Any) -> str:
    if sign in ("IN", "NOT_IN"):
        known = of.listed(value)
        inside = f"({of.sql} in ({known})) is true" if known else "false"
        return inside if sign == "IN" else f"not ({inside})"
    literal = of.literal(value)
    if sign in ("==", "!="):
        if literal is None:
            return "false" if sign == "==" else "true"
        return f"({of.sql} = {literal}) is true" if sign == "==" else f"{of.sql} is distinct from {literal}"
    return f"({of.sql} {sign} {of.bound(value, 'row_condition')}) is true"


def _of_text(text: str, schema: pa.Schema) -> str:
    plain = _GE_COLUMN.sub(lambda found: f"_column_({found.group(2)!r})", text)
    plain = re.sub(r"`([^`]+)`", lambda found: f"_column_({found.group(1)!r})", plain)
    try:
        return _Reader(schema, text).read(ast.parse(plain.strip(), mode="eval").body)
    except SyntaxError as error:
        raise ConfigError(f"row_condition {text!r} cannot be read: {error.msg}") from error


class _Reader:
    """Reads the syntax tree of a condition."""

    def __init__(self, schema: pa.Schema, text: str) -> None:
        self._schema = schema
        self._text = text

    def read(self, node: ast.expr) -> str:
        """The condition in SQL."""
        match node:
            case ast.BoolOp(op=joint, values=parts):
                word = " and " if isinstance(joint, ast.And) else " or "
                return word.join(f"({self.read(part)})" for part in parts)
            case ast.BinOp(left=left, op=ast.BitAnd() | ast.BitOr() as joint, right=right):
                word = "and" if isinstance(joint, ast.BitAnd) else "or"
                return f"({self.read(left)}) {word} ({self.read(right)})"
            case ast.UnaryOp(op=ast.Not() | ast.Invert(), operand=operand):
                return f"not ({self.read(operand)})"
            case ast.Call(func=ast.Attribute(value=of, attr="isnull" | "isna" | "notnull" | "notna" as name), args=[]):
                return f"{self._column(of).sql} is {'not ' if name.startswith('not') else ''}null"
            case ast.Compare(left=left, ops=ops, comparators=others):
                chain = zip([left, *others[:-1]], ops, others, strict=True)
                return " and ".join(f"({self._compare(a, op, b)})" for a, op, b in chain)
        raise self._refused(node)

    def _compare(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> str:
        sign = _SIGNS.get(type(op))
        if sign is None:
            raise self._refused(left)
        if self._is_column(right) and not self._is_column(left) and sign in _TURNED:
            left, right, sign = right, left, _TURNED[sign]
        return _comparison(self._column(left), sign, self._constant(right))

    def _is_column(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Name | ast.Call)

    def _column(self, node: ast.expr) -> Column:
        match node:
            case ast.Name(id=name) | ast.Call(func=ast.Name(id="_column_"), args=[ast.Constant(value=str(name))]):
                return column(self._schema, name)
        raise self._refused(node)

    def _constant(self, node: ast.expr) -> Any:
        try:
            return ast.literal_eval(node)
        except ValueError as error:
            raise self._refused(node) from error

    def _refused(self, node: ast.expr) -> ConfigError:
        return ConfigError(
            f"row_condition {self._text!r}: {ast.unparse(node)!r} is refused; "
            "compare columns with constants, joined by and, or, not"
        )
