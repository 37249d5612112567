"""Neighbor2Neighbor: two half-size pictures of neighbouring pixels, each the other's target.

T. Huang, S. Li, X. Jia, H. Lu, J. Liu, "Neighbor2Neighbor: self-supervised denoising from single noisy images",
CVPR 2021, doi:10.1109/CVPR46437.2021.01454. Of each 2x2 cell two adjacent pixels are drawn; their noise differs, their
picture hardly. A regulariser takes out what the two sub-pictures differ by.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as fn

from ground.training.denoisers.base import Network, run

PAIRS = ((0, 1), (0, 2), (1, 3), (2, 3), (1, 0), (2, 0), (3, 1), (3, 2))
"""Adjacent pixels of a cell, numbered 0 1 / 2 3."""
GAMMA = 1.0
"""Weight of the regulariser (2 in the paper for synthetic noise and long training)."""


class Neighbor2Neighbor:
    """See the module."""

    text = "single noisy pictures, neighbouring pixels"
    needs_clean = False

    def loss(self, net: Network, noisy: Tensor, clean: Tensor, sigma: Tensor) -> Tensor:
        """See `DenoiseObjective`."""
        with torch.no_grad():
            whole = run(net, noisy, sigma)
        n, _, h, w = noisy.shape
        drawn = torch.tensor(PAIRS)[torch.randint(len(PAIRS), (n, h // 2, w // 2))]
        first, second = _take(noisy, drawn[..., 0]), _take(noisy, drawn[..., 1])
        clean_first, clean_second = _take(whole, drawn[..., 0]), _take(whole, drawn[..., 1])
        estimate = run(net, first, _take(sigma, drawn[..., 0]))
        difference = estimate - second
        return difference.square().mean() + GAMMA * (difference - (clean_first - clean_second)).square().mean()


def _take(x: Tensor, which: Tensor) -> Tensor:
    """(N, B, h, w), (N, h/2, w/2) of 0..3 -> (N, B, h/2, w/2)."""
    n, bands, h, w = x.shape
    cells = fn.pixel_unshuffle(x.reshape(n * bands, 1, h, w), 2).reshape(n, bands, 4, h // 2, w // 2)
    return cells.gather(2, which[:, None, None].expand(n, bands, 1, h // 2, w // 2))[:, :, 0]
