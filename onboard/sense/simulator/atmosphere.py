"""Between ground and sensor: haze, clouds, their cast shadows. The mask of clouds and shadows is exact."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onboard.sense.simulator.noise import F32, F64, fractal, generator, key_of, noise, smoothstep
from onboard.sense.simulator.spec import Look, SimSpec
from onboard.sense.simulator.spectra import SPECTRA, WAVELENGTH_UM

MASKED = 0.12
"""Share of cloud, or of the sun taken by one, from which a pixel counts as cloud or shadow in the truth."""

_OVERVIEW = 96
_HAZE_LIGHT = 0.42  # reflectance that thick haze tends to at 0.49 um
_DIFFUSE = (0.49 / WAVELENGTH_UM) ** 1.3 * 0.30  # share of sky light: what a shadow keeps


@dataclass(frozen=True)
class Air:
    """One pass's atmosphere, fixed before the first pixel.

    Attributes:
        key: of its noise fields.
        cover: the value of the cloud field above which there is cloud; inf for none.
        edge: softness of cloud edges, in units of that field.
        period: size of cloud fields, pixels.
        haze, haze_patches: optical share of haze at 0.49 um: everywhere, and at most in its patches.
        shadow: rows, cols from a pixel to the cloud that shades it.
    """

    key: int
    cover: float
    edge: float
    period: float
    haze: float
    haze_patches: float
    shadow: tuple[float, float]


@dataclass(frozen=True)
class AirWindow:
    """Shares in 0..1, float32 (H, W): of haze at 0.49 um, of cloud over the pixel, of cloud between it and the sun."""

    haze: F32
    cloud: F32
    shade: F32
    glow: F32

    @property
    def masked(self) -> NDArray[np.bool_]:
        """True where the ground is hidden or shaded."""
        return np.asarray((self.cloud > MASKED) | (self.shade > MASKED))


def make_air(spec: SimSpec, look: Look) -> Air:
    """Draw a pass's weather. The fraction of cloud is met over the scene, by the cloud field's own quantile."""
    key = key_of(spec.world, "air", look.time.isoformat())
    rng = generator(spec.world, "sky", look.time.isoformat())
    fraction = min(0.95, spec.cloud * max(0.0, 2.4 * float(rng.random()) - 0.2))
    period = 16 + 74 * float(rng.random())
    edge = 0.12 + 0.4 * float(rng.random())
    height_px = 70 + 150 * float(rng.random())
    haze, patches = 0.012 * float(rng.random()), 0.10 * float(rng.random()) ** 2
    cover = math.inf
    if fraction > 0.004:
        steps = np.linspace(0, spec.size - 1, _OVERVIEW)
        field = np.sort(_cloud_field(key, period, steps, steps), axis=None)
        cover = float(field[int((1 - fraction) * (field.size - 1))])
    reach = height_px * math.tan(look.sun_zenith)
    shadow = (-math.cos(look.sun_azimuth) * reach, math.sin(look.sun_azimuth) * reach)
    return Air(key, cover, edge, period, haze, patches, shadow)


def _cloud_field(key: int, period: float, rows: F64, cols: F64) -> F32:
    return fractal(key, rows, cols, period, 6, 0.56)


def air_window(air: Air, rows: F64, cols: F64) -> AirWindow:
    """Haze, cloud and shade of a window of world pixels."""
    shape = (rows.size, cols.size)
    haze = np.float32(air.haze_patches) * smoothstep(-0.6, 2.2, noise(air.key + 1, rows, cols, 170))
    haze += np.float32(air.haze)
    nothing = np.zeros(shape, np.float32)
    if math.isinf(air.cover):
        return AirWindow(haze, nothing, nothing, nothing)
    field = _cloud_field(air.key, air.period, rows, cols) - np.float32(air.cover)
    cloud = smoothstep(-0.5 * air.edge, 1.2 * air.edge, field)
    glow = np.clip(field, 0, 2) * np.float32(0.22)  # thick clouds are brighter
    above = _cloud_field(air.key, air.period, rows + air.shadow[0], cols + air.shadow[1]) - np.float32(air.cover)
    return AirWindow(haze, cloud, smoothstep(-0.5 * air.edge, 1.2 * air.edge, above), glow)


def apply_air(reflectance: F32, air: AirWindow, band: int) -> None:
    """Shade, veil and cover one band in place.

    Args:
        reflectance: surface reflectance, float32 (H, W).
        air: of the same window.
        band: index in `spectra.BANDS`.
    """
    direct = np.float32(0.85 * (1 - _DIFFUSE[band]))
    reflectance *= np.float32(1) - direct * air.shade
    veil = air.haze * np.float32((0.492 / WAVELENGTH_UM[band]) ** 1.4)
    reflectance += veil * (np.float32(_HAZE_LIGHT) - reflectance)
    bright = np.float32(SPECTRA["cloud"][band] * 0.8) * (np.float32(1) + air.glow)
    reflectance += air.cloud * (bright - reflectance)
