"""A kit that the target shows is checked against what its parts make, wherever their buckets are."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import captures
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import capture as capturing
from pipelines.capture import capture
from pipelines.reconcile import PairTask, read_output, reconcile_snapshots
from reconcilers import profiles
from reconcilers.kits import COLUMNS, Kits
from reconcilers.mapping import Mapping
from reconcilers.pairs import Pair, Side

AS_OF = datetime(2026, 11, 23, 2, tzinfo=UTC)
KITS = pa.table(
    dict(
        zip(COLUMNS, (["SET", "SET", "BOX", "OWN"], ["CUP", "PLATE", "CUP", "CUP"], ["4", "2", "6", "1"]), strict=True)
    )
)

#: The shop has sold 2 sets that the ERP does not know yet: 8 cups and 4 plates.
SHOP = {"CUP": 92, "PLATE": 16, "SET": 8, "BOX": 15, "OWN": 3}
ERP = {"CUP": 100, "PLATE": 20, "OWN": 3}


def snapshot_of(tmp_path, system, dataset, rows):
    path = tmp_path / f"{system}-{dataset}.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    request = captures.request(
        tmp_path, Mapping(dataset, kits=KITS if dataset == "events" else None), buckets=8, dataset=dataset,
        path=path.name, as_of={"from": "value", "value": AS_OF.isoformat()},
    )  # fmt: skip
    (found,) = capture([capturing.replace(request, system=system)], str(tmp_path / "ws"), AS_OF)
    return found


@pytest.fixture
def task(tmp_path):
    def stock(numbers, place):
        return [{"sku": sku, "location": place, "quantity": str(number)} for sku, number in numbers.items()]

    order = {
        "kind": "PLACE",
        "ref": "1",
        "sku": "SET",
        "location": "web",
        "quantity": "2",
        "posted_at": "2026-11-23T01:00:00Z",
    }
    sides = [
        Side(name, profiles.load(profile), AS_OF)
        for name, profile in (("shop", "storefront.available"), ("erp", "erp.on_hand"))
    ]
    return PairTask(
        Pair("shop~erp", *sides, now=AS_OF, locations={"web": ("BER",)}),
        snapshot_of(tmp_path, "shop", "stock", stock(SHOP, "web")),
        snapshot_of(tmp_path, "erp", "stock", stock(ERP, "BER")),
        (snapshot_of(tmp_path, "shop", "events", [order]),),
        kits=Kits.from_table(KITS),
    )


def verdicts(task, directory):
    reconcile_snapshots([task], "run", str(directory))
    levels = read_output(str(directory), "levels").to_pylist()
    return {row["sku"]: (row["class"], row["quantity_b"], row["unexplained"]) for row in levels}


def test_kits_are_judged_by_their_parts(task, tmp_path):
    """92 cups and 16 plates make min(23, 8) = 8 sets and 92 // 6 = 15 boxes; OWN is packed by the ERP itself."""
    found = verdicts(task, tmp_path / "run")
    assert found["SET"] == ("MATCHED", Decimal(8), Decimal(0))
    assert found["BOX"] == ("MATCHED", Decimal(15), Decimal(0))
    assert found["OWN"] == ("MATCHED", Decimal(3), Decimal(0))
    assert found["CUP"][0] == found["PLATE"][0] == "IN_FLIGHT"


def test_without_the_table_nobody_has_them(task, tmp_path):
    found = verdicts(replace(task, kits=None), tmp_path / "run")
    assert found["SET"][0] == found["BOX"][0] == "MISSING_IN_B"
