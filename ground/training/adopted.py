"""A network begun with another's weights, as far as their layers agree."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def adopt(net: nn.Module, other: nn.Module) -> None:
    """Take over every weight whose name and shape agree, and narrower layers, so that the wider compute the same.

    A wider layer takes the other's weights in its first channels, which see nothing of its new ones (Net2Net, T. Chen
    et al. 2016, arXiv:1511.05641, with zeros in place of copies); the new channels keep their fresh weights. A first
    layer of other inputs, and a last one of other outputs, stays fresh: its planes mean something else. So do the
    components of another number of bands.
    """
    mine, learnt = net.state_dict(), dict(net.named_parameters())
    kernels = [key for key, value in mine.items() if value.ndim == 4]
    ends = {kernels[0]: 1, kernels[-1]: 0, kernels[-1].replace("weight", "bias"): 0}
    for key, value in other.state_dict().items():
        fresh = mine.get(key)
        if fresh is None or fresh.ndim != value.ndim:
            continue
        axis = ends.get(key)
        same_end = key in learnt and (axis is None or fresh.shape[axis] == value.shape[axis])
        if fresh.shape == value.shape:
            fresh.copy_(value)
        elif same_end and all(a >= b for a, b in zip(fresh.shape, value.shape, strict=True)):
            fresh[: len(value)] = 0
            fresh[tuple(slice(side) for side in value.shape)] = value
