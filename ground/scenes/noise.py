"""Noise as it is added to clean pictures: white Gaussian, or a small push-broom sensor's.

The sensor: shot and read noise of variance a^2 + b Z (Foi et al. 2008, doi:10.1109/TIP.2008.2001399), a gain and an
offset of each column (stripes), steps between detector modules, dead columns, and 12 bits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard.restore.destripe import column_offsets, without

F32 = NDArray[np.float32]
PEDESTAL = 64 / 255
"""Of full scale, added below and above before white noise goes through whole numbers, which know no sign."""

WHOLE = 8191
"""Whole numbers to full scale, so that 16 bits reach to eight times of it."""
HEADROOM = 1.2
"""Of the converter above the brightest ground."""


@dataclass(frozen=True)
class Gaussian:
    """White noise of standard deviation sigma / 255 of full scale; over a range of sigma, one for each picture."""

    low: float = 25.0
    high: float = 25.0

    def add(self, clean: F32, rng: np.random.Generator) -> tuple[F32, F32]:
        """(noisy, map of its standard deviation), each float32 of clean's shape, in units of full scale.

        Values leave 0..1; `lifted` brings them back.
        """
        sigma = np.float32(rng.uniform(self.low, self.high) / 255)
        noise = rng.standard_normal(clean.shape, dtype=np.float32) * sigma
        return clean + noise, np.full_like(clean, sigma)


def lifted(values: F32) -> F32:
    """Full scale with a pedestal at both ends -> 0..1."""
    return np.asarray((values + np.float32(PEDESTAL)) / np.float32(1 + 2 * PEDESTAL), np.float32)


@dataclass(frozen=True)
class Sensor:
    """A push-broom sensor of low signal-to-noise ratio. Pictures are reflectances of 0..1 full scale.

    Attributes:
        snr: at the picture's mean, as sensors are specified: signal over standard deviation (20 is 26 dB).
        read_share: of the variance at the mean that is read noise (a^2); the rest is shot noise (b Z).
        gain, offset: standard deviation of a column's gain, and of its offset in units of full scale.
        step: standard deviation of a detector module's offset, units of full scale.
        module: columns of a detector module.
        dead: share of columns that give nothing.
        bits: of the converter.
        least: where above 0, the ratio is drawn for each picture from `least` to `snr` (`drawn`).
    """

    snr: float = 20.0
    read_share: float = 0.3
    gain: float = 0.01
    offset: float = 0.004
    step: float = 0.004
    module: int = 128
    dead: float = 0.002
    bits: int = 12
    least: float = 0.0

    def drawn(self, rng: np.random.Generator) -> Sensor:
        """The sensor of one picture, whose ratio is settled."""
        return replace(self, snr=float(rng.uniform(self.least, self.snr)), least=0.0) if self.least else self

    def add(self, clean: F32, rng: np.random.Generator) -> tuple[F32, F32]:
        """(noisy, map of the shot and read noise's standard deviation), float32 (H, W).

        The converter reaches to twice full scale, or to the brightest ground: what saturates is lost, not noisy.
        """
        mean = float(clean.mean())
        variance = (mean / self.snr) ** 2
        sigma = np.sqrt(variance * (self.read_share + (1 - self.read_share) * np.maximum(clean, 0) / mean))
        width = clean.shape[-1]
        columns = 1 + self.gain * rng.standard_normal(width)
        offsets = self.offset * rng.standard_normal(width)
        modules = self.step * rng.standard_normal(width // self.module + 2)
        offsets += modules[(np.arange(width) + rng.integers(self.module)) // self.module]
        noisy = clean * columns + offsets + sigma * rng.standard_normal(clean.shape)
        noisy[:, rng.random(width) < self.dead] = 0.0
        levels = 2**self.bits - 1
        unit = max(2.0, HEADROOM * float(clean.max())) / levels
        noisy = np.clip(np.rint(noisy / unit), 0, levels) * unit
        return noisy.astype(np.float32), sigma.astype(np.float32)

    def repair(self, noisy: F32) -> F32:
        """Without its dead columns (known to any operator: they are all zero), filled from left and right.

        Stripes are left in it: `destriped` takes them out.
        """
        dead = np.flatnonzero((noisy == 0).all(0))
        alive = np.flatnonzero(~(noisy == 0).all(0))
        if not len(dead) or not len(alive):
            return noisy
        fixed = noisy.copy()
        place = np.searchsorted(alive, dead)
        left, right = alive[np.maximum(place - 1, 0)], alive[np.minimum(place, len(alive) - 1)]
        fixed[:, dead] = (noisy[:, left] + noisy[:, right]) / 2
        return fixed

    def expected(self, noisy: F32) -> F32:
        """The map of standard deviation, estimated from what was measured."""
        mean = float(noisy.mean())
        smooth = np.maximum(noisy, 0)
        variance = (mean / self.snr) ** 2 * (self.read_share + (1 - self.read_share) * smooth / mean)
        return np.sqrt(variance).astype(np.float32)


def whole(noisy: F32) -> NDArray[np.uint16]:
    """(H, W) in units of full scale, up to 8, as DN of which `WHOLE` are full scale."""
    return np.clip(np.rint(noisy * np.float32(WHOLE)), 0, 65535).astype(np.uint16)


def destriped(noisy: F32) -> F32:
    """(H, W) in units of full scale, up to 8, through the flight software's whole numbers without its stripes."""
    dn = whole(noisy)
    return without(dn, column_offsets(dn)).astype(np.float32) / np.float32(WHOLE)


def model_of(plain: dict[str, Any]) -> Gaussian | Sensor:
    """Of a recipe's plain values; ValueError for an unknown kind."""
    values = dict(plain)
    kind = values.pop("kind")
    if kind not in ("gaussian", "sensor"):
        raise ValueError(f"noise must be gaussian or sensor, got {kind!r}")
    return Gaussian(**values) if kind == "gaussian" else Sensor(**values)
