"""Training through the rounding: the grid is that of the exporter, gradients arrive, evaluation sees none of it."""

import torch

from ground.models.anchored import Anchored
from ground.training.rounding import WEIGHT_LEVELS, Rounded, through


def test_weights_lie_on_the_grid_of_their_channel():
    torch.manual_seed(0)
    weight = torch.randn(5, 3, 3, 3)
    steps = through(weight) / weight.abs().amax((1, 2, 3), keepdim=True) * WEIGHT_LEVELS
    assert torch.allclose(steps, steps.round(), atol=1e-3)
    assert float(steps.abs().max()) <= WEIGHT_LEVELS + 1e-3


def test_gradients_reach_the_whole_weights_and_evaluation_is_not_rounded():
    torch.manual_seed(0)
    net = Anchored(1, 1, width=8, depth=1, noise_map=True, expand=0)
    x = torch.rand(1, 2, 16, 16)
    net.eval()
    before = net(x)
    seen = Rounded(net)
    assert torch.equal(net(x), before)
    net.train()
    assert not torch.equal(seen(x), before)
    seen(x).square().mean().backward()
    assert all(weight.grad is not None for weight in net.parameters())


def test_what_was_trained_rounded_is_kept_rounded():
    torch.manual_seed(0)
    net = Anchored(1, 1, width=8, depth=1, noise_map=True, expand=0)
    x = torch.rand(1, 2, 16, 16)
    seen = Rounded(net.eval())
    trained = seen(x)
    seen.settle()
    assert torch.allclose(net(x), trained, atol=1e-6)
