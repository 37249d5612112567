"""FSRCNN(d, s, m): shrink, map, expand at the low resolution, and one 9x9 deconvolution.

C. Dong, C. C. Loy, X. Tang, "Accelerating the super-resolution convolutional neural network", ECCV 2016,
doi:10.1007/978-3-319-46475-6_25: FSRCNN is (56, 12, 4), FSRCNN-s (32, 5, 1).

The network is theirs; its first weights are ours. One channel of each layer begins as a path that carries the image
through to a bicubic deconvolution, so that training begins with bicubic enlargement rather than with nothing.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from ground.scenes.resample import cubic


class Fsrcnn(nn.Module):
    """(N, bands, h, w) in 0..1 -> (N, bands, scale h, scale w)."""

    def __init__(self, bands: int, scale: int, d: int = 56, s: int = 12, m: int = 4) -> None:
        super().__init__()
        layers = [nn.Conv2d(bands, d, 5, padding=2), nn.PReLU(d), nn.Conv2d(d, s, 1), nn.PReLU(s)]
        for _ in range(m):
            layers += [nn.Conv2d(s, s, 3, padding=1), nn.PReLU(s)]
        layers += [nn.Conv2d(s, d, 1), nn.PReLU(d)]
        self.body = nn.Sequential(*layers)
        self.up = nn.ConvTranspose2d(d, bands, 9, stride=scale, padding=4, output_padding=scale - 1)
        for layer in layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)
                nn.init.zeros_(torch.as_tensor(layer.bias))
        nn.init.normal_(self.up.weight, std=1e-3)
        self._carry(scale)

    @torch.no_grad()
    def _carry(self, scale: int) -> None:
        """Channel 0 of every layer is the image (the mean of its bands), unchanged by PReLU, as it is not negative."""
        for layer in self.body:
            if isinstance(layer, nn.Conv2d):
                middle = layer.kernel_size[0] // 2
                layer.weight[0] = 0
                carried = slice(None) if layer is self.body[0] else slice(1)
                layer.weight[0, carried, middle, middle] = 1 / layer.weight[0, carried].shape[0]
        taps = cubic((np.arange(9) - 4 - (scale - 1) / 2) / scale)
        self.up.bias.zero_()
        self.up.weight[0] = torch.from_numpy(np.multiply.outer(taps, taps))

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return self.up(self.body(x))
