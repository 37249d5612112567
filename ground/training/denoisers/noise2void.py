"""Noise2Void: predict a pixel from its neighbours alone.

A. Krull, T.-O. Buchholz, F. Jug, "Noise2Void: learning denoising from single noisy images", CVPR 2019,
doi:10.1109/CVPR.2019.00223. Some pixels are replaced by a random neighbour; the loss counts at those alone. White noise
cannot be predicted from other pixels, so that what is learned is the picture.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ground.training.denoisers.base import Network, run

SHARE = 0.06
"""Of pixels that are replaced at a time."""
RADIUS = 2


class Noise2Void:
    """See the module."""

    text = "single noisy pictures, blind spots"
    needs_clean = False

    def loss(self, net: Network, noisy: Tensor, clean: Tensor, sigma: Tensor) -> Tensor:
        """See `DenoiseObjective`."""
        hidden = (torch.rand_like(noisy[:, :1]) < SHARE).expand_as(noisy)
        rows, cols = torch.meshgrid(torch.arange(noisy.shape[2]), torch.arange(noisy.shape[3]), indexing="ij")
        side = 2 * RADIUS + 1
        step = torch.randint(1, side * side, rows.shape)  # never the pixel itself
        step = (step + side * side // 2) % (side * side)
        rows = _inside(rows, step // side - RADIUS, noisy.shape[2])
        cols = _inside(cols, step % side - RADIUS, noisy.shape[3])
        fed = torch.where(hidden, noisy[:, :, rows, cols], noisy)
        error = (run(net, fed, sigma) - noisy)[hidden]
        return error.square().mean()


def _inside(place: Tensor, step: Tensor, size: int) -> Tensor:
    """Places a step away, the other way where that would lead out of the picture."""
    there = place + step
    return torch.where((there < 0) | (there >= size), place - step, there)
