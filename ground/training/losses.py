"""How far an estimate is off, of enlarging and of supervised denoising."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as fn

from onboard.restore.told import STRIPE_PX

FAITHFUL = 2e-5
"""Mean squared error, 47 dB, from which on a crop has little left to teach."""

COLUMNS = 0.1
"""Weight of the column means in `columns_loss`."""


def psnr_loss(found: Tensor, wanted: Tensor) -> Tensor:
    """Mean of ln(mean squared error) over the bands of crops (N, B, h, w): what PSNR averages, in decibels."""
    return torch.log((found - wanted).square().mean((2, 3)) + FAITHFUL).mean()


def columns_loss(found: Tensor, wanted: Tensor) -> Tensor:
    """`psnr_loss`, and the same of what the means of neighbouring columns are off: stripes are little in a pixel's
    error, and what is left of an image, once noise has been averaged out along its columns.
    """
    columns = (found - wanted).mean(2)
    ground = fn.avg_pool1d(columns, STRIPE_PX + 1, 1, STRIPE_PX // 2, count_include_pad=False)
    power = (columns - ground).square().mean(2)
    return psnr_loss(found, wanted) + COLUMNS * torch.log(power + FAITHFUL / found.shape[2]).mean()


LOSSES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "l1": fn.l1_loss,
    "mse": fn.mse_loss,
    "psnr": psnr_loss,
    "columns": columns_loss,
}
