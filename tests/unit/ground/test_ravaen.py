from __future__ import annotations

import pytest
import torch
from torch.distributions import Normal
from torch.distributions import kl_divergence as reference_kl

from ground.models.ravaen import MuOnly, Ravaen, RavaenConfig, kl_divergence, loss


@pytest.mark.parametrize(
    ("size", "bands", "latent"), [("small", 4, 128), ("small", 10, 16), ("medium", 5, 128), ("small", 1, 8)]
)
def test_shapes_for_any_number_of_bands(size, bands, latent):
    net = Ravaen(RavaenConfig(bands, size, latent)).eval()
    reconstruction, mu, logvar = net(torch.zeros(3, bands, 32, 32))
    assert reconstruction.shape == (3, bands, 32, 32)
    assert mu.shape == logvar.shape == (3, latent)


def test_size_of_the_published_small_encoder():
    encoder = Ravaen(RavaenConfig(4)).encoder
    convolutions = [p.numel() for name, p in encoder.named_parameters() if p.dim() == 4]
    assert convolutions == [16 * 4 * 9, 32 * 16 * 9, 64 * 32 * 9]
    assert encoder.mu.weight.shape == (128, 64 * 4 * 4)


def test_eval_is_the_mean_and_train_draws_noise():
    torch.manual_seed(0)
    net = Ravaen(RavaenConfig(2, latent=8))
    tiles = torch.randn(4, 2, 32, 32)
    net.train()
    assert not torch.equal(net(tiles)[0], net(tiles)[0])
    net.eval()
    reconstruction, mu, _ = net(tiles)
    assert torch.equal(reconstruction, net.decoder(mu))
    assert torch.equal(MuOnly(net.encoder)(tiles), mu)


def test_kl_is_zero_at_the_prior_and_matches_torch():
    assert kl_divergence(torch.zeros(5, 7), torch.zeros(5, 7)).item() == 0.0
    mu, logvar = torch.randn(5, 7), torch.randn(5, 7)
    expected = reference_kl(Normal(mu, (0.5 * logvar).exp()), Normal(0.0, 1.0)).sum(1).mean()
    assert kl_divergence(mu, logvar).item() == pytest.approx(expected.item(), rel=1e-5)


def test_loss_weighs_its_parts():
    tiles, mu, logvar = torch.zeros(2, 1, 32, 32), torch.ones(2, 3), torch.zeros(2, 3)
    total, mse, kl = loss(tiles + 2.0, tiles, mu, logvar, 0.1)
    assert (mse.item(), kl.item(), total.item()) == pytest.approx((4.0, 1.5, 4.15))


def test_a_few_steps_learn():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    net = Ravaen(RavaenConfig(2, latent=16))
    tiles = torch.randn(16, 2, 1, 1).expand(-1, -1, 32, 32).contiguous()
    optimiser = torch.optim.Adam(net.parameters(), 1e-2)
    losses = []
    for _ in range(25):
        reconstruction, mu, logvar = net(tiles)
        total, _, _ = loss(reconstruction, tiles, mu, logvar, 1e-4)
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        losses.append(total.item())
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("wrong", [{"bands": 0}, {"bands": 4, "size": "huge"}, {"bands": 4, "activation": "gelu"}])
def test_a_wrong_shape_is_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        RavaenConfig(**wrong)
