"""What a denoiser tells of stripes: from what it takes off the columns of all bands on average to each band's own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool1d

from ground.models.anchored import Anchored
from ground.training.crops import Pair
from ground.training.denoisers.base import run
from ground.training.losses import STRIPE_PX

LEAST = 1e-3
"""Added to the power of each band's means, as a share of it: what two bands tell alike is not told twice."""


@torch.no_grad()
def stripes_told(net: Anchored, pairs: Sequence[Pair]) -> NDArray[np.float64]:
    """The matrix (B, B) that brings column means of what is taken off nearest to those of what should be.

    Nearest in the mean of squares over all columns, each picture in units of what should be taken off a band, at
    wavelengths that count as stripes.

    Args:
        pairs: whole pictures as the sensor sees them, destriped by medians.
    """
    squares, products = (torch.zeros(net.bands, net.bands, net.bands, dtype=torch.float64) for _ in range(2))
    for pair in pairs:
        given, wanted, sigma = (_planes(part) for part in (pair.given, pair.wanted, pair.sigma))
        off, taken = (_columns(given - other) for other in (wanted, run(net, given, sigma)))
        weights = 1 / off.square().mean(1).clamp_min(1e-12)
        squares += weights[:, None, None] * (taken @ taken.T)
        products += weights[:, None, None] * (taken @ off.T)
    least = LEAST * torch.diag_embed(squares.diagonal(dim1=1, dim2=2)) + 1e-12 * torch.eye(net.bands)
    rows = [torch.linalg.solve(squares[b] + least[b], products[b, :, b]) for b in range(net.bands)]
    return np.asarray(torch.stack(rows).numpy())


def _planes(part: NDArray[np.float32]) -> Tensor:
    """([B,] H, W) -> (1, B, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(part.reshape(1, -1, *part.shape[-2:])))


def _columns(part: Tensor) -> Tensor:
    """Column means (B, W) of (1, B, H, W), without what changes slowly across them."""
    means = part[0].double().mean(1)
    return means - avg_pool1d(means, STRIPE_PX + 1, 1, STRIPE_PX // 2, count_include_pad=False)
