"""Contrastive training between dates: a place is to resemble itself on another date more than any other place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize
from torch.utils.data import Dataset

from ground.models.ravaen import Ravaen
from ground.scenes.groups import PairTiles
from ground.scenes.pairs import Scene
from ground.training.objectives.base import Objective, Terms, mean_latent

TEMPERATURE = 0.1


class Contrastive(Objective):
    """InfoNCE in both directions (van den Oord et al. 2018, arXiv:1807.03748), dates as in SeCo (Manas et al. 2021).

    The two dates get radiometric jitter and a displacement each; the other places of the batch are the negatives.
    Whatever changed between the dates counts as the same, too: no label says otherwise.
    """

    text = "contrastive between dates (InfoNCE, domain-randomised radiometry)"
    tiles = 2

    def samples(self, scenes: Sequence[Scene], length: int, seed: int, epoch: int) -> Dataset[Any]:
        """Two dates of one place, float32 (2, B, 32, 32)."""
        return PairTiles(scenes, length, seed, epoch, self.recipe.jitter)

    def forward(self, net: Ravaen, batch: Tensor, progress: float) -> tuple[Tensor, Terms]:
        """See `Objective.forward`; batch float32 (N, 2, B, 32, 32). Logs `found`, the share of places recognised."""
        first, second = normalize(mean_latent(net, batch), dim=-1).unbind(1)
        logits = first @ second.T / TEMPERATURE
        own = torch.arange(len(logits), device=logits.device)
        total = 0.5 * (cross_entropy(logits, own) + cross_entropy(logits.T, own))
        return total, {"info_nce": total, "found": (logits.argmax(1) == own).float().mean()}
