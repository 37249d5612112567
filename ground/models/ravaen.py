"""The RaVAEn variational autoencoder: a 32x32 tile of any number of bands <-> 128 numbers.

V. Ruzicka et al., "RaVAEn: unsupervised change detection of extreme events using ML on-board satellites",
Scientific Reports 12:16939 (2022), doi:10.1038/s41598-022-19437-5. Only the encoder's `mu` flies.

Everything in `Encoder` has an integer kernel in ONNX Runtime and LiteRT: 3x3 convolutions of stride 2 (BatchNorm folds
into them), a leaky or plain ReLU, one matrix product. No reshape hides a transpose and nothing depends on the batch.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

TILE = 32
SIZES: dict[str, tuple[int, int, int]] = {"small": (16, 32, 64), "medium": (32, 64, 128)}
ACTIVATIONS = ("leaky_relu", "relu")


@dataclass(frozen=True)
class RavaenConfig:
    """Shape of the network.

    Attributes:
        bands: channels of a tile.
        size: key of `SIZES`, the widths of the three convolutions.
        latent: length of mu and of logvar.
        activation: "leaky_relu" as published (slope 0.01), or "relu".
    """

    bands: int
    size: str = "small"
    latent: int = 128
    activation: str = "leaky_relu"

    def __post_init__(self) -> None:
        if self.bands < 1 or self.latent < 1:
            raise ValueError(f"bands and latent must be at least 1, got {self.bands} and {self.latent}")
        if self.size not in SIZES:
            raise ValueError(f"size must be one of {', '.join(SIZES)}, got {self.size!r}")
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {self.activation!r}")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `RavaenConfig(**config.to_dict()) == config`."""
        return asdict(self)


def _activation(config: RavaenConfig) -> nn.Module:
    return nn.LeakyReLU(0.01) if config.activation == "leaky_relu" else nn.ReLU()


def _down(inside: int, outside: int, config: RavaenConfig) -> nn.Sequential:
    """Half the side: (N, inside, s, s) -> (N, outside, s/2, s/2)."""
    conv = nn.Conv2d(inside, outside, 3, stride=2, padding=1, bias=False)  # BatchNorm brings the bias
    return nn.Sequential(conv, nn.BatchNorm2d(outside), _activation(config))


def _up(inside: int, outside: int, config: RavaenConfig) -> nn.Sequential:
    """Twice the side: (N, inside, s, s) -> (N, outside, 2s, 2s)."""
    conv = nn.ConvTranspose2d(inside, outside, 3, stride=2, padding=1, output_padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outside), _activation(config))


class Encoder(nn.Module):
    """Tile -> mean and log variance of its latent distribution."""

    def __init__(self, config: RavaenConfig) -> None:
        super().__init__()
        widths = SIZES[config.size]
        self.down = nn.Sequential(
            _down(config.bands, widths[0], config),
            _down(widths[0], widths[1], config),
            _down(widths[1], widths[2], config),
        )
        flat = widths[2] * (TILE // 8) ** 2
        self.mu = nn.Linear(flat, config.latent)
        self.logvar = nn.Linear(flat, config.latent)

    def features(self, tile: Tensor) -> Tensor:
        """float32 (N, B, 32, 32) -> (N, width * 16)."""
        x = self.down(tile)  # (N, B, 32, 32) -> (N, w0, 16, 16) -> (N, w1, 8, 8) -> (N, w2, 4, 4)
        return torch.flatten(x, 1)  # (N, w2 * 16)

    def forward(self, tile: Tensor) -> tuple[Tensor, Tensor]:
        """float32 (N, B, 32, 32), normalised -> mu, logvar, each float32 (N, latent)."""
        x = self.features(tile)
        return self.mu(x), self.logvar(x)


class Decoder(nn.Module):
    """The encoder mirrored; the last layer is bare, since its target is signed and far from a unit square."""

    def __init__(self, config: RavaenConfig) -> None:
        super().__init__()
        widths = SIZES[config.size]
        self.shape = (widths[2], TILE // 8, TILE // 8)
        self.expand = nn.Linear(config.latent, widths[2] * (TILE // 8) ** 2)
        self.up = nn.Sequential(
            _up(widths[2], widths[1], config),
            _up(widths[1], widths[0], config),
            nn.ConvTranspose2d(widths[0], config.bands, 3, stride=2, padding=1, output_padding=1),
        )

    def forward(self, latent: Tensor) -> Tensor:
        """float32 (N, latent) -> tile float32 (N, B, 32, 32)."""
        x = self.expand(latent).unflatten(1, self.shape)  # (N, w2, 4, 4)
        return self.up(x)  # -> (N, w1, 8, 8) -> (N, w0, 16, 16) -> (N, B, 32, 32)


class Ravaen(nn.Module):
    """Encoder, reparameterisation, decoder."""

    def __init__(self, config: RavaenConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    def forward(self, tile: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One pass for training.

        Args:
            tile: float32 (N, B, 32, 32), normalised.

        Returns:
            Reconstruction (N, B, 32, 32), mu (N, latent), logvar (N, latent). In `train()` the latent is drawn from
            N(mu, exp(logvar)) with torch's global generator; in `eval()` it is mu.
        """
        mu, logvar = self.encoder(tile)
        latent = mu + torch.exp(0.5 * logvar) * torch.randn_like(mu) if self.training else mu
        return self.decoder(latent), mu, logvar


def kl_divergence(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mu, exp(logvar)) || N(0, 1)), summed over the latent and averaged over the batch; scalar, nats.

    Kingma and Welling, "Auto-encoding variational Bayes" (2014), appendix B.
    """
    return -0.5 * (1.0 + logvar - mu.square() - logvar.exp()).sum(1).mean()


def loss(
    reconstruction: Tensor, target: Tensor, mu: Tensor, logvar: Tensor, kl_weight: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Total, mean squared error per value, and KL divergence per tile; total = MSE + kl_weight * KL. Scalars."""
    mse = nn.functional.mse_loss(reconstruction, target)
    kl = kl_divergence(mu, logvar)
    return mse + kl_weight * kl, mse, kl


class MuOnly(nn.Module):
    """What is exported: tile float32 (N, B, 32, 32) -> mu float32 (N, latent), and no other head."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, tile: Tensor) -> Tensor:
        """See the class."""
        return self.encoder.mu(self.encoder.features(tile))
