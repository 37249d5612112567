"""The stacked autoencoder: each layer learns to reconstruct the one below it, then all are tuned together."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from ground.models.ravaen import Ravaen
from ground.training.objectives.base import Objective, Terms, mean_latent

LAYER_SHARE = 0.15
"""Of the steps, for each of the four layers; what is left tunes the whole."""


class Stacked(Objective):
    """Greedy layer-wise training (Bengio et al. 2007; convolutional: Masci et al. 2011), then a plain autoencoder.

    Layer k of the encoder is paired with the mirrored layer of the decoder. Layers below it get no gradient.
    """

    text = "stacked autoencoder (greedy layer-wise, Bengio et al. 2007)"

    def forward(self, net: Ravaen, batch: Tensor, progress: float) -> tuple[Tensor, Terms]:
        """See `Objective.forward`; logs `mse` per value of the layer being trained."""
        layer = int(progress / LAYER_SHARE)
        down, up = net.encoder.down, net.decoder.up
        if layer > len(down):
            mse = mse_loss(net.decoder(mean_latent(net, batch)), batch)
            return mse, {"mse": mse}
        below = batch
        with torch.no_grad():
            for index in range(layer):
                below = down[index](below)
        if layer < len(down):
            rebuilt = up[len(down) - 1 - layer](down[layer](below))
        else:
            below = torch.flatten(below, 1)
            rebuilt = net.decoder.expand(net.encoder.mu(below))
        mse = mse_loss(rebuilt, below)
        return mse, {"mse": mse}
