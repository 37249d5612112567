"""The plain autoencoder: the latent is mu, nothing is drawn and nothing is regularised."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import mse_loss

from ground.models.ravaen import Ravaen
from ground.training.objectives.base import Objective, Terms, mean_latent


class Autoencoder(Objective):
    """Mean squared error of the reconstruction (Hinton and Salakhutdinov 2006, doi:10.1126/science.1127647)."""

    text = "plain autoencoder"

    def forward(self, net: Ravaen, batch: Tensor, progress: float) -> tuple[Tensor, Terms]:
        """See `Objective.forward`; logs `mse` per value."""
        mse = mse_loss(net.decoder(mean_latent(net, batch)), batch)
        return mse, {"mse": mse}
