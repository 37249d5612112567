"""SRCNN 9-5-5: three convolutions on the bicubic enlargement.

C. Dong, C. C. Loy, K. He, X. Tang, "Image super-resolution using deep convolutional networks", TPAMI 38:295 (2016),
doi:10.1109/TPAMI.2015.2439281.
"""

from __future__ import annotations

from torch import Tensor, nn

from ground.models.resampler import Bicubic


class Srcnn(nn.Module):
    """(N, bands, h, w) in 0..1 -> (N, bands, scale h, scale w)."""

    def __init__(self, bands: int, scale: int) -> None:
        super().__init__()
        self.up = Bicubic(scale)
        self.body = nn.Sequential(
            nn.Conv2d(bands, 64, 9, padding=4),
            nn.ReLU(),
            nn.Conv2d(64, 32, 5, padding=2),
            nn.ReLU(),
            nn.Conv2d(32, bands, 5, padding=2),
        )

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return self.body(self.up(x))
