"""The denoising autoencoder: the clean tile from a noisy one with holes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from ground.models.ravaen import Ravaen
from ground.training.objectives.base import Objective, Terms, mean_latent

NOISE = 0.3
"""Standard deviation of the Gaussian noise, in standard deviations of the scene."""
HOLES = 0.25
"""Share of pixels that are set to the scene's median, all bands together."""


class Denoising(Objective):
    """Reconstruction of the clean tile from a corrupted one (Vincent et al. 2010, JMLR 11:3371-3408)."""

    text = "denoising autoencoder (noise and holes, Vincent et al. 2010)"

    def forward(self, net: Ravaen, batch: Tensor, progress: float) -> tuple[Tensor, Terms]:
        """See `Objective.forward`; logs `mse` per value against the clean tile."""
        noisy = batch + NOISE * torch.randn_like(batch)
        noisy = noisy * (torch.rand_like(batch[:, :1]) >= HOLES)
        mse = mse_loss(net.decoder(mean_latent(net, noisy)), batch)
        return mse, {"mse": mse}
