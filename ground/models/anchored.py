"""What flies: plain 3x3 convolutions and ReLU on half-resolution planes, correcting an anchor computed without them.

In the family of ABPN (Du et al. 2021, doi:10.1109/CVPRW53098.2021.00256), SESR (Bhardwaj et al. 2022, arXiv:2103.09404)
and FFDNet (Zhang et al. 2018, doi:10.1109/TIP.2018.2839891). Four choices make it exact enough in 8 bits:

- The anchor (bicubic enlargement, or the noisy image itself) is no part of the network. On board it is computed with
  whole numbers from all 16 bits of the pixels; the network's 8 bits carry only the correction, which is small.
- What enters is centred: an image less the mean of 5x5 px around each pixel where it is enlarged, less a half where
  noise is removed. Fed as it is, an image is nearly the same in all its pixels, training crawls and ReLUs die.
- 2x2 pixel-unshuffle at the input, depth-to-space at the output: a quarter of the positions with four times the
  channels is what integer matrix products are fast at.
- Training over-parameterises each convolution (`RepConv`), which leaves a plain 3x3 when it is folded.
"""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from ground.models.resampler import Bicubic, pad_to_multiple

UNSHUFFLE = 2
BOX = 5
"""Side of the mean that is taken off where the image is enlarged."""
GAIN = 2.0
"""Of what enters, which is clipped to -1..1."""
OUT_GAIN = 0.25
"""Of what leaves, so that weights of ordinary size make corrections of ordinary size."""
NOISE = 0.7
"""Of a fresh residual layer."""
SPAN = 4.0
"""Standard deviations of a component that fill -1..1."""


class RepConv(nn.Module):
    """A 3x3 convolution as 3x3 to `expand` x as many channels, 1x1 back, and (where shapes agree) the identity.

    SESR's collapsible linear block: the three are one 3x3 kernel, which is what the forward pass computes and convolves
    with, so that training costs no more than the plain convolution.
    """

    def __init__(self, inside: int, outside: int, expand: int = 4) -> None:
        super().__init__()
        inner = expand * max(inside, outside)
        self.wide = nn.Parameter(torch.empty(inner, inside, 3, 3))
        self.back = nn.Parameter(torch.empty(outside, inner))
        self.bias = nn.Parameter(torch.zeros(outside))
        nn.init.kaiming_normal_(self.wide, nonlinearity="linear")
        nn.init.normal_(self.back, std=inner**-0.5)
        self.identity = inside == outside

    def kernel(self) -> Tensor:
        """The folded kernel, (outside, inside, 3, 3)."""
        folded = torch.einsum("op,pihw->oihw", self.back, self.wide)
        if self.identity:
            unit = torch.eye(folded.shape[0], dtype=folded.dtype, device=folded.device)
            folded = folded + fn.pad(unit[:, :, None, None], (1, 1, 1, 1))
        return folded

    def forward(self, x: Tensor) -> Tensor:
        """(N, inside, h, w) -> (N, outside, h, w)."""
        return fn.conv2d(x, self.kernel(), self.bias, padding=1)

    def fold(self) -> nn.Conv2d:
        """The plain convolution that computes the same."""
        outside, inside = self.back.shape[0], self.wide.shape[1]
        plain = nn.Conv2d(inside, outside, 3, padding=1)
        with torch.no_grad():
            plain.weight.copy_(self.kernel())
            plain.bias.copy_(self.bias)  # type: ignore[union-attr]
        return plain


def near_identity(width: int) -> nn.Conv2d:
    """A plain 3x3 convolution that begins as the identity plus noise of half its power: a residual layer, folded."""
    plain = nn.Conv2d(width, width, 3, padding=1)
    nn.init.normal_(plain.weight, std=NOISE * (9 * width) ** -0.5)
    nn.init.zeros_(torch.as_tensor(plain.bias))
    with torch.no_grad():
        plain.weight[:, :, 1, 1] += torch.eye(width)
    return plain


class Anchored(nn.Module):
    """(N, bands, h, w) in 0..1, with a noise map (N, 1, h, w) where it has one -> (N, bands, scale h, scale w).

    Args:
        bands: of the image.
        scale: 1 removes noise, 2 to 4 enlarge.
        width, depth: channels, and convolutions between the first and the last.
        noise_map: whether a map of the noise's standard deviation (0..1) comes as one plane more.
        expand: of each `RepConv`; 0 for plain convolutions, which Muon trains better.
        mixed: whether the convolutions see and give principal components in place of bands (`mix`), of denoisers
            alone; what bands differ by is where noise shows best, and nothing to a network that has yet to learn to
            subtract. The flight software mixes in float: 7 bits of weights are too few for small differences.
    """

    def __init__(
        self, bands: int, scale: int, width: int = 40, depth: int = 3, noise_map: bool = False, expand: int = 4,
        mixed: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.bands, self.scale, self.noise_map, self.mixed = bands, scale, noise_map, mixed
        if mixed:
            self.register_buffer("mean", torch.zeros(bands))
            self.register_buffer("into", torch.eye(bands))
            self.register_buffer("back", torch.eye(bands))
        planes = UNSHUFFLE**2
        inputs = planes * (bands + int(noise_map))
        self.anchor = Bicubic(scale)
        convolutions: list[nn.Module] = [RepConv(inputs, width), *(RepConv(width, width) for _ in range(depth))]
        if not expand:
            first = nn.Conv2d(inputs, width, 3, padding=1)
            nn.init.kaiming_normal_(first.weight, nonlinearity="relu")
            convolutions = [first, *(near_identity(width) for _ in range(depth))]
        layers: list[nn.Module] = []
        for one in convolutions:
            layers += [one, nn.ReLU()]
        last = nn.Conv2d(width, planes * bands * scale**2, 3, padding=1)
        nn.init.normal_(last.weight, std=0.02)
        nn.init.zeros_(torch.as_tensor(last.bias))
        self.body = nn.Sequential(*layers, last)

    def mix(self, clean: Tensor, sigma: Tensor) -> None:
        """Settle the components: of bands in units of their noise, each brought to about unit variance.

        Args:
            clean: (B, n) pixels in 0..1, of the training pictures.
            sigma: (B,) standard deviation of the noise.
        """
        clean, sigma = clean.double(), sigma.double()
        variances, axes = torch.linalg.eigh(torch.cov(clean / sigma[:, None]))
        self.mean.copy_(clean.mean(1))
        self.into.copy_((axes / sigma[:, None]).T / SPAN / (1 + variances.clamp_min(0)).sqrt()[:, None])
        self.back.copy_(axes * sigma[:, None])

    @property
    def reach(self) -> int:
        """Pixels of the input around an output pixel that can change it; even."""
        convolutions = sum(isinstance(one, (RepConv, nn.Conv2d)) for one in self.body)
        return UNSHUFFLE * (convolutions + 1 + (BOX // 2 + 1) // UNSHUFFLE * int(self.scale > 1))

    def fed(self, x: Tensor) -> Tensor:
        """What enters the convolutions, -1..1, of the same shape as x; see the module."""
        if self.mixed:
            image = torch.einsum("kb,nbhw->nkhw", self.into, x[:, : self.bands] - self.mean[:, None, None])
            return torch.cat([image, GAIN * (x[:, self.bands :] - 0.5)], 1).clamp(-1, 1)
        if self.scale == 1:
            return (GAIN * (x - 0.5)).clamp(-1, 1)
        reach = BOX // 2
        padded = fn.pad(x, (reach, reach, reach, reach), mode="replicate")
        return (GAIN * (x - fn.avg_pool2d(padded, BOX, 1))).clamp(-1, 1)

    def unmixed(self, found: Tensor) -> Tensor:
        """What the convolutions give, shuffled back (N, bands, h, w), as a correction of bands."""
        return torch.einsum("bk,nkhw->nbhw", self.back, found) if self.mixed else found

    def correction(self, x: Tensor) -> Tensor:
        """What is added to the anchor; x: image and noise map, sides even."""
        planes = self.body(fn.pixel_unshuffle(self.fed(x), UNSHUFFLE))
        return self.unmixed(OUT_GAIN * fn.pixel_shuffle(planes, UNSHUFFLE * self.scale))

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        h, w = x.shape[-2:]
        found = self.correction(pad_to_multiple(x, UNSHUFFLE))
        return self.anchor(x[:, : self.bands]) + found[..., : h * self.scale, : w * self.scale]

    def folded(self) -> Anchored:
        """Plain convolutions whose `body` gives the correction itself, or its components, in `eval()`; for export."""
        copy = Anchored(self.bands, self.scale, 1, 0, self.noise_map)
        copy.body = nn.Sequential(*(one.fold() if isinstance(one, RepConv) else deepcopy(one) for one in self.body))
        with torch.no_grad():
            copy.body[-1].weight.mul_(OUT_GAIN)
            copy.body[-1].bias.mul_(OUT_GAIN)
        return copy.eval()
