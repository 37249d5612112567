"""How far an estimate is off, of enlarging and of supervised denoising."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as fn

FAITHFUL = 2e-5
"""Mean squared error, 47 dB, from which on a crop has little left to teach."""


def psnr_loss(found: Tensor, wanted: Tensor) -> Tensor:
    """Mean of ln(mean squared error) over the bands of crops (N, B, h, w): what PSNR averages, in decibels."""
    return torch.log((found - wanted).square().mean((2, 3)) + FAITHFUL).mean()


LOSSES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "l1": fn.l1_loss,
    "mse": fn.mse_loss,
    "psnr": psnr_loss,
}
