"""Jigsaw: in which order were four neighbouring tiles handed over?"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import Dataset

from ground.models.ravaen import Ravaen
from ground.scenes.groups import SquareTiles
from ground.scenes.pairs import Scene
from ground.training.objectives.base import Objective, Terms, mean_latent

if TYPE_CHECKING:
    from ground.training.encoder import EncoderRecipe

ORDERS = tuple(permutations(range(4)))
HIDDEN = 128


class Jigsaw(Objective):
    """Which of the 24 orders of a 2 x 2 square of tiles (Noroozi and Favaro 2016, arXiv:1603.09246; 3 x 3 there)."""

    text = "pretext: jigsaw of 2 x 2 tiles (Noroozi and Favaro 2016)"
    tiles = 4

    def __init__(self, recipe: EncoderRecipe) -> None:
        super().__init__(recipe)
        latent = recipe.model.latent
        self.head = nn.Sequential(nn.Linear(4 * latent, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, len(ORDERS)))

    def samples(self, scenes: Sequence[Scene], length: int, seed: int, epoch: int) -> Dataset[Any]:
        """Four tiles of a square, row by row, float32 (4, B, 32, 32)."""
        return SquareTiles(scenes, length, seed, epoch, self.recipe.jitter)

    def forward(self, net: Ravaen, batch: Tensor, progress: float) -> tuple[Tensor, Terms]:
        """See `Objective.forward`; batch float32 (N, 4, B, 32, 32) in order. Logs `found`, the share of hits."""
        order = torch.randint(len(ORDERS), (len(batch),)).to(batch.device)
        shuffle = torch.tensor(ORDERS, device=batch.device)[order]  # (N, 4)
        latents = mean_latent(net, batch)
        shuffled = torch.gather(latents, 1, shuffle[:, :, None].expand_as(latents))  # as if the tiles had been shuffled
        logits = self.head(shuffled.flatten(1))
        total = cross_entropy(logits, order)
        return total, {"cross_entropy": total, "found": (logits.argmax(1) == order).float().mean()}
