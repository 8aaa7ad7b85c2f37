"""The results of runs in BigQuery, for dashboards: partitioned tables and views over them.

A run replaces what the dataset has of it: each table is loaded as Parquet into a table beside it, then one
statement takes out the rows of the run and puts in the new ones. So a run may be sent again at any time,
and nobody sees half of it; the table `runs`, which the views begin with, comes last.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from importlib.resources import files
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines import differences
from pipelines.connectors.bigquery_client import Place, Warehouse, told
from pipelines.reconcile import SCHEMAS, read_parts
from reconcilers.schemas import INSTANT, TEXT

#: Outputs of a run that are loaded as they are.
OUTPUTS = ("levels", "breaks", "in_flight", "corrections")

_WIDE = pa.decimal128(38, 9)

#: What the summary of a run says, as tables.
_TOLD = {
    "classes": pa.schema(
        [("pair", TEXT), ("class", TEXT), ("keys", pa.int64()), ("units", _WIDE), ("value", _WIDE)]
    ),
    "snapshots": pa.schema(
        [("system", TEXT), ("dataset", TEXT), ("snapshot_id", TEXT), ("as_of", INSTANT), ("watermark", INSTANT),
         ("row_count", pa.int64()), ("rejected", pa.int64())]
    ),
    "validation": pa.schema(
        [("system", TEXT), ("dataset", TEXT), ("success", pa.bool_()), ("evaluated", pa.int64()),
         ("failed", pa.int64()), ("messages", TEXT)]
    ),
    "runs": pa.schema(
        [("pair", TEXT), ("job", TEXT), ("target", TEXT), ("authority", TEXT), ("keys", pa.int64()),
         ("verdict", TEXT), ("started_at", INSTANT), ("finished_at", INSTANT)]
    ),
}  # fmt: skip

#: The columns by which a table is clustered, where it has them.
_CLUSTERED = ("pair", "class", "sku", "system")

_TYPES = {"string": "STRING", "int32": "INTEGER", "int64": "INTEGER", "bool": "BOOLEAN", "double": "FLOAT"}

_IN_SQL = {
    "STRING": "string",
    "INTEGER": "int64",
    "FLOAT": "float64",
    "BOOLEAN": "bool",
    "NUMERIC": "numeric",
    "TIMESTAMP": "timestamp",
}

VIEWS = ("current_breaks", "current_differences", "quality_by_run", "freshness")


def load_run(place: Place, dataset: str, directory: str, summary: Mapping[str, Any]) -> dict[str, int]:
    """Load the outputs of a finished run, whose directory and summary are given; `dataset` is made where missing.

    Returns:
        Rows by table.

    Raises:
        Unreachable: no answer, or no permission. Whole tables may be loaded; do it again.
        ConfigError: the project or dataset is not what the configuration says.
    """
    warehouse = Warehouse(place)
    loading = _Loading(warehouse, f"{place.project}.{dataset}", summary)
    counts = {}
    try:
        with told(f"bigquery://{loading.dataset}"):
            warehouse.client.create_dataset(dataset, exists_ok=True, **warehouse.bounds)
            for output in OUTPUTS:
                counts[output] = loading.replace(output, SCHEMAS[output](), read_parts(directory, output))
            for name, schema in differences.SCHEMAS.items():
                counts[name] = loading.replace(name, schema, differences.read_table(name, directory, summary))
            for name, schema in _TOLD.items():
                rows = pa.Table.from_pylist(list(_rows(name, summary)), schema=schema)
                counts[name] = loading.replace(name, schema, [rows])
            for view in VIEWS:
                warehouse.run(view_sql(view, loading.dataset))
    finally:
        warehouse.close()
    return counts


def view_sql(view: str, dataset: str) -> str:
    """The statement that makes a view; `dataset` is `project.dataset`."""
    text = files("pipelines").joinpath("views", f"{view}.sql").read_text(encoding="utf-8")
    return text.replace("{dataset}", dataset)


class _Loading:
    """A run on its way into the tables of a dataset."""

    def __init__(self, warehouse: Warehouse, dataset: str, summary: Mapping[str, Any]) -> None:
        self.warehouse = warehouse
        self.dataset = dataset
        self.run_id = str(summary["run_id"])
        self.run_at = datetime.fromisoformat(summary["now"])

    def replace(self, name: str, schema: pa.Schema, tables: Iterable[pa.Table]) -> int:
        """Put rows into a table in the place of all that it has of this run; returns how many."""
        schema = pa.schema([("run_id", TEXT), ("run_at", INSTANT), *((f.name, _wide(f.type)) for f in schema)])
        beside = f"{self.dataset}.staging_{name}_{hashlib.sha256(self.run_id.encode()).hexdigest()[:12]}"
        self._make(f"{self.dataset}.{name}", schema)
        client, bounds = self.warehouse.client, self.warehouse.bounds
        client.delete_table(beside, not_found_ok=True, **bounds)
        self._make(beside, schema, expires=True)
        with tempfile.TemporaryFile() as file:
            rows = self._write(file, schema, tables)
            self._load(file, beside)
        self._swap(f"{self.dataset}.{name}", beside, schema)
        client.delete_table(beside, not_found_ok=True, **bounds)
        return rows

    def _make(self, table_id: str, schema: pa.Schema, *, expires: bool = False) -> None:
        from google.cloud import bigquery

        fields = [bigquery.SchemaField(field.name, _type(field.type)) for field in schema]
        table = bigquery.Table(table_id, schema=fields)
        if expires:
            table.expires = self.warehouse.instant + timedelta(days=1)
        else:
            table.time_partitioning = bigquery.TimePartitioning(field="run_at")
            table.clustering_fields = [name for name in _CLUSTERED if name in schema.names] or None
        made = self.warehouse.client.create_table(table, exists_ok=True, **self.warehouse.bounds)
        known = {field.name for field in made.schema}
        for new in (field for field in fields if field.name not in known):
            kind = _IN_SQL[new.field_type]
            self.warehouse.run(f"alter table `{table_id}` add column if not exists `{new.name}` {kind}")

    def _write(self, file: BinaryIO, schema: pa.Schema, tables: Iterable[pa.Table]) -> int:
        """One Parquet file, a table at a time, each row with the run that it is of."""
        rows = 0
        with pq.ParquetWriter(file, schema, compression="zstd") as writer:
            for table in tables:
                run = [pa.repeat(pa.scalar(value, kind), len(table))
                       for value, kind in ((self.run_id, TEXT), (self.run_at, INSTANT))]  # fmt: skip
                wanted = table.select(schema.names[2:]).columns
                columns = [*run, *wanted]
                writer.write_table(pa.table(columns, names=schema.names).cast(schema))
                rows += len(table)
        return rows

    def _load(self, file: BinaryIO, table_id: str) -> None:
        from google.cloud import bigquery

        config = bigquery.LoadJobConfig(source_format="PARQUET", write_disposition="WRITE_APPEND")
        job = self.warehouse.client.load_table_from_file(
            file, table_id, rewind=True, job_config=config, timeout=self.warehouse.seconds
        )
        self.warehouse.finish(job)

    def _swap(self, table_id: str, beside: str, schema: pa.Schema) -> None:
        """One statement: out with the rows of the run, in with those beside."""
        from google.cloud.bigquery import ScalarQueryParameter

        columns = ", ".join(f"`{name}`" for name in schema.names)
        self.warehouse.run(
            f"merge `{table_id}` t using `{beside}` s on false"
            " when not matched by source and t.run_at = @run_at and t.run_id = @run_id then delete"
            f" when not matched by target then insert ({columns}) values ({columns})",
            query_parameters=[
                ScalarQueryParameter("run_at", "TIMESTAMP", self.run_at),
                ScalarQueryParameter("run_id", "STRING", self.run_id),
            ],
        )


def _wide(kind: pa.DataType) -> pa.DataType:
    """A run may count with any number of decimals; BigQuery's NUMERIC has nine."""
    return _WIDE if pa.types.is_decimal(kind) else kind


def _type(kind: pa.DataType) -> str:
    if pa.types.is_decimal(kind):
        return "NUMERIC"
    return "TIMESTAMP" if pa.types.is_timestamp(kind) else _TYPES[str(kind)]


def _rows(name: str, summary: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The rows of a table that the summary tells."""
    pairs, records = summary["pairs"].items(), summary.get("records", {}).items()
    if name == "classes":
        for pair, found in pairs:
            for kind, amounts in found["classes"].items():
                exact = {key: Decimal(amounts[key]) for key in ("units", "value")}
                yield {"pair": pair, "class": kind, "keys": amounts["keys"], **exact}
        for pair, found in records:
            for kind, count in found["classes"].items():
                yield {"pair": pair, "class": kind, "keys": count}
    elif name == "snapshots":
        for snapshot in summary["snapshots"]:
            instants = {key: _instant(snapshot[key]) for key in ("as_of", "watermark")}
            yield {**snapshot, **instants, "row_count": snapshot["rows"]}
    elif name == "validation":
        for result in summary["validation"]:
            yield {**result, "messages": "\n".join(result["messages"])}
    else:
        instants = {key: _instant(summary[key]) for key in ("started_at", "finished_at")}
        of_run = {**instants, "job": summary["job"], "verdict": summary["verdict"]}
        for pair, found in pairs:
            yield {**found, **of_run, "pair": pair}
        for pair, found in records:
            yield {**found, **of_run, "pair": pair, "keys": found["records"]}


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
