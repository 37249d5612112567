"""From reflectance at the top to digital numbers: optics, registration, noise, offset. Any block gives the same pixels.

Noise is the sum of four 16-bit uniforms from PCG64's raw words, whose stream numpy guarantees (its normal deviates it
does not), seeded per pass and block.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onboard.sense.bands import NATIVE_RESOLUTION_M
from onboard.sense.simulator.noise import F32, generator, key_of
from onboard.sense.simulator.spec import Look, SimSpec
from onboard.sense.simulator.spectra import BANDS

HALO = 8
"""Pixels of world around a block that its optics need; even, so that 20 m pixels stay whole."""

_PSF_10M, _PSF_20M = 0.45, 0.95  # standard deviation in 10 m pixels; MTF at Nyquist about 0.37 and 0.2 as for MSI
_READ = np.array([8, 7, 7, 9, 8, 8, 12, 9, 6, 6]) * 1e-4
_SHOT = np.array([2.2, 2.2, 2.4, 2.6, 2.6, 2.6, 3.2, 2.6, 2.2, 2.4]) * 1e-5  # variance per unit of reflectance
_USUAL = np.array([8, 9, 9, 12, 20, 24, 25, 26, 22, 14]) * 1e-2
"""Reflectance of usual ground, at which a small sensor's signal-to-noise ratio is given."""
_READ_SHARE = 0.3
"""Of a small sensor's variance there; the rest is shot noise."""
QUANTIFICATION = 10_000.0


@dataclass(frozen=True)
class Sensor:
    """One pass's instrument state.

    Attributes:
        key: of its noise.
        shift: rows, cols by which the image lies off the grid, pixels; at most 1 in each.
        band_shift: per band on top of it, (10, 2).
        gain: radiometric error per band, about 1.
        offset: of the product, DN.
        snr: of a small sensor on usual ground; 0 for Sentinel-2's own noise.
    """

    key: int
    shift: tuple[float, float]
    band_shift: tuple[tuple[float, float], ...]
    gain: tuple[float, ...]
    offset: float
    snr: float = 0.0

    def variance(self, band: int, seen: F32) -> F32:
        """Of the noise, for what is seen as reflectance."""
        read, shot = _READ[band] ** 2, _SHOT[band]
        if self.snr:
            whole = (_USUAL[band] / self.snr) ** 2
            read, shot = whole * _READ_SHARE, whole * (1 - _READ_SHARE) / _USUAL[band]
        return np.asarray(np.float32(read) + np.float32(shot) * np.maximum(seen, 0), np.float32)


def make_sensor(spec: SimSpec, look: Look, index_from_last: int) -> Sensor:
    """Draw a pass's registration and gain; mixed offsets alternate, so that neighbours always differ."""
    rng = generator(spec.world, "sensor", look.time.isoformat())

    def around(spread: float) -> float:
        return spread * (float(rng.random()) + float(rng.random()) - 1)

    shift = (around(1.0), around(1.0))
    bands = tuple((around(0.15), around(0.15)) for _ in BANDS)
    common = 1 + around(0.04)
    gain = tuple(common * (1 + around(0.015)) for _ in BANDS)
    offset = {"0": 0.0, "-1000": -1000.0}.get(spec.offset, -1000.0 if index_from_last % 2 == 0 else 0.0)
    return Sensor(key_of(spec.world, "grain", look.time.isoformat()), shift, bands, gain, offset, spec.snr)


def _taps(sigma: float, centre: float, reach: int) -> list[tuple[int, np.float32]]:
    """Offsets and weights of a shifted Gaussian; they sum to one."""
    offsets = range(-reach, reach + 1)
    weights = [math.exp(-((k - centre) ** 2) / (2 * sigma**2)) for k in offsets]
    return [(k, np.float32(w / sum(weights))) for k, w in zip(offsets, weights, strict=True) if w > 1e-4]


def _blur(image: F32, sensor: Sensor, band: int, step: int) -> F32:
    """Resample to the sensor's grid: (H, W) with its halo -> ((H - 2 HALO) / step, (W - 2 HALO) / step)."""
    sigma, reach = (_PSF_10M, 3) if step == 1 else (_PSF_20M, 5)
    middle = (step - 1) / 2
    height, width = image.shape[0] - 2 * HALO, image.shape[1] - 2 * HALO
    moves = [sensor.shift[axis] + sensor.band_shift[band][axis] + middle for axis in (0, 1)]
    rows = np.zeros((height // step, image.shape[1]), np.float32)
    for k, weight in _taps(sigma, moves[0], reach):
        rows += weight * image[HALO + k : HALO + k + height : step]
    out = np.zeros((height // step, width // step), np.float32)
    for k, weight in _taps(sigma, moves[1], reach):
        out += weight * rows[:, HALO + k : HALO + k + width : step]
    return out


def _grain(key: int, shape: tuple[int, int]) -> F32:
    """Near-normal noise of unit variance (Irwin-Hall of four), float32."""
    raw = np.random.PCG64(key).random_raw(shape[0] * shape[1]).view(np.uint16).reshape(*shape, 4)
    total = raw[..., 0].astype(np.float32)
    for k in (1, 2, 3):
        total += raw[..., k]
    total -= np.float32(2 * 65535)
    total *= np.float32(1 / (65536 * math.sqrt(4 / 12)))
    return total


def expose(image: F32, sensor: Sensor, band: int, block: tuple[int, int]) -> NDArray[np.uint16]:
    """One band of one block as DN on the 10 m grid.

    Args:
        image: reflectance with `HALO` pixels around, float32 (H + 2 HALO, W + 2 HALO); H and W even.
        sensor: the pass's.
        band: index in `spectra.BANDS`.
        block: row, col of the block: names its noise.

    Returns:
        uint16 (H, W), 1..65534; 20 m bands in equal squares of 2 x 2.
    """
    step = NATIVE_RESOLUTION_M[BANDS[band]] // 10
    seen = _blur(image, sensor, band, step) * np.float32(sensor.gain[band])
    seen += np.sqrt(sensor.variance(band, seen)) * _grain(
        key_of(sensor.key, band, block), (seen.shape[0], seen.shape[1])
    )
    dn = np.clip(np.rint(seen * np.float32(QUANTIFICATION) - np.float32(sensor.offset)), 1, 65534).astype(np.uint16)
    return np.asarray(dn if step == 1 else dn.repeat(2, axis=0).repeat(2, axis=1), np.uint16)
