"""Rounding one weight after the other: on the grid, and nearer to what the whole weights give."""

import torch
from torch import nn

from export.compensated import LEVELS, compensated
from ground.models.anchored import near_identity


def test_what_leaves_is_nearer_and_weights_are_on_the_grid():
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(4, 16, 3, padding=1), nn.ReLU(), near_identity(16), nn.ReLU(), near_identity(16))
    coarse = torch.randn(12, 4, 6, 6)
    planes = nn.functional.interpolate(coarse, size=(24, 24), mode="bilinear")  # smooth, as pictures are
    seen, unseen = planes[:8], planes[8:]
    plain = nn.Sequential(*(_rounded(one) for one in body))
    found = compensated(body, seen)
    with torch.no_grad():
        wanted = body(unseen)
        near, far = ((one(unseen) - wanted).square().mean() for one in (found, plain))
    assert near < 0.5 * far
    for after in found:
        if isinstance(after, nn.Conv2d):
            step = after.weight.abs().amax((1, 2, 3), keepdim=True) / LEVELS
            steps = after.weight / step
            assert (steps - steps.round()).abs().max() < 1e-3


@torch.no_grad()
def _rounded(layer):
    if not isinstance(layer, nn.Conv2d):
        return layer
    plain = nn.Conv2d(*layer.weight.shape[1::-1], 3, padding=1)
    step = layer.weight.abs().amax((1, 2, 3), keepdim=True) / LEVELS
    plain.weight.copy_((layer.weight / step).round() * step)
    plain.bias.copy_(layer.bias)
    return plain
