"""How much of a stripe a denoiser leaves: what the mean of what it takes off a column is multiplied by on board."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool1d

from ground.models.anchored import Anchored
from ground.training.crops import Pair
from ground.training.denoisers.base import run
from ground.training.losses import STRIPE_PX

PICTURES = 8
"""That are looked at."""
MOST = 3.0
"""A network that answers stripes by less than a third of them tells nothing of them."""


@torch.no_grad()
def stripe_gain(net: Anchored, pairs: Sequence[Pair]) -> float:
    """The factor that brings column means of what is taken off nearest to those of what should be, 0..`MOST`.

    Nearest in the mean of squares over all columns, each band in units of what it should be, at wavelengths that count
    as stripes.

    Args:
        pairs: whole pictures as the sensor sees them, destriped by medians.
    """
    products = squares = 0.0
    for pair in pairs[:: max(1, len(pairs) // PICTURES)]:
        given, wanted, sigma = (_planes(part) for part in (pair.given, pair.wanted, pair.sigma))
        off, taken = (_columns(given - other) for other in (wanted, run(net, given, sigma)))
        unit = off.square().mean(1, keepdim=True).clamp_min(1e-12)
        products += float((taken * off / unit).sum())
        squares += float((taken.square() / unit).sum())
    return round(min(max(products / max(squares, 1e-12), 0.0), MOST), 2)


def _planes(part: np.ndarray) -> Tensor:
    """([B,] H, W) -> (1, B, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(part.reshape(1, -1, *part.shape[-2:])))


def _columns(part: Tensor) -> Tensor:
    """Column means (B, W) of (1, B, H, W), without what changes slowly across them."""
    means = part[0].mean(1)
    return means - avg_pool1d(means, STRIPE_PX + 1, 1, STRIPE_PX // 2, count_include_pad=False)
