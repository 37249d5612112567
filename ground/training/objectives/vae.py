"""The variational autoencoder, RaVAEn's own objective and the one that ships."""

from __future__ import annotations

from torch import Tensor

from ground.models.ravaen import Ravaen, loss
from ground.training.objectives.base import Objective, Terms


class Variational(Objective):
    """Mean squared error of the reconstruction plus a weighted KL divergence (Kingma and Welling 2014)."""

    text = "variational autoencoder (RaVAEn; ships)"

    def forward(self, net: Ravaen, batch: Tensor, progress: float) -> tuple[Tensor, Terms]:
        """See `Objective.forward`; logs `mse` per value and `kl` in nats per tile."""
        reconstruction, mu, logvar = net(batch)
        total, mse, kl = loss(reconstruction, batch, mu, logvar, self.recipe.kl_weight)
        return total, {"mse": mse, "kl": kl}
