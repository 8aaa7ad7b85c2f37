"""JSON Lines of a bulk export, in which a child names its parent: each child with its parents, in bounded memory.

DuckDB joins them, so children may stand anywhere in the file; what does not fit its memory goes to disk.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from reconcilers.errors import Unreachable

_MEMORY = "512MB"
_BATCH = 20_000

_LINES = """
create or replace table line as
select row_number() over () as number, json, json ->> '$.id' as id, json ->> $parent as parent
from read_ndjson_objects($paths, maximum_object_size = 16777216)
"""

# A row is a child that is nobody's parent; what is above it comes along.
_ROWS = """
select child.number, child.json::varchar, parent.json::varchar, grandparent.json::varchar
from line as child
left join line as parent on parent.id = child.parent
left join line as grandparent on grandparent.id = parent.parent
where
    child.parent is not null
    and (child.id is null or child.id not in (select parent from line where parent is not null))
"""

_ORPHANS = """
select count(*), min(child.parent)
from line as child
anti join line as parent on parent.id = child.parent
where child.parent is not null
"""


@contextmanager
def opened(directory: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database with little memory, which goes on in a directory of its own, and no way to the network."""
    connection = duckdb.connect()
    try:
        spilled = str(directory / "spilled").replace("'", "''")
        connection.execute(f"set temp_directory = '{spilled}'")
        connection.execute("set autoinstall_known_extensions = false")
        connection.execute("set enable_progress_bar = false")
        connection.execute(f"set memory_limit = '{_MEMORY}'")
        connection.execute("set threads = 2")
        yield connection
    finally:
        connection.close()


def load(connection: duckdb.DuckDBPyConnection, paths: Sequence[Path], parent: str, name: str) -> None:
    """Read files into the table `line` (number, json, id, parent).

    Raises:
        Unreachable: a line is not JSON, the file is cut off, or a child's parent is not in it.
    """
    try:
        connection.execute(_LINES, {"paths": [str(path) for path in paths], "parent": f'$."{parent}"'})
    except duckdb.Error as error:
        raise Unreachable(f"{name}: cut off or damaged: {' '.join(str(error).split())[:120]}") from error
    orphans, missing = connection.execute(_ORPHANS).fetchall()[0]
    if orphans:
        raise Unreachable(f"{name}: cut off: {orphans} lines without their parent, such as {missing}")


def children(connection: duckdb.DuckDBPyConnection) -> Iterator[tuple[list[int], list[dict[str, Any]]]]:
    """The lines and the records of what was loaded, its parent as `parent`, that one's as `parent.parent`."""
    for batch in connection.sql(_ROWS).to_arrow_reader(_BATCH):
        numbers, *texts = (column.to_pylist() for column in batch.columns)
        yield numbers, [_nested(*each) for each in zip(*texts, strict=True)]


def _nested(child: str, parent: str | None, grandparent: str | None) -> dict[str, Any]:
    record: dict[str, Any] = _loads(child)
    if parent is not None:
        record["parent"] = _loads(parent)
        if grandparent is not None:
            record["parent"]["parent"] = _loads(grandparent)
    return record


def _loads(text: str) -> Any:
    return json.loads(text, parse_float=Decimal, parse_constant=str)
