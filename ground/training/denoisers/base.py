"""What a denoiser can be trained from. An objective sees a network, crops and the noise's map, and returns a loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

CROPPED = 6
"""Pixels of a given crop at each border that a supervised loss does not see: there the network saw padding."""
Network = Callable[[Tensor], Tensor]
"""A module, or one seen through `ground.training.rounding`."""


class DenoiseObjective(Protocol):
    """One way of training; `needs_clean` says whether it may look at clean pictures."""

    text: str
    needs_clean: bool

    def loss(self, net: Network, noisy: Tensor, clean: Tensor, sigma: Tensor) -> Tensor:
        """All (N, B, h, w) in units of full scale; without `needs_clean`, `clean` holds zeros."""
        ...


def run(net: Network, noisy: Tensor, sigma: Tensor) -> Tensor:
    """The network's estimate; one that takes a noise map is given it as one plane more times `MAP_GAIN`."""
    if getattr(net, "noise_map", False):
        return net(torch.cat([noisy, MAP_GAIN * sigma.mean(1, keepdim=True)], 1))
    return net(noisy)


MAP_GAIN = 4.0
"""The map's plane is this times the standard deviation: a sigma of 63.75 / 255 fills the 8 bits."""
