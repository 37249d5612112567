"""What the destriper leaves by the number of lines it has seen: scenes under each other, as a long pass over them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ground.evaluation.denoising import scenes_of, seen, stripes_db
from ground.scenes.noise import Sensor
from ground.scenes.pictures import TOP
from onboard.errors import InputError
from onboard.restore.destripe import column_offsets, without

WIDTH = 384
"""Columns of the pass; narrower scenes are left out."""
BAND = 2
"""B04 of a 10 m file."""


def evaluate_stripes(folder: Path, lines: Sequence[int], snr: float, seed: int) -> dict[str, Any]:
    """Power of the column means of the error at short wavelengths, dB over one DN squared, before and after.

    Args:
        folder: Sentinel-2 scenes (`*_10m.tif`) of any places; the destriper is not trained.
        lines: numbers of lines, spread over the pass, from which offsets are taken.

    Raises:
        InputError: no scene is wide enough.
    """
    parts = [cube[BAND, :, :WIDTH] for _, cube in scenes_of(folder, ()) if cube.shape[2] >= WIDTH]
    if not parts:
        raise InputError(str(folder), f"no scene is {WIDTH} px wide", "size")
    clean = np.concatenate(parts)
    full = float(np.percentile(clean, TOP))
    dn = seen(clean, full, Sensor(snr=snr), np.random.default_rng(seed))
    before = stripes_db(dn - clean)
    metrics: dict[str, float] = {"pass_lines": float(len(clean)), "noisy_stripes_db": before}
    for count in lines:
        rows = np.unique(np.linspace(0, len(clean) - 1, min(count, len(clean))).astype(int))
        left = stripes_db(without(dn, column_offsets(dn[rows])) - clean)
        metrics[f"stripes_left_db_{count}_lines"] = left - before
    return {"metrics": metrics}
