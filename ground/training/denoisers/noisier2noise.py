"""Noisier2Noise: add more noise, learn to remove it, and extrapolate to none.

N. Moran, D. Schmidt, Y. Zhong, P. Coady, "Noisier2Noise: learning to denoise from unpaired noisy data", CVPR 2020,
doi:10.1109/CVPR42600.2020.01208. With synthetic noise alpha times as strong as the picture's own, E[y|z] of the
noisier z lies between z and the clean picture, which is ((1 + alpha^2) E[y|z] - z) / alpha^2. The level of the noise
must be known.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as fn

from ground.training.denoisers.base import Network, run

ALPHA = 0.5
"""Of the paper's ablation: a good trade of easy task against large extrapolation."""


class Noisier2Noise:
    """The network itself is trained to give the clean picture: the halfway point is made of its output.

    With estimate c of the clean picture from z, E[y|z] = (alpha^2 c + z) / (1 + alpha^2) is compared with y. So what is
    exported denoises an image in one pass like any other; the map it gets is that of the noise in its input.
    """

    text = "single noisy pictures of known noise, noisier copies"
    needs_clean = False

    def loss(self, net: Network, noisy: Tensor, clean: Tensor, sigma: Tensor) -> Tensor:
        """See `DenoiseObjective`."""
        noisier = noisy + ALPHA * sigma * torch.randn_like(noisy)
        estimate = run(net, noisier, sigma * (1 + ALPHA**2) ** 0.5)
        halfway = (ALPHA**2 * estimate + noisier) / (1 + ALPHA**2)
        return fn.mse_loss(halfway, noisy) * ((1 + ALPHA**2) / ALPHA**2) ** 2
