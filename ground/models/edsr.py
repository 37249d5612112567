"""EDSR, compact: residual blocks without normalisation at the low resolution, then sub-pixel convolution.

B. Lim, S. Son, H. Kim, S. Nah, K. M. Lee, "Enhanced deep residual networks for single image super-resolution",
CVPRW 2017, doi:10.1109/CVPRW.2017.151 (16 blocks of 64; here 4 of 32, and one enlargement whatever the scale).
"""

from __future__ import annotations

from torch import Tensor, nn


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Edsr(nn.Module):
    """(N, bands, h, w) in 0..1 -> (N, bands, scale h, scale w)."""

    def __init__(self, bands: int, scale: int, blocks: int = 4, width: int = 32) -> None:
        super().__init__()
        self.head = nn.Conv2d(bands, width, 3, padding=1)
        self.body = nn.Sequential(*(_Block(width) for _ in range(blocks)), nn.Conv2d(width, width, 3, padding=1))
        self.tail = nn.Sequential(nn.Conv2d(width, bands * scale * scale, 3, padding=1), nn.PixelShuffle(scale))

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        features = self.head(x)
        return self.tail(features + self.body(features))
