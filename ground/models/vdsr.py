"""VDSR: a deep stack of 3x3 convolutions that adds detail to the bicubic enlargement.

J. Kim, J. K. Lee, K. M. Lee, "Accurate image super-resolution using very deep convolutional networks", CVPR 2016,
doi:10.1109/CVPR.2016.182. Full: 20 layers of 64; compact: 8 of 32.
"""

from __future__ import annotations

from torch import Tensor, nn

from ground.models.resampler import Bicubic


class Vdsr(nn.Module):
    """(N, bands, h, w) in 0..1 -> (N, bands, scale h, scale w)."""

    def __init__(self, bands: int, scale: int, layers: int = 20, width: int = 64) -> None:
        super().__init__()
        self.up = Bicubic(scale)
        inner = [nn.Conv2d(bands, width, 3, padding=1), nn.ReLU()]
        for _ in range(layers - 2):
            inner += [nn.Conv2d(width, width, 3, padding=1), nn.ReLU()]
        last = nn.Conv2d(width, bands, 3, padding=1)
        self.body = nn.Sequential(*inner, last)
        for layer in inner:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(last.weight)  # starts as the bicubic enlargement

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        coarse = self.up(x)
        return coarse + self.body(coarse)
