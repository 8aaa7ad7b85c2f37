"""Where rows live: the same bucket everywhere, for ever."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcilers.buckets import MAX_BUCKETS, P, bucket_of, buckets_for, partition

MASK = (1 << 64) - 1
KEYS = st.lists(st.text(max_size=8), max_size=40)
POWERS = st.sampled_from([1, 2, 4, 16, 256, MAX_BUCKETS])


def hashed(key):
    """The formula of the module's first lines, in plain Python."""
    h = 0
    for i, byte in enumerate(key.encode()):
        h = (h + byte * pow(P, i + 1, 1 << 64)) & MASK
    h = ((h ^ (h >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    h = ((h ^ (h >> 27)) * 0x94D049BB133111EB) & MASK
    return h ^ (h >> 31)


@given(KEYS, POWERS)
def test_the_bucket_is_the_formula(keys, buckets):
    assert bucket_of(pa.array(keys, pa.string()), buckets).tolist() == [hashed(k) % buckets for k in keys]


@given(KEYS, st.integers(0, 5))
def test_slices_chunks_and_dictionaries_do_not_matter(keys, cut):
    whole = bucket_of(pa.array(keys, pa.string()), 64).tolist()
    chunked = pa.chunked_array([keys[:cut], keys[cut:]], pa.string())
    assert bucket_of(chunked, 64).tolist() == whole
    assert bucket_of(pa.array(keys, pa.string()).slice(cut), 64).tolist() == whole[cut:]
    assert bucket_of(pa.array(keys, pa.string()).dictionary_encode(), 64).tolist() == whole


@given(KEYS)
def test_a_coarse_bucket_is_a_union_of_fine_ones(keys):
    array = pa.array(keys, pa.string())
    assert (bucket_of(array, 64) % 4).tolist() == bucket_of(array, 4).tolist()


@given(KEYS, POWERS)
def test_partition_keeps_every_row_in_its_bucket_and_order(keys, buckets):
    table = pa.table({"sku": pa.array(keys, pa.string()), "n": pa.array(range(len(keys)), pa.int64())})
    parts = partition(table, buckets)
    assert len(parts) == buckets
    for bucket, part in enumerate(parts):
        expected = [n for n, key in enumerate(keys) if hashed(key) % buckets == bucket]
        assert part["n"].to_pylist() == expected


def test_buckets_are_even():
    counts = [0] * 16
    for bucket in bucket_of(pa.array([f"SKU-{n:06d}" for n in range(16_000)]), 16):
        counts[bucket] += 1
    assert 900 < min(counts) <= max(counts) < 1100


@pytest.mark.parametrize(("rows", "buckets"), [(0, 1), (700_000, 1), (700_001, 2), (10_000_000, 16), (10**12, 4096)])
def test_as_many_buckets_as_the_rows_need(rows, buckets):
    assert buckets_for(rows) == buckets


@pytest.mark.parametrize("buckets", [0, 3, -2, 8192])
def test_only_powers_of_two(buckets):
    with pytest.raises(ValueError, match=f"buckets {buckets}"):
        bucket_of(pa.array(["a"]), buckets)


def test_a_null_key_is_refused():
    with pytest.raises(ValueError, match="1 keys are null"):
        bucket_of(pa.array(["a", None]), 2)
