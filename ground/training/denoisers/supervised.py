"""Supervised: noisy pictures and their clean originals, mean absolute error."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as fn

from ground.training.denoisers.base import Network, run


class Supervised:
    """L1 between the estimate and the clean picture, which loses nothing in PSNR and trains more evenly than L2."""

    text = "noisy and clean pairs"
    needs_clean = True

    def loss(self, net: Network, noisy: Tensor, clean: Tensor, sigma: Tensor) -> Tensor:
        """See `DenoiseObjective`."""
        return fn.l1_loss(run(net, noisy, sigma), clean)
