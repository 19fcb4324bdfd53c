"""Neighbourhoods of a probe for `Interpolator`: which channels feed which, computed in dense blocks."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..geometry import neighbor_indices, relative_offsets

# Number of features that describe a relative position.
NUM_OFFSET_FEATURES = 9
# Offset in um of an empty place: farther than any probe is long.
NOWHERE_UM = 1e6


@dataclass
class ProbePlan:
    """
    Neighbourhoods of a probe, for `Interpolator`.

    Attributes
    ----------
    neighbors : np.ndarray, shape (num_channels, num_neighbors), int
        Nearest first, the channel itself in front, -1 for an empty place.
    offsets : np.ndarray, shape (num_channels, num_neighbors, 2), float32
        Position of each neighbour relative to its channel in um, NOWHERE_UM where it may not feed.
    offset_features : Tensor, shape (num_channels, num_neighbors, NUM_OFFSET_FEATURES)
        Relative positions, the same for a probe and its mirror images.
    feeds : Tensor, shape (num_channels, num_neighbors)
        1 where the neighbour exists and may be used, else 0.
    order, rank : Tensor, shape (num_channels,), int
        Channels by shank and depth, and back.
    blocks : list of (outputs, inputs, rows, columns, sources, slots)
        Consecutive channels (in `order`), the channels they are predicted from, and where the weight of each pair
        comes from and goes to.
    groups : list of (inputs, list of (block index, places))
        Neighbouring blocks, the channels (in `order`) that feed them, and where among those each block finds its own.
    table_rows : Tensor | None, shape (num_channels,), int
        Row of the linear part fitted to this very neighbourhood, -1 where there is none.
    """

    neighbors: np.ndarray
    offsets: np.ndarray
    offset_features: Tensor
    feeds: Tensor
    order: Tensor
    rank: Tensor
    blocks: list
    groups: list
    table_rows: Tensor | None = None

    def to(self, device) -> "ProbePlan":
        """Move all tensors to a device, in place."""
        self.blocks = [tuple(tensor.to(device) for tensor in block) for block in self.blocks]
        for name in ("offset_features", "feeds", "order", "rank", "table_rows"):
            if getattr(self, name) is not None:
                setattr(self, name, getattr(self, name).to(device))
        return self

    def to_blocks(self, weights: Tensor) -> list[Tensor]:
        """(channels, neighbors, outputs, features) -> per block (outputs * channels, inputs * features)."""
        num_outputs, num_features = weights.shape[2:]
        matrices = []
        for outputs, inputs, rows, columns, sources, slots in self.blocks:
            dense = weights.new_zeros(len(outputs), len(inputs), num_outputs, num_features)
            dense = dense.index_put((rows, columns), weights[sources, slots])
            # Output by output, so that all channels of a block go through the layers behind as one matrix.
            matrices.append(dense.permute(2, 0, 1, 3).reshape(num_outputs * len(outputs), len(inputs) * num_features))
        return matrices


def make_probe_plan(
    channel_locations: np.ndarray,
    shanks: np.ndarray,
    *,
    num_neighbors: int,
    radius_um: float,
    usable: np.ndarray | None = None,
    block_channels: int = 8,
    group_channels: int = 128,
) -> ProbePlan:
    """
    Plan of a probe.

    Parameters
    ----------
    channel_locations : np.ndarray, shape (num_channels, 2), float
        In um.
    shanks : np.ndarray, shape (num_channels,)
        Channels of different shanks never feed each other.
    usable : np.ndarray | None, shape (num_channels,), bool, default: None
        Channels that may feed others and themselves. None: all.
    block_channels, group_channels : int, default: 8, 128
        Output channels per dense block, and of the blocks for which features are made at once; affect the speed alone.
    """
    usable = np.ones(len(shanks), dtype=bool) if usable is None else np.asarray(usable, dtype=bool)
    neighbors = neighbor_indices(channel_locations, num_neighbors, radius_um=radius_um, shanks=shanks, usable=usable)
    offsets = relative_offsets(channel_locations, neighbors)
    feeds = (neighbors >= 0) & usable[neighbors]
    order = np.lexsort((channel_locations[:, 0], channel_locations[:, 1], shanks))
    rank = np.argsort(order)
    blocks = [
        _make_block(order[first : first + block_channels], neighbors, feeds, rank)
        for first in range(0, len(order), block_channels)
    ]
    return ProbePlan(
        neighbors=neighbors,
        offsets=np.where(feeds[..., None], offsets, NOWHERE_UM).astype("float32"),
        offset_features=torch.from_numpy(_offset_features(offsets, feeds)),
        feeds=torch.from_numpy(feeds.astype("float32")),
        order=torch.from_numpy(order),
        rank=torch.from_numpy(rank),
        blocks=blocks,
        groups=_make_groups(blocks, max(1, group_channels // block_channels)),
    )


def _offset_features(offsets: np.ndarray, feeds: np.ndarray) -> np.ndarray:
    across, along = np.abs(offsets[..., 0]), np.abs(offsets[..., 1])
    distance = np.hypot(across, along)
    is_self = np.zeros_like(distance)
    is_self[:, 0] = 1.0
    decays = [np.exp(-distance / length) for length in (15.0, 30.0, 60.0)]
    features = [across / 40, along / 40, distance / 40, *decays, np.exp(-((distance / 25) ** 2)), is_self, feeds]
    return np.stack(features, axis=-1).astype("float32")


def _make_block(outputs, neighbors, feeds, rank):
    pairs_from, slots = np.nonzero(feeds[outputs])
    sources = outputs[pairs_from]
    targets = rank[neighbors[sources, slots]]
    # A lone channel that may not even see itself still needs one input, with weight 0.
    inputs = np.unique(targets) if len(targets) else rank[outputs[:1]]
    columns = np.searchsorted(inputs, targets)
    arrays = (outputs, inputs, pairs_from, columns, sources, slots)
    return tuple(torch.from_numpy(np.asarray(array, dtype="int64")) for array in arrays)


def _make_groups(blocks, blocks_per_group):
    groups = []
    for first in range(0, len(blocks), blocks_per_group):
        members = range(first, min(first + blocks_per_group, len(blocks)))
        inputs = np.unique(np.concatenate([blocks[index][1].numpy() for index in members]))
        places = [np.searchsorted(inputs, blocks[index][1].numpy()) for index in members]
        groups.append((_run_or_indices(inputs), list(zip(members, map(_run_or_indices, places), strict=True))))
    return groups


def _run_or_indices(indices):
    # A slice needs no copy.
    first, last = int(indices[0]), int(indices[-1])
    return slice(first, last + 1) if last - first + 1 == len(indices) else torch.from_numpy(indices)
