"""Layers that hold no weights: bicubic enlargement as a convolution, and padding to a multiple."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from ground.scenes.resample import cubic

TAPS = 5


class Bicubic(nn.Module):
    """Enlarge (N, B, h, w) -> (N, B, scale h, scale w) by Keys' kernel (a = -1/2), one 5x5 filter for each phase.

    The same numbers as MATLAB's `imresize`, but for borders, which repeat the last pixel here. Scale 1 changes nothing.
    """

    weight: Tensor

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale
        phase = (np.arange(scale) + 0.5) / scale - 0.5
        rows = cubic(phase[:, None] - (np.arange(TAPS) - TAPS // 2))
        rows /= rows.sum(1, keepdims=True)
        filters = np.einsum("ai,bj->abij", rows, rows).reshape(scale * scale, 1, TAPS, TAPS)
        self.register_buffer("weight", torch.from_numpy(filters.astype(np.float32)), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        if self.scale == 1:
            return x
        n, bands, h, w = x.shape
        reach = TAPS // 2
        padded = fn.pad(x.reshape(n * bands, 1, h, w), (reach, reach, reach, reach), mode="replicate")
        fine = fn.pixel_shuffle(fn.conv2d(padded, self.weight), self.scale)
        return fine.reshape(n, bands, h * self.scale, w * self.scale)


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Repeat the last row and column until both sides are multiples."""
    h, w = x.shape[-2:]
    down, right = -h % multiple, -w % multiple
    return fn.pad(x, (0, right, 0, down), mode="replicate") if down or right else x
