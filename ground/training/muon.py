"""Muon: momentum whose matrices are orthogonalised, for convolutions; Adam for all other weights. One optimiser.

K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024): the five Newton-Schulz steps and
their coefficients are theirs. `torch.optim.Muon` takes matrices alone and counts in bfloat16, which a CPU without it
emulates; a kernel (out, in, 3, 3) is the matrix (out, 9 in) here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

A, B, C = 3.4445, -4.7750, 2.0315
STEPS = 5
MOMENTUM = 0.95
BETAS = (0.9, 0.99)
EPSILON = 1e-8


class Muon(torch.optim.Optimizer):
    """Args:
    hidden: kernels (out, in, h, w) that are orthogonalised.
    others: first and last kernels, and biases.
    lr, other_lr: peak learning rates of the two.
    """

    def __init__(self, hidden: Iterable[Tensor], others: Iterable[Tensor], lr: float, other_lr: float) -> None:
        groups: list[dict[str, Any]] = [
            {"params": list(hidden), "lr": lr, "orthogonal": True},
            {"params": list(others), "lr": other_lr, "orthogonal": False},
        ]
        super().__init__([group for group in groups if group["params"]], {})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update; what the closure returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            update = self._orthogonal if group["orthogonal"] else self._adam
            for weight in group["params"]:
                if weight.grad is not None:
                    weight.add_(update(weight), alpha=-group["lr"])
        return loss

    def _orthogonal(self, weight: Tensor) -> Tensor:
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        state["momentum"].mul_(MOMENTUM).add_(weight.grad)
        ahead = torch.add(weight.grad, state["momentum"], alpha=MOMENTUM)
        return orthogonal(ahead.flatten(1)).view_as(weight)

    def _adam(self, weight: Tensor) -> Tensor:
        state = self.state[weight]
        if not state:
            state.update(step=0, mean=torch.zeros_like(weight), square=torch.zeros_like(weight))
        state["step"] += 1
        state["mean"].lerp_(weight.grad, 1 - BETAS[0])
        state["square"].lerp_(weight.grad.square(), 1 - BETAS[1])
        mean, square = (
            state[key] / (1 - beta ** state["step"]) for key, beta in zip(("mean", "square"), BETAS, strict=True)
        )
        return mean / (square.sqrt() + EPSILON)


def orthogonal(matrix: Tensor) -> Tensor:
    """(m, n) -> nearly the closest matrix whose singular values are one (between 0.7 and 1.2)."""
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix) / (matrix.norm() + 1e-7)
    for _ in range(STEPS):
        gram = x @ x.T
        x = A * x + (B * gram + C * gram @ gram) @ x
    return x.T if tall else x


def of_network(net: nn.Module, lr: float, other_lr: float) -> Muon:
    """Square kernels are hidden layers; everything else is left to Adam."""
    weights = [weight for weight in net.parameters() if weight.requires_grad]
    hidden = [weight for weight in weights if weight.ndim == 4 and weight.shape[0] == weight.shape[1]]
    chosen = {id(weight) for weight in hidden}
    return Muon(hidden, (weight for weight in weights if id(weight) not in chosen), lr, other_lr)
