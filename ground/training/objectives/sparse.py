"""The sparse autoencoder: each unit of the code is active in few tiles."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from ground.models.ravaen import Ravaen
from ground.training.objectives.base import Objective, Terms, mean_latent

ACTIVE = 0.05
"""Mean activation that a unit is drawn to."""


def sparsity(code: Tensor, active: float = ACTIVE) -> Tensor:
    """Sum over units of KL(Bernoulli(active) || Bernoulli(mean activation)); scalar, nats.

    A. Ng, "Sparse autoencoder", CS294A lecture notes (2011).

    Args:
        code: activations in 0..1, (N, units); the mean is over the batch.
    """
    mean = code.mean(0).clamp(1e-6, 1 - 1e-6)
    return (active * torch.log(active / mean) + (1 - active) * torch.log((1 - active) / (1 - mean))).sum()


class Sparse(Objective):
    """Reconstruction from sigmoid(mu), whose mean activations are drawn to `ACTIVE` with the recipe's KL weight.

    Distances are taken of the sigmoid's output: to fly, the graph would have to end in one.
    """

    text = "sparse autoencoder (KL sparsity, Ng 2011)"

    def forward(self, net: Ravaen, batch: Tensor, progress: float) -> tuple[Tensor, Terms]:
        """See `Objective.forward`; logs `mse` per value and `kl` of the activations in nats."""
        code = self.code(mean_latent(net, batch))
        mse, kl = mse_loss(net.decoder(code), batch), sparsity(code)
        return mse + self.recipe.kl_weight * kl, {"mse": mse, "kl": kl}

    def code(self, mu: Tensor) -> Tensor:
        """sigmoid(mu), in 0..1."""
        return torch.sigmoid(mu)
