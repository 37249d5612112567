"""Triplets: two passes of a place are to lie closer than a pass and the same pass with a simulated disaster in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.nn.functional import cosine_similarity, relu
from torch.utils.data import Dataset

from ground.models.ravaen import Ravaen
from ground.scenes.events import simulated_events
from ground.scenes.groups import TripletTiles
from ground.scenes.pairs import Scene
from ground.training.objectives.base import Objective, Terms, mean_latent

MARGIN = 0.5
"""In cosine distance, 0..2."""


class Triplet(Objective):
    """Hinge on the difference of cosine distances (Schroff et al. 2015, doi:10.1109/CVPR.2015.7298682)."""

    text = "triplet (another pass, the same with a simulated disaster)"
    tiles = 3

    def samples(self, scenes: Sequence[Scene], length: int, seed: int, epoch: int) -> Dataset[Any]:
        """One date, another, and that other with an event, float32 (3, B, 32, 32)."""
        events = simulated_events(self.recipe.bands, self.recipe.rule)
        return TripletTiles(scenes, length, seed, epoch, self.recipe.jitter, events)

    def forward(self, net: Ravaen, batch: Tensor, progress: float) -> tuple[Tensor, Terms]:
        """See `Objective.forward`; batch float32 (N, 3, B, 32, 32). Logs `ordered`, the share in the right order."""
        anchor, same, changed = mean_latent(net, batch).unbind(1)
        near, far = (1 - cosine_similarity(anchor, other) for other in (same, changed))
        total = relu(near - far + MARGIN).mean()
        return total, {"hinge": total, "ordered": (near < far).float().mean()}
