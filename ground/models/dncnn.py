"""DnCNN, compact: a stack of 3x3 convolutions that predicts the noise.

K. Zhang, W. Zuo, Y. Chen, D. Meng, L. Zhang, "Beyond a Gaussian denoiser", TIP 26:3142 (2017),
doi:10.1109/TIP.2017.2662206 (17 layers of 64 with BatchNorm; here 8 of 32, too shallow to need it).
"""

from __future__ import annotations

from torch import Tensor, nn


class Dncnn(nn.Module):
    """(N, bands, h, w) noisy -> (N, bands, h, w)."""

    def __init__(self, bands: int, layers: int = 8, width: int = 32) -> None:
        super().__init__()
        inner = [nn.Conv2d(bands, width, 3, padding=1), nn.ReLU()]
        for _ in range(layers - 2):
            inner += [nn.Conv2d(width, width, 3, padding=1), nn.ReLU()]
        last = nn.Conv2d(width, bands, 3, padding=1)
        for layer in inner:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.normal_(last.weight, std=1e-3)
        self.body = nn.Sequential(*inner, last)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return x - self.body(x)
