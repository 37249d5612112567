"""A small temporal convolutional network that forecasts a sub-cell's next look from its history.

Causal dilated convolutions over the last clear looks (Bai, Kolter & Koltun 2018). Looks come at any gap, so each one
carries its own: the step between two of them is no unit of time. Seasons enter relative to the look that is forecast,
and values relative to the history's mean, so that one network serves every cover, place and day of the year.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

LOOKS = 24
"""Clear looks of the past that are seen."""
TIME_FEATURES = 4
"""Sine and cosine of the season relative to the forecast look, log gap to it, and whether there was a look."""


class Forecaster(nn.Module):
    """(history) -> mean and log spread of the look that is forecast.

    Args:
        bands: F, of a sub-cell.
        width: channels of each convolution.
        kernel: taps of each convolution; four of them, dilated 1, 2, 4, 8.
    """

    def __init__(self, bands: int, width: int = 16, kernel: int = 3) -> None:
        super().__init__()
        self.bands = bands
        sizes = [bands + TIME_FEATURES, width, width, width, width]
        self.layers = nn.ModuleList(
            nn.Conv1d(sizes[i], sizes[i + 1], kernel, dilation=2**i) for i in range(len(sizes) - 1)
        )
        self.head = nn.Linear(width, 2 * bands)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, values: Tensor, when: Tensor) -> tuple[Tensor, Tensor]:
        """Forecast.

        Args:
            values: float32 (N, F, LOOKS), oldest first; where there was no look, zero.
            when: float32 (N, TIME_FEATURES, LOOKS), the last row 1 where there was a look, else all zero.

        Returns:
            Mean (N, F), in the units of the values, and log spread (N, F).
        """
        there = when[:, -1:]
        level = values.sum(dim=2, keepdim=True) / there.sum(dim=2, keepdim=True).clamp(min=1)
        x = torch.cat([(values - level) * there, when], dim=1)
        for number, layer in enumerate(self.layers):
            assert isinstance(layer, nn.Conv1d)
            padded = nn.functional.pad(x, ((layer.kernel_size[0] - 1) * layer.dilation[0], 0))
            y = nn.functional.relu(layer(padded))
            x = y if number == 0 else x + y
        mean, spread = self.head(x[:, :, -1]).chunk(2, dim=1)
        return level[:, :, 0] + mean, spread.clamp(-4, 4)
