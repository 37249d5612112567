"""Relative location: where does a second tile lie, seen from the first?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import Dataset

from ground.models.ravaen import Ravaen
from ground.scenes.groups import NEIGHBOURS, NeighbourTiles
from ground.scenes.pairs import Scene
from ground.training.objectives.base import Objective, Terms, mean_latent

if TYPE_CHECKING:
    from ground.training.encoder import EncoderRecipe

HIDDEN = 128


class RelativeLocation(Objective):
    """Which of the 8 neighbours a tile is (Doersch et al. 2015, doi:10.1109/ICCV.2015.167)."""

    text = "pretext: relative location (Doersch et al. 2015)"
    tiles = 2

    def __init__(self, recipe: EncoderRecipe) -> None:
        super().__init__(recipe)
        latent = recipe.model.latent
        self.head = nn.Sequential(nn.Linear(2 * latent, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, len(NEIGHBOURS)))

    def samples(self, scenes: Sequence[Scene], length: int, seed: int, epoch: int) -> Dataset[Any]:
        """A tile and a neighbour, float32 (2, B, 32, 32), and which neighbour it is, 0..7."""
        return NeighbourTiles(scenes, length, seed, epoch, self.recipe.jitter)

    def forward(self, net: Ravaen, batch: list[Tensor], progress: float) -> tuple[Tensor, Terms]:
        """See `Objective.forward`; batch: tiles (N, 2, B, 32, 32) and int64 (N,). Logs `found`, the share of hits."""
        tiles, where = batch
        logits = self.head(mean_latent(net, tiles).flatten(1))
        total = cross_entropy(logits, where)
        return total, {"cross_entropy": total, "found": (logits.argmax(1) == where).float().mean()}
