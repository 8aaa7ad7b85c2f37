"""The connector `files`, as a user meets it: files in, snapshot rows and rejects out."""

from __future__ import annotations

import gzip
import json
import os
from datetime import UTC, datetime
from decimal import Decimal

import captures
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.connectors import csv_text, json_lines
from pipelines.connectors.files import Options, _from_name
from reconcilers.errors import ConfigError, Unreachable
from reconcilers.mapping import Mapping
from reconcilers.schemas import Kind

take, rows, rejects = captures.take, captures.rows, captures.rejects

HEAD = b"sku,location,quantity\n"


def stock(tmp_path, data, name="stock.csv", **options):
    (tmp_path / name).write_bytes(data)
    return take(tmp_path, path=name, **options)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_any_line_ends_and_byte_order_mark(tmp_path, end, mark):
    data = mark + HEAD.replace(b"\n", end) + b"A,w,1" + end + b"B,w,2"
    assert rows(stock(tmp_path, data), "sku", "quantity", "source_line") == [("A", 1, 2), ("B", 2, 3)]


def test_lines_are_the_physical_ones(tmp_path):
    data = HEAD + b'A,w,1\n"multi\nline",w,2\nshort,w\n\nB,w,x\n"two\n\nmore",w,3,4\nC,w,5\n'
    snapshot = stock(tmp_path, data)
    assert rows(snapshot, "sku", "source_line") == [("A", 2), ("multi\nline", 3), ("C", 11)]
    assert rejects(snapshot) == [(5, "too few fields"), (7, "quantity: not a number"), (8, "too many fields")]


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from(["good", "long", "short", "blank", "wide"]), min_size=1, max_size=30),
    st.booleans(),
)
def test_every_line_is_accounted_for(kinds, small_blocks):
    """Kept and rejected lines together are the lines of the file, whatever the mixture and block size."""
    texts = {"good": "A,w,1", "long": '"x\ny\nz",w,1', "short": "A,w", "blank": "", "wide": 'A,w,1,"2\n3"'}
    kinds = [*kinds, "good"]
    data = HEAD + "".join(texts[kind] + "\n" for kind in kinds).encode()
    starts, line = [], 2
    for kind in kinds:
        starts.append(line)
        line += 1 + texts[kind].count("\n")
    import io

    before = csv_text.BLOCK
    csv_text.BLOCK = 32 if small_blocks else before
    try:
        batches = list(csv_text.read(io.BytesIO(data), "f.csv", csv_text.Dialect()))
    finally:
        csv_text.BLOCK = before
    kept = [line for b in batches for line in b.rows["source_line"].to_pylist()]
    bad = [line for b in batches if b.rejects for line in b.rejects["source_line"].to_pylist()]
    assert kept == [s for s, k in zip(starts, kinds, strict=True) if k in ("good", "long")]
    assert bad == [s for s, k in zip(starts, kinds, strict=True) if k in ("short", "wide")]


def test_another_dialect(tmp_path):
    data = "SKU ; Lager ; Menge\nKäse;w;1.234,5\n".encode("cp1252")
    mapping = Mapping(
        "stock", columns={"sku": "SKU", "location": "Lager", "quantity": "Menge"}, decimal=",", thousands="."
    )
    (tmp_path / "s.txt").write_bytes(data)
    snapshot = take(tmp_path, mapping, path="s.txt", encoding="cp1252", delimiter=";")
    assert rows(snapshot, "sku", "quantity") == [("Käse", Decimal("1234.5"))]


def test_a_code_page_that_is_not_named_is_told(tmp_path):
    with pytest.raises(Unreachable, match="not utf-8 text; set encoding"):
        stock(tmp_path, HEAD + "Käse,w,1\n".encode("cp1252"))


def test_without_a_header(tmp_path):
    found = stock(tmp_path, b"A,w,1\n", header=["sku", "location", "quantity"])
    assert rows(found, "sku", "quantity", "source_line") == [("A", 1, 1)]


@pytest.mark.parametrize(("suffix", "pack"), [("gz", gzip.compress), ("zst", zstandard.compress)])
def test_packed_files(tmp_path, suffix, pack):
    found = stock(tmp_path, pack(HEAD + b"A,w,1\n"), f"stock.csv.{suffix}")
    assert rows(found, "sku") == [("A",)]


@pytest.mark.parametrize(
    ("data", "name", "words"),
    [
        (b"", "s.csv", "empty"),
        (bytes(range(256)) * 20, "s.csv", "binary"),
        (gzip.compress(HEAD + b"A,w,1\n" * 10000)[:-20], "s.csv.gz", "cut off or damaged"),
        (zstandard.compress(HEAD + bytes(range(65, 90)) * 10000)[:-20], "s.csv.zst", "cut off or damaged"),
        (HEAD + b'A,w,1\n"B', "s.csv", "cut off"),
        (HEAD + b'A,w,1\n"B,w,1\nC,w,1\n', "s.csv", "cut off: a quoted value"),
        (HEAD + b"A,w,1\nB,w", "s.csv", "cut off: its last line 3"),
        (b"sku,sku,quantity\n", "s.csv", "two columns are called 'sku'"),
        (b"PAR1 not really", "s.parquet", "not a whole Parquet file"),
        (b"", "s.jsonl", "empty"),
        (b'{"sku": "A"}\n{"sku": "B', "s.jsonl", "cut off"),
        (b"\0\1\2", "s.jsonl", "binary"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_error(tmp_path, data, name, words):
    with pytest.raises(Unreachable, match=words) as told:
        stock(tmp_path, data, name)
    assert name in str(told.value)
    assert "\n" not in str(told.value)
    assert not list((tmp_path / "ws").rglob("manifest.json"))


def test_an_inch_sign_is_not_an_open_quote(tmp_path):
    assert rows(stock(tmp_path, HEAD + b'DISC 12",w,1\nB,w,2\n'), "sku") == [('DISC 12"',), ("B",)]


@pytest.mark.parametrize("path", ["none.csv", "stock-*.csv"])
def test_no_file(tmp_path, path):
    with pytest.raises(Unreachable, match="no such file|no file matches"):
        take(tmp_path, path=path)


def test_wrong_columns(tmp_path):
    with pytest.raises(ConfigError, match=r"erp/stock: no column 'quantity'.*it has: sku, location, Quant"):
        stock(tmp_path, b"sku,location,Quant\nA,w,1\n")


def test_json_lines_are_exact(tmp_path):
    data = b"""{"sku": 12, "location": "w", "quantity": 12345678901234.5678, "more": {"a": 1}}
{"sku": "0012", "location": "w", "quantity": 0.1, "list": [1, 2]}

not json
[1]
{"location": "w", "quantity": 1}
{"sku": "A", "location": "w", "quantity": "7", "at": "2026-11-23T01:00:00Z"}
"""
    found = stock(tmp_path, data, "stock.jsonl")
    assert rows(found, "sku", "quantity", "source_line") == [
        ("12", Decimal("12345678901234.5678"), 1),
        ("0012", Decimal("0.1"), 2),
        ("A", 7, 7),
    ]
    assert rejects(found) == [(4, "not JSON"), (5, "not an object"), (6, "SKU_EMPTY")]


def test_json_at_once_and_line_by_line_agree():
    """Plain rows, which Arrow parses, and the same rows beside one that it cannot."""
    import io

    plain = b"".join(
        b'{"s": "A%d", "q": %d.25, "n": %d, "t": "2026-11-23T01:00:00Z", "b": true, "z": null}\n' % (n, n, n)
        for n in range(50)
    )
    (fast,) = json_lines.read(io.BytesIO(plain), "f")
    (slow,) = json_lines.read(io.BytesIO(plain + b"oops\n"), "f")
    names = ["s", "q", "n", "t", "b", "source_line"]
    assert fast.rejects is None
    assert fast.rows.select(names).to_pylist() == slow.rows.select(names).to_pylist()


def test_nested_json_columns(tmp_path):
    (tmp_path / "e.jsonl").write_text(
        json.dumps({"type": "sale", "id": 7, "item": {"sku": "A", "n": 2}, "at": "2026-11-23T01:00:00+01:00"}) + "\n"
    )
    mapping = Mapping(
        "events",
        columns={"kind": "type", "ref": "id", "sku": "item.sku", "quantity": "item.n", "posted_at": "at"},
        constants={"location": "s"},
        kinds={"sale": Kind.POS_SALE},
    )
    found = take(tmp_path, mapping, dataset="events", path="e.jsonl")
    assert rows(found, "kind", "ref", "sku", "quantity", "posted_at") == [
        ("POS_SALE", "7", "A", 2, datetime(2026, 11, 23, tzinfo=UTC))
    ]


def test_parquet_row_groups_are_splits(tmp_path, monkeypatch):
    from pipelines.connectors import files

    monkeypatch.setattr(files, "_SPLIT_ROWS", 4)
    table = pa.table({"sku": [f"S{n}" for n in range(10)], "location": ["w"] * 10, "quantity": list(range(10))})
    pq.write_table(table, tmp_path / "s.parquet", row_group_size=2)
    found = take(tmp_path, path="s.parquet")
    assert rows(found, "sku", "quantity", "source_line") == [(f"S{n}", n, n + 1) for n in range(10)]
    assert [part.rows for part in found.manifest.files] == [4, 4, 2]


def test_the_newest_file_by_its_name(tmp_path):
    for day, quantity in ((21, 1), (23, 3), (22, 2)):
        (tmp_path / f"stock-202611{day}T020000Z.csv").write_bytes(HEAD + b"A,w,%d\n" % quantity)
    as_of = {"from": "filename", "pattern": "stock-%Y%m%dT%H%M%SZ.csv"}
    found = take(tmp_path, path="stock-*.csv", as_of=as_of)
    assert rows(found, "quantity") == [(3,)]
    assert found.manifest.as_of == datetime(2026, 11, 23, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "pattern", "instant"),
    [
        ("s_2026-11-23_0200.csv", "s_%Y-%m-%d_%H%M.csv", datetime(2026, 11, 23, 1, tzinfo=UTC)),
        ("s_2026-11-23_0200.csv.gz", "s_%Y-%m-%d_%H%M.csv", datetime(2026, 11, 23, 1, tzinfo=UTC)),
        ("s-20261123T020000+0530.csv", "s-%Y%m%dT%H%M%S%z.csv", datetime(2026, 11, 22, 20, 30, tzinfo=UTC)),
        ("part-7-1795399200.csv", "part-*-%s.csv", datetime.fromtimestamp(1795399200, UTC)),
    ],
)
def test_instants_in_names(name, pattern, instant):
    assert _from_name(f"/x/{name}", pattern, "Europe/Berlin") == instant


@pytest.mark.parametrize("name", ["stock.csv", "s_2026-13-23_0200.csv", "s_2026-10-25_0230.csv"])
def test_names_that_tell_no_instant(name):
    with pytest.raises(Unreachable, match=name):
        _from_name(f"/x/{name}", "s_%Y-%m-%d_%H%M.csv", "Europe/Berlin")


def test_the_files_own_time(tmp_path):
    (tmp_path / "s.csv").write_bytes(HEAD + b"A,w,1\n")
    moment = datetime(2026, 11, 23, 5, tzinfo=UTC)
    os.utime(tmp_path / "s.csv", (moment.timestamp(), moment.timestamp()))
    found = take(tmp_path, path="s.csv", as_of={"from": "mtime"})
    assert (found.manifest.as_of, found.manifest.as_of_kind) == (moment, "file_mtime")


def test_an_as_of_in_each_row(tmp_path):
    (tmp_path / "s.csv").write_bytes(
        b"sku,location,quantity,seen\nA,w,1,2026-11-23 02:00\nB,w,2,2026-11-23 03:00\nC,w,3,\n"
    )
    found = take(tmp_path, path="s.csv", as_of={"from": "column", "column": "seen"})
    assert rows(found, "sku", "as_of") == [
        ("A", datetime(2026, 11, 23, 1, tzinfo=UTC)),
        ("B", datetime(2026, 11, 23, 2, tzinfo=UTC)),
    ]
    assert rejects(found) == [(4, "seen: empty")]
    assert found.manifest.row_as_of
    assert found.manifest.as_of == datetime(2026, 11, 23, 1, tzinfo=UTC)
    assert found.manifest.as_of_hi == datetime(2026, 11, 23, 2, tzinfo=UTC)


def manifest(tmp_path, **told):
    (tmp_path / "s.csv.manifest.json").write_text(json.dumps(told))


def test_a_manifest_beside_the_file(tmp_path):
    (tmp_path / "s.csv").write_bytes(HEAD + b"A,w,1\n")
    manifest(tmp_path, as_of="2026-11-23T02:00:00+01:00", as_of_hi="2026-11-23T02:10:00+01:00", bytes=28)
    found = take(tmp_path, path="*.csv", as_of={"from": "manifest"})
    assert found.manifest.as_of == datetime(2026, 11, 23, 1, tzinfo=UTC)
    assert found.manifest.as_of_hi == datetime(2026, 11, 23, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"as_of": "2026-11-23T02:00:00Z", "bytes": 999}, "truncated"),
        ({"as_of": "2026-11-23T02:00:00Z", "sha256": "0" * 64}, "checksum"),
        ({"rows": 1}, "no as_of"),
        ({"as_of": "2026-11-23"}, "no offset"),
        ({"as_of": "soon"}, "not a manifest"),
    ],
)
def test_a_manifest_that_does_not_fit(tmp_path, told, words):
    (tmp_path / "s.csv").write_bytes(HEAD + b"A,w,1\n")
    manifest(tmp_path, **told)
    with pytest.raises(Unreachable, match=words):
        take(tmp_path, path="s.csv", as_of={"from": "manifest"})


def test_an_as_of_in_the_future(tmp_path):
    with pytest.raises(Unreachable, match="2027-01-01.* is in the future"):
        stock(tmp_path, HEAD + b"A,w,1\n", as_of={"from": "value", "value": "2027-01-01T00:00:00Z"})


def test_no_as_of(tmp_path):
    with pytest.raises(ConfigError, match="erp/stock: .*as of when"):
        stock(tmp_path, HEAD + b"A,w,1\n", as_of=None)


def test_a_feed_is_complete_up_to_its_as_of(tmp_path):
    (tmp_path / "e.csv").write_bytes(b"kind,ref,sku,location,quantity,posted_at\nSHIP,1,A,w,1,2026-11-20T00:00Z\n")
    found = take(tmp_path, dataset="events", path="e.csv")
    assert found.manifest.watermark == found.manifest.as_of
    earlier = take(tmp_path, dataset="events", path="e.csv", watermark="2026-11-22T00:00:00Z")
    assert earlier.manifest.watermark == datetime(2026, 11, 22, tzinfo=UTC)


@pytest.mark.parametrize(
    "options",
    [
        {"path": "x", "as_of": {"from": "filename"}},
        {"path": "x", "as_of": {"from": "value", "value": "2026-11-23T00:00:00"}},
        {"path": "x", "as_of": {"from": "dreams"}},
        {"path": "x", "delimiter": ";;"},
        {"path": "x", "unknown": 1},
        {},
    ],
)
def test_options_check_themselves(options):
    with pytest.raises(ValueError, match="validation error"):
        Options(**options)


def test_a_directory_without_permission_or_sense(tmp_path):
    (tmp_path / "d.csv").mkdir()
    with pytest.raises(Unreachable):
        take(tmp_path, path="d.csv")


@pytest.mark.parametrize("name", ["stock.csv", "stock.jsonl", "stock.parquet"])
@pytest.mark.parametrize("change", ["appended", "replaced"])
def test_a_file_that_is_written_while_it_is_read(tmp_path, name, change):
    """Part of it would be of one instant and part of another; who looks at the first rows does not mind."""
    path = tmp_path / name
    rows = [{"sku": f"S{n}", "location": "w", "quantity": n} for n in range(9)]
    text = {"csv": "sku,location,quantity\n" + "".join(f"{r['sku']},w,{r['quantity']}\n" for r in rows),
            "jsonl": "".join(json.dumps(row) + "\n" for row in rows)}  # fmt: skip
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text(text[name.rsplit(".", 1)[-1]])
    request = captures.request(tmp_path, path=name)
    source = captures.source(request)
    (split,) = source.plan(captures.NOW).splits
    batches = source.read(split)
    next(batches)
    if change == "appended":
        with path.open("ab") as file:
            file.write(b"\n")
    else:
        path.with_suffix(".new").write_bytes(path.read_bytes())
        os.utime(path.with_suffix(".new"), (1, 1))
        path.with_suffix(".new").replace(path)
    with pytest.raises(Unreachable, match=rf"{name}: was written while it was read"):
        list(batches)
