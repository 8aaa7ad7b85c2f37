"""Sink `bigquery`: corrections into a table, each once, for whoever reads it.

What becomes of them is seen later, in the target's next snapshot: a receipt says SENT.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pydantic import Field

from pipelines.connectors import Context
from pipelines.connectors.bigquery_client import Place, Warehouse, told
from reconcilers.corrections import Correction, Mode, Receipt, Status

if TYPE_CHECKING:
    from google.cloud import bigquery

#: A correction's fields → their types in BigQuery.
_COLUMNS = {
    "idempotency_key": "STRING", "correction_id": "STRING", "run_id": "STRING", "pair": "STRING",
    "target": "STRING", "sku": "STRING", "location": "STRING", "basis": "STRING", "mode": "STRING",
    "value": "NUMERIC", "change_from": "NUMERIC", "delta": "NUMERIC", "reason": "STRING",
    "reference": "STRING", "created_at": "TIMESTAMP", "expires_at": "TIMESTAMP",
}  # fmt: skip


class SinkOptions(Place):
    """Where corrections go in BigQuery."""

    table: str = Field(pattern=r"^(?:[a-z][a-z0-9.:-]*\.)?\w+\.\w+$", description="dataset.table, made where missing")


class Sink:
    """A table that collects corrections, partitioned by the day on which they were sent."""

    modes = frozenset(Mode)
    batch_size = 500

    def __init__(self, options: SinkOptions, context: Context) -> None:
        self.options = options
        self.warehouse = Warehouse(options.place)
        self.table = options.table if options.table.count(".") == 2 else f"{options.project}.{options.table}"
        self.ready = False

    def send(self, corrections: Sequence[Correction]) -> list[Receipt]:
        """Add those whose key is not there yet, in one statement."""
        from google.cloud import bigquery

        names = ", ".join(_COLUMNS)
        values = ", ".join(f"s.{name}" for name in _COLUMNS)
        with told(f"bigquery://{self.table}"):
            self._begin()
            self.warehouse.run(
                f"merge `{self.table}` t using unnest(@rows) s on t.idempotency_key = s.idempotency_key"
                f" when not matched then insert ({names}, sent_at) values ({values}, current_timestamp())",
                query_parameters=[bigquery.ArrayQueryParameter("rows", "STRUCT", _once(corrections))],
            )
        return [Receipt(each.idempotency_key, Status.SENT) for each in corrections]

    def observe(self, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Decimal] | None:
        """A table of corrections does not show what the target shows."""
        return None

    def close(self) -> None:
        """Let go of connections."""
        self.warehouse.close()

    def _begin(self) -> None:
        """Make the table where there is none."""
        from google.cloud import bigquery

        if self.ready:
            return
        columns = [bigquery.SchemaField(name, kind) for name, kind in {**_COLUMNS, "sent_at": "TIMESTAMP"}.items()]
        table = bigquery.Table(self.table, schema=columns)
        table.time_partitioning = bigquery.TimePartitioning(field="sent_at")
        self.warehouse.client.create_table(table, exists_ok=True, **self.warehouse.bounds)
        self.ready = True


def _once(corrections: Sequence[Correction]) -> list[bigquery.StructQueryParameter]:
    """The rows of a batch, each key once: a merge would add it as often as it is there."""
    from google.cloud import bigquery

    def value(correction: Correction, name: str) -> Any:
        found = getattr(correction, name)
        return str(found) if _COLUMNS[name] == "STRING" else found

    return [
        bigquery.StructQueryParameter(
            None, *(bigquery.ScalarQueryParameter(name, kind, value(each, name)) for name, kind in _COLUMNS.items())
        )
        for each in {each.idempotency_key: each for each in corrections}.values()
    ]
