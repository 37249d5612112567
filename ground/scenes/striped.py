"""A scene as a small push-broom sensor sees all its bands, in whole numbers, with what medians tell of its stripes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ground.scenes.noise import WHOLE, Sensor, whole
from onboard.restore.destripe import column_offsets, spread, without
from onboard.restore.enhance import BandScale, Noise, halo, restore_image
from onboard.restore.geotiff import STRIPE_LINES
from onboard.restore.model import Network
from onboard.restore.residue import LINES, column_means, refined
from onboard.sense.grid import Window

F32 = NDArray[np.float32]
U16 = NDArray[np.uint16]
I32 = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Striped:
    """`dn` uint16 (B, H, W), of which `WHOLE` are full scale; `offsets` int32 (B, W) of medians; scales of bands."""

    dn: U16
    offsets: I32
    scales: tuple[BandScale, ...]

    def refined(self, network: Network) -> I32:
        """The offsets, and what a denoiser that looks at it tells of stripes besides."""

        def taken(now: I32) -> NDArray[np.float64]:
            return taken_off(network, self.dn, now, self.scales)

        return refined(self.offsets, network.model.stripes, self.scales, taken, self.dn.shape[1])


def taken_off(network: Network, dn: U16, offsets: I32, scales: tuple[BandScale, ...]) -> NDArray[np.float64]:
    """What a denoiser takes off the columns of an image (B, H, W) on average, (B, W), as `onboard.restore.geotiff` asks
    for it.
    """
    if dn.shape[1] <= LINES:  # it looks at all of it: the same, faster
        given = without(dn, offsets[:, None])
        return (given.astype(np.int32) - restore_image(network, given, scales)).mean(1)
    around = halo(network.model)
    sides = ((0, 0), (around, around + 1), (around, around + 1))
    wide, columns = np.pad(dn, sides, mode="symmetric"), np.pad(offsets, sides[::2], mode="symmetric")[:, None]

    def block(window: Window) -> tuple[U16, NDArray[np.bool_]]:
        row, col, height, width = window
        across = slice(col, col + width + 2 * around)
        given = without(wide[:, row : row + height + 2 * around, across], columns[..., across])
        return given, np.ones((len(dn), height, width), bool)

    return column_means(network, scales, *dn.shape[1:], block)


def striped(clean: F32, coarse: int, sensor: Sensor, rng: np.random.Generator) -> Striped:
    """Every band in its own pixels, its dead columns filled.

    Args:
        clean: (B, H, W), units of full scale, sides even.
        coarse: how many of the last bands have pixels twice as large, repeated 2 x 2.
        sensor: of one ratio.
    """
    seen, offsets, scales = [], [], []
    for number, plane in enumerate(clean):
        size = 2 if number >= len(clean) - coarse else 1
        dn = whole(sensor.repair(sensor.add(plane[::size, ::size], rng)[0]))
        offsets.append(column_offsets(dn[spread(len(dn), STRIPE_LINES)]).repeat(size))
        scales.append(BandScale(float(WHOLE), Noise.of_snr(sensor.snr, float(dn.mean()), sensor.read_share)))
        seen.append(dn.repeat(size, 0).repeat(size, 1))
    return Striped(np.stack(seen), np.stack(offsets), tuple(scales))
