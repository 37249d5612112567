"""What every training objective has: where its samples come from, and a loss of the network on a batch of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset

from ground.models.ravaen import Ravaen
from ground.scenes.pairs import RandomTiles, Scene, sample_cells

if TYPE_CHECKING:
    from ground.training.encoder import EncoderRecipe

HELD_OUT_TILES = 2048
Terms = dict[str, Tensor]


class Objective(nn.Module):
    """A way of training the encoder. Parameters of its own (heads) are trained with it and do not fly.

    Attributes:
        text: one phrase for tables, with the source.
        tiles: tiles of one sample; a batch holds `recipe.batch // tiles` samples, so that every objective passes about
            the same number of tiles through the encoder in a step.
    """

    text: str = ""
    tiles: int = 1

    def __init__(self, recipe: EncoderRecipe) -> None:
        super().__init__()
        self.recipe = recipe

    def samples(self, scenes: Sequence[Scene], length: int, seed: int, epoch: int) -> Dataset[Any]:
        """`length` samples; sample i of (seed, epoch) is always the same.

        Raises:
            ValueError: the scenes hold nothing of the kind that is needed.
        """
        return RandomTiles(scenes, length, seed, epoch, self.recipe.jitter)

    def held_out_samples(self, scenes: Sequence[Scene]) -> Dataset[Any]:
        """A fixed set of about 2048 tiles for validation."""
        if self.tiles == 1:
            return TensorDataset(torch.from_numpy(sample_cells(scenes, HELD_OUT_TILES, seed=0)))
        return self.samples(scenes, HELD_OUT_TILES // self.tiles, 0, 0)

    def forward(self, net: Ravaen, batch: Any, progress: float) -> tuple[Tensor, Terms]:
        """Loss of a batch.

        Args:
            batch: collated samples; for single tiles float32 (N, B, 32, 32), normalised.
            progress: share of the training that is done, 0..1.

        Returns:
            The scalar to minimise, and named scalars to log. Noise comes from torch's global generator.
        """
        raise NotImplementedError

    def code(self, mu: Tensor) -> Tensor:
        """What distances are taken of: float32 (N, latent) -> (N, latent). The identity unless said otherwise."""
        return mu


def mean_latent(net: Ravaen, tiles: Tensor) -> Tensor:
    """mu of tiles (..., B, 32, 32) -> (..., latent), and nothing drawn."""
    flat = tiles.flatten(0, -4).contiguous(memory_format=torch.channels_last)
    encoder = net.encoder
    latents: Tensor = encoder.mu(encoder.features(flat))
    return latents.reshape(*tiles.shape[:-3], -1)
