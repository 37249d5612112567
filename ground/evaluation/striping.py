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
from ground.scenes.striped import Striped
from onboard.errors import InputError
from onboard.restore.destripe import column_offsets, spread, without
from onboard.restore.enhance import BandScale, Noise
from onboard.restore.geotiff import STRIPE_LINES
from onboard.restore.model import Network

F32 = NDArray[np.float32]
U16 = NDArray[np.uint16]
WIDTH = 384
"""Columns of the pass; narrower scenes are left out."""
BAND = 2
"""B04 of a 10 m file."""
IMAGES = 4
"""Of each number of lines, where the pass holds as many."""


def evaluate_stripes(
    folder: Path, lines: Sequence[int], snr: float, seed: int, network: Network | None = None
) -> dict[str, Any]:
    """Power of the column means of B04's error at short wavelengths, dB over one DN squared, before and after.

    Args:
        folder: Sentinel-2 scenes (`*_10m.tif`) of any places; medians are not trained.
        lines: numbers of lines, spread over the pass, from which medians are taken; with a network, of images.
        network: of a denoiser of all bands, which tells what medians leave of images (`onboard.restore.residue`).

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
        if network is None:
            left = stripes_db(without(dn[0], column_offsets(dn[0][spread(dn.shape[1], count)])) - wanted)
            metrics[f"stripes_left_db_{count}_lines"] = left - before
            continue
        units = [unit for part in full for unit in part]
        parts = [_of_image(network, dn[:, one], wanted[one], units, sensor) for one in _images(dn.shape[1], count)]
        for key, value in zip(("", "_told"), np.mean(parts, axis=0), strict=True):
            metrics[f"stripes_left_db_{count}_lines{key}"] = float(value)
    return {"metrics": metrics}


def _images(height: int, count: int) -> list[slice]:
    """Up to `IMAGES` images of so many lines, from even ones, spread over the pass."""
    count = min(count, height) // 2 * 2
    firsts = np.unique(np.linspace(0, height - count, min(IMAGES, height // count)).astype(int) // 2 * 2)
    return [slice(first, first + count) for first in firsts]


def _of_image(network: Network, dn: U16, wanted: F32, full: Sequence[float], sensor: Sensor) -> tuple[float, float]:
    """What is left of an image's stripes in one band, dB: by medians, and by what the denoiser tells besides."""
    offsets = np.stack([column_offsets(plane[spread(len(plane), STRIPE_LINES)]) for plane in dn])
    scales = tuple(
        BandScale(unit, Noise.of_snr(sensor.snr, float(plane.mean()), sensor.read_share))
        for plane, unit in zip(dn, full, strict=True)
    )
    before = stripes_db(dn[BAND] - wanted)
    found = [
        stripes_db(without(dn[BAND], one[BAND]) - wanted) - before
        for one in (offsets, Striped(dn, offsets, scales).refined(network))
    ]
    return found[0], found[1]


def _passed(folder: Path, whole: bool) -> list[F32]:
    """Scenes under each other, DN: B04 alone (1, H, `WIDTH`), or all bands of both resolutions."""
    found = [clean for _, *clean in scenes_of(folder, (), whole) if clean[0].shape[2] >= WIDTH]
    if not found:
        raise InputError(str(folder), f"no scene is {WIDTH} px wide", "size")
    if not whole:
        return [np.concatenate([clean[0][BAND : BAND + 1, :, :WIDTH] for clean in found], 1)]
    pairs = [clean for clean in found if len(clean) == 2]
    return [np.concatenate([pair[i][:, :, : WIDTH // (i + 1)] for pair in pairs], 1) for i in range(2)]
