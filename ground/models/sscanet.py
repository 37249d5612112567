"""SSCANet: residual blocks weighted by where (spatial) and by which feature (spectral channel); accurate, and heavy.

After H. Dou et al. 2022, spatial and spectral-channel attention for denoising multi-band images: a convolutional
residual body whose blocks carry both attentions side by side, and a global residual that predicts the noise.
The attentions are those of Woo et al. 2018 (CBAM, arXiv:1807.06521); sigmoid and products run in float on board.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class _Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.channel = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(width, width // 4, 1),
            nn.ReLU(),
            nn.Conv2d(width // 4, width, 1),
            nn.Sigmoid(),
        )
        self.spatial = nn.Sequential(nn.Conv2d(2, 1, 7, padding=3), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        where = self.spatial(torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1))
        return x * self.channel(x) + x * where


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1), _Attention(width)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Sscanet(nn.Module):
    """(N, bands, h, w) noisy -> (N, bands, h, w)."""

    def __init__(self, bands: int, blocks: int = 3, width: int = 32) -> None:
        super().__init__()
        last = nn.Conv2d(width, bands, 3, padding=1)
        nn.init.normal_(last.weight, std=1e-3)
        self.body = nn.Sequential(
            nn.Conv2d(bands, width, 3, padding=1), *(_Block(width) for _ in range(blocks)), nn.ReLU(), last
        )

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return x - self.body(x)
