"""Supervised: noisy pictures and their clean originals, and how far the estimate is off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as fn

from ground.training.denoisers.base import CROPPED, Network, run


@dataclass(frozen=True)
class Supervised:
    """L1 trains evenly from the start; squares, which PSNR counts, are for the last steps.

    Attributes:
        distance: of the estimate (N, B, h, w) from the clean picture; see `ground.training.losses.LOSSES`.
    """

    distance: Callable[[Tensor, Tensor], Tensor] = fn.l1_loss
    text = "noisy and clean pairs"
    needs_clean = True

    def loss(self, net: Network, noisy: Tensor, clean: Tensor, sigma: Tensor) -> Tensor:
        """See `DenoiseObjective`."""
        inside = (..., slice(CROPPED, -CROPPED), slice(CROPPED, -CROPPED))
        return self.distance(run(net, noisy, sigma)[inside], clean[inside])
