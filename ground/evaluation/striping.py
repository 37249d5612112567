"""What the destriper leaves by the number of lines it has seen: scenes under each other, as a long pass over them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ground.evaluation.denoising import as_seen, scenes_of, stripes_db
from ground.scenes.noise import Sensor
from ground.scenes.pictures import stacked
from onboard.errors import InputError
from onboard.restore.destripe import column_offsets, without
from onboard.restore.enhance import BandScale, Noise, halo
from onboard.restore.model import Network
from onboard.restore.residue import column_means, refined
from onboard.sense.grid import Window

F32 = NDArray[np.float32]
U16 = NDArray[np.uint16]
I32 = NDArray[np.int32]
WIDTH = 384
"""Columns of the pass; narrower scenes are left out."""
BAND = 2
"""B04 of a 10 m file."""


def evaluate_stripes(
    folder: Path, lines: Sequence[int], snr: float, seed: int, network: Network | None = None
) -> dict[str, Any]:
    """Power of the column means of B04's error at short wavelengths, dB over one DN squared, before and after.

    Args:
        folder: Sentinel-2 scenes (`*_10m.tif`) of any places; medians are not trained.
        lines: numbers of lines, spread over the pass, from which medians are taken.
        network: of a denoiser of all bands, which tells what they leave (`onboard.restore.residue`).

    Raises:
        InputError: no scene is wide enough.
    """
    clean = _passed(folder, network is not None)
    sensor = Sensor(snr=snr)
    full, seen = as_seen(clean, sensor, np.random.default_rng(seed))
    dn = stacked(*seen) if network else seen[0]
    band = BAND if network else 0
    wanted = clean[0][band]
    before = stripes_db(dn[band] - wanted)
    metrics: dict[str, float] = {"pass_lines": float(dn.shape[1]), "noisy_stripes_db": before}
    for count in lines:
        rows = np.unique(np.linspace(0, dn.shape[1] - 1, min(count, dn.shape[1])).astype(int))
        offsets = np.stack([column_offsets(plane[rows]) for plane in dn])
        metrics[f"stripes_left_db_{count}_lines"] = stripes_db(without(dn[band], offsets[band]) - wanted) - before
        if network is not None:
            offsets = _told(network, dn, offsets, [unit for part in full for unit in part], sensor, len(rows))
            left = stripes_db(without(dn[band], offsets[band]) - wanted)
            metrics[f"stripes_left_db_{count}_lines_told"] = left - before
    return {"metrics": metrics}


def _passed(folder: Path, whole: bool) -> list[F32]:
    """Scenes under each other, DN: B04 alone (1, H, `WIDTH`), or all bands of both resolutions."""
    found = [clean for _, *clean in scenes_of(folder, (), whole) if clean[0].shape[2] >= WIDTH]
    if not found:
        raise InputError(str(folder), f"no scene is {WIDTH} px wide", "size")
    if not whole:
        return [np.concatenate([clean[0][BAND : BAND + 1, :, :WIDTH] for clean in found], 1)]
    pairs = [clean for clean in found if len(clean) == 2]
    return [np.concatenate([pair[i][:, :, : WIDTH // (i + 1)] for pair in pairs], 1) for i in range(2)]


def _told(network: Network, dn: U16, offsets: I32, full: Sequence[float], sensor: Sensor, lines: int) -> I32:
    """As `onboard.restore.geotiff` does it, on an array."""
    around = halo(network.model)
    wide = np.pad(dn, ((0, 0), (around, around + 1), (around, around + 1)), mode="symmetric")
    scales = tuple(
        BandScale(unit, Noise.of_snr(sensor.snr, float(plane.mean()), sensor.read_share))
        for plane, unit in zip(dn, full, strict=True)
    )

    def taken(now: I32) -> NDArray[np.float64]:
        columns = np.pad(now, ((0, 0), (around, around + 1)), mode="symmetric")[:, None]

        def block(window: Window) -> tuple[U16, NDArray[np.bool_]]:
            row, col, height, width = window
            across = slice(col, col + width + 2 * around)
            given = without(wide[:, row : row + height + 2 * around, across], columns[..., across])
            return given, np.ones((len(dn), height, width), bool)

        return column_means(network, scales, *dn.shape[1:], block)

    return refined(offsets, network.model.stripes, scales, taken, lines)
