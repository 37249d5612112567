"""Colourisation: the visible bands from the others, and the others from the visible ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ground.models.ravaen import Ravaen
from ground.training.objectives.base import Objective, Terms, mean_latent

if TYPE_CHECKING:
    from ground.training.encoder import EncoderRecipe

VISIBLE = ("B02", "B03", "B04")


class Colourisation(Objective):
    """Hidden bands from shown ones, each half as often (split-brain: Zhang et al. 2017, arXiv:1611.09842).

    Colourisation of Sentinel-2 as a pretext is Vincenzi et al. 2020 (arXiv:2006.12119), in one direction. Here both are
    trained, so that every band enters the encoder; never all at once, as they do on board.

    Raises:
        ValueError: the bands are all visible or all not.
    """

    text = "pretext: colourisation, both ways (Vincenzi et al. 2020)"

    def __init__(self, recipe: EncoderRecipe) -> None:
        super().__init__(recipe)
        visible = torch.tensor([name in VISIBLE for name in recipe.bands])
        if visible.all() or not visible.any():
            raise ValueError(f"colourisation needs visible bands ({' '.join(VISIBLE)}) and others")
        self.visible = visible

    def forward(self, net: Ravaen, batch: Tensor, progress: float) -> tuple[Tensor, Terms]:
        """See `Objective.forward`; logs `mse` per hidden value."""
        flip = torch.rand(len(batch)).to(batch.device) < 0.5
        shown = (self.visible.to(batch.device)[None] ^ flip[:, None])[:, :, None, None]  # (N, B, 1, 1)
        rebuilt = net.decoder(mean_latent(net, batch * shown))
        hidden = ~shown.expand_as(batch)
        mse = (rebuilt - batch)[hidden].square().mean()
        return mse, {"mse": mse}
