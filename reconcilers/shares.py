"""One warehouse behind several channels: each may promise its share (DOMAIN 2.4, largest remainder)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reconcilers.errors import ConfigError


@dataclass(frozen=True)
class Shares:
    """How whole units are split over channels: by whole-number weights, some channels with a cap.

    Raises:
        ConfigError: a weight or cap below zero, no weight at all, a cap of a channel without weight.
    """

    weights: Mapping[str, int]
    caps: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, weight in self.weights.items():
            if weight < 0:
                raise ConfigError(f"shares: the weight {weight} of {name!r} is below 0")
        if not any(self.weights.values()):
            raise ConfigError("shares: no channel has a weight")
        for name, cap in self.caps.items():
            if name not in self.weights:
                raise ConfigError(f"shares: {name!r} has a cap, but no weight")
            if cap < 0:
                raise ConfigError(f"shares: the cap {cap} of {name!r} is below 0")

    def split(self, units: np.ndarray) -> dict[str, np.ndarray]:
        """The units of every channel, for each of many totals (whole, not below zero).

        Largest remainder; equal remainders go to the channel that comes first. What a cap leaves over
        is split over the other channels in the same way. The sum is the total unless all are capped.
        """
        names = [name for name, weight in self.weights.items() if weight]
        given = np.zeros((len(names), len(units)), np.int64)
        capped = np.zeros((len(names), len(units)), bool)
        limit = np.array([self.caps.get(name, np.iinfo(np.int64).max) for name in names])[:, None]
        for _ in names:
            left = units - np.where(capped, given, 0).sum(axis=0)
            part = _largest_remainder(left, self._open_weights(names, capped))
            given = np.where(capped, given, part)
            over = ~capped & (given > limit)
            if not over.any():
                break
            given = np.where(over, limit, given)
            capped |= over
        nothing = np.zeros(len(units), np.int64)
        found = dict(zip(names, given, strict=True))
        return {name: found.get(name, nothing) for name in self.weights}

    def _open_weights(self, names: list[str], capped: np.ndarray) -> np.ndarray:
        weights = np.array([self.weights[name] for name in names], np.int64)[:, None]
        return np.where(capped, 0, weights)


def shared(levels: pa.Table, shares: Shares, channel: str) -> pa.Table:
    """Levels whose `publish` is the channel's share of it; what is not published stays null."""
    publish = levels["publish"].combine_chunks()
    whole = pc.floor(pc.fill_null(publish, 0)).cast(pa.int64(), safe=False).to_numpy()
    part = pa.array(shares.split(np.maximum(whole, 0))[channel]).cast(pa.decimal128(19, 0)).cast(publish.type)
    place = levels.schema.get_field_index("publish")
    return levels.set_column(place, "publish", pc.if_else(pc.is_valid(publish), part, publish))


def _largest_remainder(units: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Split each total over the rows of `weights` (channels × totals); zero where all weights are zero."""
    total = np.maximum(weights.sum(axis=0), 1)
    base = units * weights // total
    remainder = np.where(weights > 0, units * weights % total, -1)
    left = np.where(weights.sum(axis=0) > 0, units - base.sum(axis=0), 0)
    # the rank of each channel by remainder, the first one first among equals
    order = np.argsort(-remainder, axis=0, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(len(weights))[:, None] + np.zeros_like(order), axis=0)
    split: np.ndarray = base + (rank < left)
    return split
