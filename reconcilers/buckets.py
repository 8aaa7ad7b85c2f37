"""Which bucket a row lives in: a hash that depends on nothing but the key.

`h(key) = mix(Σ_i byte_i · P^(i+1) mod 2^64)` over the UTF-8 bytes of the key (i from 0), with
`P = 0x9E3779B97F4A7C15` and `mix` the finaliser of splitmix64; the bucket is `h mod buckets`, a power
of two. It is the same on every machine, in every process and with every library version, because it
is this formula and nothing else.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

P = 0x9E3779B97F4A7C15
TARGET_ROWS = 700_000
MAX_BUCKETS = 4096

#: Keys hashed at a time: a chunk's bytes stay in the processor's cache.
_CHUNK = 65_536


def buckets_for(rows: int) -> int:
    """The number of buckets for so many rows: a power of two, some 700,000 rows a bucket at most."""
    wanted = max(1, -(-rows // TARGET_ROWS))
    return int(min(MAX_BUCKETS, 1 << (wanted - 1).bit_length()))


def bucket_of(keys: pa.Array | pa.ChunkedArray, buckets: int) -> np.ndarray:
    """The bucket of each key, as uint16, in the order of the keys.

    Raises:
        ValueError: `buckets` is not a power of two up to 4096, or a key is null.
    """
    if buckets < 1 or buckets > MAX_BUCKETS or buckets & (buckets - 1):
        raise ValueError(f"buckets {buckets} is not a power of two up to {MAX_BUCKETS}")
    if keys.null_count:
        raise ValueError(f"{keys.null_count} keys are null")
    chunks = keys.chunks if isinstance(keys, pa.ChunkedArray) else [keys]
    if buckets == 1:
        return np.zeros(len(keys), np.uint16)
    hashes = [
        _hash(chunk.slice(start, _CHUNK)) & np.uint64(buckets - 1)
        for chunk in chunks
        for start in range(0, len(chunk), _CHUNK)
    ]
    return np.concatenate([h.astype(np.uint16) for h in hashes]) if hashes else np.zeros(0, np.uint16)


def partition(table: pa.Table, buckets: int, key: str = "sku") -> list[pa.Table]:
    """The table's rows by bucket, in their order: one table a bucket, empty ones too."""
    if buckets == 1:
        return [table]
    homes = bucket_of(table.column(key), buckets)
    order = np.argsort(homes, kind="stable")
    ends = np.cumsum(np.bincount(homes, minlength=buckets))
    ordered = table.combine_chunks().take(pa.array(order))
    starts = [0, *ends[:-1].tolist()]
    return [ordered.slice(start, end - start) for start, end in zip(starts, ends.tolist(), strict=True)]


def _hash(keys: pa.Array) -> np.ndarray:
    """The 64-bit hash of up to `_CHUNK` keys, from Arrow's offsets and bytes."""
    if not pa.types.is_string(keys.type):
        keys = keys.cast(pa.string())
    _, offsets_buffer, data_buffer = keys.buffers()
    offsets = np.frombuffer(offsets_buffer, np.int32)[keys.offset : keys.offset + len(keys) + 1]
    offsets = offsets.astype(np.int64)
    lengths = np.diff(offsets)
    if offsets[-1] == offsets[0]:
        return _mix(np.zeros(len(keys), np.uint64))
    data = np.frombuffer(data_buffer, np.uint8)[offsets[0] : offsets[-1]].astype(np.uint64)
    begins = offsets[:-1] - offsets[0]
    positions = np.arange(len(data)) - np.repeat(begins, lengths)
    data *= _powers(int(lengths.max()))[positions]
    # An empty key would make reduceat take a neighbour's byte: sum the others, leave it at zero.
    sums = np.zeros(len(keys), np.uint64)
    filled = lengths > 0
    sums[filled] = np.add.reduceat(data, begins[filled])
    return _mix(sums)


def _powers(count: int) -> np.ndarray:
    """P^1 … P^count modulo 2^64."""
    return np.cumprod(np.full(count, P, np.uint64))


def _mix(h: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64: every bit of the sum reaches the low bits."""
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = h ^ (h >> np.uint64(31))
    return mixed
