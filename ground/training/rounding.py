"""Quantisation-aware training: the network runs with the numbers it will have in flight, and learns around them.

Weights are rounded to 7 bits per output channel, what comes out of each ReLU to 8 bits of its own range in the batch,
as `export.restorer_onnx` will; gradients pass as if nothing had been rounded (Y. Bengio et al. 2013, arXiv:1308.3432).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call

WEIGHT_LEVELS = 64
"""On each side of zero: ONNX Runtime's reduced range."""
LEVELS = 255


class Rounded:
    """A network seen through the rounding; its weights stay whole in the network itself, until `settle`.

    Args:
        net: of plain convolutions and ReLUs; from now on its ReLUs round while it is in training mode.
    """

    def __init__(self, net: nn.Module) -> None:
        self.net = net
        self.noise_map = bool(getattr(net, "noise_map", False))
        self.kernels = {f"{name}.weight" for name, module in net.named_modules() if isinstance(module, nn.Conv2d)}
        for module in net.modules():
            if isinstance(module, nn.ReLU):
                module.register_forward_hook(_round_output)

    @torch.no_grad()
    def settle(self) -> None:
        """Leave the rounded weights in the network: what was trained is them, and whole ones would differ by a grid."""
        for name, weight in self.net.named_parameters():
            if name in self.kernels:
                weight.copy_(through(weight))

    def __call__(self, x: Tensor) -> Tensor:
        """As the network."""
        weights = {
            name: through(weight) if name in self.kernels else weight for name, weight in self.net.named_parameters()
        }
        return functional_call(self.net, weights, (x,))


def through(weight: Tensor) -> Tensor:
    """(out, in, h, w) rounded to whole steps per output channel, with the gradient of the identity."""
    step = weight.detach().abs().amax((1, 2, 3), keepdim=True) / WEIGHT_LEVELS
    rounded = torch.round(weight.detach() / step.clamp_min(1e-12)) * step
    return weight + (rounded - weight.detach())


def _round_output(module: nn.Module, inputs: tuple[Tensor, ...], found: Tensor) -> Tensor:
    if not module.training:
        return found
    step = found.detach().amax().clamp_min(1e-12) / LEVELS
    return found + (torch.round(found.detach() / step) * step - found.detach())
