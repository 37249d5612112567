"""Muon: orthogonal updates for square kernels, Adam for the rest, and a state that can be saved."""

from copy import deepcopy

import pytest
import torch

from ground.models.anchored import Anchored
from ground.training.muon import of_network, orthogonal


@pytest.mark.parametrize("shape", [(16, 144), (48, 12), (8, 8)])
def test_an_update_has_singular_values_near_one(shape):
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonal(torch.randn(shape)))
    assert values.min() > 0.3 and values.max() < 1.3


def test_only_the_inner_kernels_are_orthogonalised():
    net = Anchored(1, 1, width=16, depth=2, noise_map=True, expand=0)
    hidden, others = of_network(net, 1e-2, 2e-3).param_groups
    assert [tuple(weight.shape) for weight in hidden["params"]] == [(16, 16, 3, 3)] * 2
    assert len(others["params"]) == 2 + 4
    assert (hidden["lr"], others["lr"]) == (1e-2, 2e-3)


def test_a_resumed_run_steps_as_the_unbroken_one():
    def steps(net, optimiser, count):
        for _ in range(count):
            optimiser.zero_grad()
            net(torch.full((1, 2, 16, 16), 0.3)).square().mean().backward()
            optimiser.step()

    torch.manual_seed(0)
    net = Anchored(1, 1, width=16, depth=1, noise_map=True, expand=0)
    optimiser = of_network(net, 1e-2, 2e-3)
    steps(net, optimiser, 2)
    other = Anchored(1, 1, width=16, depth=1, noise_map=True, expand=0)
    other.load_state_dict(net.state_dict())
    resumed = of_network(other, 1e-2, 2e-3)
    resumed.load_state_dict(deepcopy(optimiser.state_dict()))
    steps(net, optimiser, 2)
    steps(other, resumed, 2)
    for mine, theirs in zip(net.parameters(), other.parameters(), strict=True):
        assert torch.equal(mine, theirs)
