"""One block of an image through a model: DN with its halo in, DN out. Pure but for the network's own call.

The network works on 8 bits: DN over the full scale that was frozen for the whole image, less their local mean. It gives
a correction; the anchor under it is made of all 16 bits. So bright pixels above the full
scale keep their value and lose only detail.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from onboard.restore import anchor, consistent
from onboard.restore.model import Network, RestoreModel

U16 = NDArray[np.uint16]
MAP_GAIN = 4.0
"""The map's plane is this times the standard deviation."""
BOX = 5
"""Side of the mean that is taken off before the image is enlarged."""
GAIN = 2.0
STEPS = 127
"""Of the 8 bits on each side of 128, for 1 / GAIN of full scale. All four are those of `ground.models.anchored`."""


@dataclass(frozen=True)
class Noise:
    """Variance read^2 + shot DN, in DN^2: what the sensor's calibration says of a band."""

    read: float
    shot: float

    @classmethod
    def of_snr(cls, snr: float, mean: float, read_share: float) -> Noise:
        """The noise whose signal-to-noise ratio is `snr` at DN `mean`, `read_share` of its variance read noise."""
        variance = (mean / snr) ** 2
        return cls(float(np.sqrt(variance * read_share)), variance * (1 - read_share) / mean)


@dataclass(frozen=True)
class BandScale:
    """What was frozen of a band before its first block: DN that fill the 8 bits, and its noise (denoisers alone)."""

    full_scale: float
    noise: Noise | None = None


def halo(model: RestoreModel) -> int:
    """Pixels of the input around a block that its output depends on; even, as the network sees pixels in fours."""
    width = max(model.reach, anchor.REACH)
    if model.consistency is not None:
        width += consistent.halo(model.consistency, model.scale) + consistent.margin(model.consistency, model.scale)
    return width + width % 2


def restore(network: Network, dn: U16, scales: tuple[BandScale, ...], top: int = 65535) -> tuple[U16, float, float]:
    """Restore a block.

    Args:
        dn: uint16 (B, h + 2 halo, w + 2 halo) from an even row and column of the image; h, w even.
        scales: of each band.
        top: greatest DN of the output.

    Returns:
        uint16 (B, scale h, scale w), and the sum and the greatest of what it deviates in absolute DN when degraded
        again (0 without a consistency constraint).
    """
    model = network.model
    factor, held, outer = model.scale, model.consistency, halo(model)
    correction = _corrections(network, dn, scales)
    cut = anchor.REACH
    base, denominator = anchor.enlarge(dn, factor)
    inside = slice(cut * factor, -cut * factor)
    fine = base.astype(np.float32) * np.float32(1 / denominator) + correction[:, inside, inside]
    total = worst = 0.0
    if held is not None:
        edge = model.reach - cut  # there the network saw the block's border
        fine = fine[:, edge * factor : -edge * factor, edge * factor : -edge * factor] if edge else fine
        coarse = dn[:, model.reach : -model.reach, model.reach : -model.reach].astype(np.float32)
        fine = consistent.correct(fine, coarse, held, factor)
        cut = model.reach + consistent.halo(held, factor)
        around = outer - cut - consistent.margin(held, factor)
        off = np.abs(consistent.deviation(fine, dn[:, cut:-cut, cut:-cut].astype(np.float32), held, factor))
        off = off[:, around:-around, around:-around] if around else off
        total, worst = float(off.sum(dtype=np.float64)), float(off.max())
    left = (outer - cut) * factor
    if left:
        fine = fine[:, left:-left, left:-left]
    return np.asarray(np.clip(np.rint(fine), 0, top), np.uint16), total, worst


def restore_image(network: Network, dn: U16, scales: tuple[BandScale, ...], top: int = 65535) -> U16:
    """Restore an image that is all there is, mirrored at its borders: uint16 (B, H, W) -> (B, scale H, scale W)."""
    around, (rows, cols), factor = halo(network.model), dn.shape[1:], network.model.scale
    sides = ((0, 0), (around, around + rows % 2), (around, around + cols % 2))
    fine, _, _ = restore(network, np.pad(dn, sides, mode="symmetric"), scales, top)
    return fine[:, : rows * factor, : cols * factor]


def _corrections(network: Network, dn: U16, scales: tuple[BandScale, ...]) -> NDArray[np.float32]:
    """The correction in DN, float32 (B, scale H, scale W); single-band models see one band after the other."""
    step, mix = network.model.bands, network.model.mix
    parts = []
    for first in range(0, len(dn), step):
        group = range(first, first + step)
        if mix is not None:
            planes = list(mix.levels(dn[first : first + step], [scales[band].full_scale for band in group]))
        elif network.model.scale > 1:
            planes = [_detail(dn[band], scales[band].full_scale) for band in group]
        else:
            planes = [_levels(np.arange(65536) / scales[band].full_scale)[dn[band]] for band in group]
        if scales[first].noise is not None:
            planes.append(_noise_map(dn[first : first + step], scales[first : first + step]))
        units = np.array([scales[band].full_scale for band in group], np.float32)
        found = network.correct(np.stack(planes))
        parts.append((found if mix is None else mix.bands(found)) * units[:, None, None])
    return np.concatenate(parts)


def _noise_map(dn: U16, scales: tuple[BandScale, ...]) -> NDArray[np.uint8]:
    """The mean over bands of the noise's standard deviation as a share of full scale, in 8 bits."""
    if len(dn) == 1:
        return np.asarray(_levels(_sigmas(scales[0]))[dn[0]])
    total: NDArray[np.float64] = reduce(np.add, (_sigmas(one)[plane] for plane, one in zip(dn, scales, strict=True)))
    return _levels(total / len(dn))


def _sigmas(scale: BandScale) -> NDArray[np.float64]:
    """What the map shows, for each DN."""
    if scale.noise is None:
        raise ValueError("a band without its noise")
    variance = scale.noise.read**2 + scale.noise.shot * np.arange(65536)
    return np.asarray(MAP_GAIN * np.sqrt(variance) / scale.full_scale)


def _detail(dn: U16, full_scale: float) -> NDArray[np.uint8]:
    """An image less the mean of 5 x 5 px around each pixel, in 8 bits; the mean is a whole-number sum."""
    reach = BOX // 2
    wide = np.pad(dn.astype(np.int32), reach, mode="edge")
    rows = reduce(np.add, (wide[k : k + len(dn)] for k in range(BOX)))
    sums = reduce(np.add, (rows[:, k : k + dn.shape[1]] for k in range(BOX)))
    detail = dn.astype(np.int32) * BOX**2 - sums
    levels = np.rint(detail * np.float32(GAIN * STEPS / (BOX**2 * full_scale)))
    return np.asarray(np.clip(levels, -STEPS, STEPS) + 128, np.uint8)


def _levels(share: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Shares of full scale, less a half -> 8 bits."""
    return np.asarray(np.clip(np.rint((share - 0.5) * (GAIN * STEPS)), -STEPS, STEPS) + 128, np.uint8)
