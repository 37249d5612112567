"""Weights on their integer grid, where what the rounding of one takes is given back by those not rounded yet.

Rounded each by itself, the weights of a kernel err alike wherever its inputs agree, and those of a network that begins
as the identity agree in most pixels. So they are rounded one after the other, and each one's error, as the inputs of
real pictures would show it, is laid into the remaining ones and at last into the bias: GPTQ (E. Frantar et al. 2023,
arXiv:2210.17323) for convolutions of 3x3. No gradient, seconds of work.
"""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

LEVELS = 64
"""On each side of zero: ONNX Runtime's reduced range."""
LITERT_LEVELS = 127
"""What the TFLite quantiser leaves of 8 bits, on each side of zero."""
CROPS = 32
"""That are looked at."""
SOFTENED = 0.001
"""Of the mean power of the inputs, added to each: what was never seen is not divided by."""


@torch.no_grad()
def compensated(body: nn.Sequential, planes: Tensor, levels: int = LEVELS) -> nn.Sequential:
    """A copy whose kernels lie on the grid that the quantiser finds again: steps of their greatest weight / `levels`.

    Args:
        body: 3x3 convolutions with a bias, and ReLUs.
        planes: (n, P, h, w) as the network sees them.
        levels: of the quantiser, on each side of zero.
    """
    found = deepcopy(body)
    whole = seen = planes[:: max(1, len(planes) // CROPS)]
    for layer, own in zip(found, body, strict=True):
        if isinstance(layer, nn.Conv2d):
            weight, bias = _rounded(layer, seen, whole, levels)
            layer.weight.copy_(weight)
            torch.as_tensor(layer.bias).copy_(bias)
        whole, seen = own(whole), layer(seen)
    return found


def _rounded(layer: nn.Conv2d, seen: Tensor, whole: Tensor, levels: int) -> tuple[Tensor, Tensor]:
    """Kernel (out, in, 3, 3) on its grid, and bias (out,).

    Args:
        seen: what the rounded layers before it give: of it, the layer should make what it makes of `whole`.
    """
    terms = layer.weight[0].numel()
    power, cross = (torch.zeros(terms + 1, terms + 1, dtype=torch.float64) for _ in range(2))
    for one, other in zip(seen, whole, strict=True):
        given, meant = (_unfolded(layer, image) for image in (one, other))
        power += given @ given.T
        cross += meant @ given.T
    power += SOFTENED * power.diagonal().mean() * torch.eye(terms + 1, dtype=torch.float64)
    cross += SOFTENED * power.diagonal().mean() * torch.eye(terms + 1, dtype=torch.float64)
    weights = torch.cat([layer.weight.flatten(1), torch.as_tensor(layer.bias)[:, None]], 1).double()
    weights = torch.linalg.solve(power, (weights @ cross).T).T
    step = weights[:, :terms].abs().amax(1).clamp_min(1e-12) / levels
    order = torch.cat([power.diagonal()[:terms].argsort(descending=True), torch.tensor([terms])])
    weights, power = weights[:, order], power[order][:, order]
    spread = torch.linalg.cholesky(torch.linalg.inv(power), upper=True)
    top = weights[:, :terms].abs().argmax(1, keepdim=True)
    held = weights.gather(1, top)  # a whole number of steps already, and what the quantiser finds the grid by
    for i in range(terms):
        rounded = (weights[:, i] / step).round().clamp(-levels, levels) * step
        error = (weights[:, i] - rounded) / spread[i, i]
        weights[:, i + 1 :] -= torch.outer(error, spread[i, i + 1 :])
        weights[:, i] = rounded
        weights.scatter_(1, top, held)
    back = torch.empty_like(weights)
    back[:, order] = weights
    return back[:, :terms].float().reshape(layer.weight.shape), back[:, terms].float()


def _unfolded(layer: nn.Conv2d, image: Tensor) -> Tensor:
    """(in, h, w) -> (terms + 1, h w): what each weight is multiplied by, the bias last."""
    seen = fn.unfold(image[None], layer.weight.shape[2:], padding=layer.padding)[0]
    return torch.cat([seen, torch.ones(1, seen.shape[1])])
