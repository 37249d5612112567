"""The picture of `docs/restore.md`: one crop as it was seen, as it was restored, and as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ground.evaluation.denoising import as_seen, cleaned, scenes_of
from ground.evaluation.restoration import Restorer, psnr
from ground.evaluation.restorers_table import SNRS
from ground.scenes.noise import Sensor
from ground.scenes.pictures import TOP
from ground.scenes.resample import enlarge, sensor_shrink
from onboard.restore.enhance import BandScale
from onboard.restore.told import Told

F32 = NDArray[np.float32]
RGB = (2, 1, 0)
"""B04, B03, B02 of a 10 m file."""
SIDE = 160

Denoiser = tuple[Restorer, str, Told | None]
"""With how it takes the 20 m bands (`coarse_of`), and what it tells of stripes (`told_of`)."""


def draw(data: Path, place: str, sr: Restorer, denoisers: Mapping[str, Denoiser], path: Path) -> None:
    """Two rows: a 20 m view enlarged, and a noisy view cleaned; each with the scene itself at the end.

    Args:
        data: holds `oscd`.
        place: a folder of scenes that nothing was trained on.
        denoisers: by what stands over them.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    _, scene, *wide = next(iter(scenes_of(data / "oscd", [place], coarse=True)))
    height, width = (side - side % 4 for side in scene.shape[1:])
    scene = scene[:, :height, :width]
    wide = [cube[:, : height // 2, : width // 2] for cube in wide]
    rows: list[list[tuple[str, F32]]] = [_enlarged(scene, sr), _cleaned([scene, *wide], denoisers)]
    low, high = np.percentile(scene[list(RGB)], (1, 99.5), axis=(1, 2))
    columns = max(map(len, rows))
    figure, axes = plt.subplots(
        len(rows), columns, figsize=(2.6 * columns, 2.9 * len(rows)), dpi=85, layout="constrained"
    )
    for line, shown in zip(axes, rows, strict=True):
        for axis in line[len(shown) :]:
            axis.axis("off")
        for axis, (text, cube) in zip(line, shown, strict=False):
            crop = _crop(cube)[list(RGB)]
            axis.imshow(np.clip((crop - low[:, None, None]) / (high - low)[:, None, None], 0, 1).transpose(1, 2, 0))
            axis.set_title(text, fontsize=9)
            axis.set_xticks([])
            axis.set_yticks([])
    figure.savefig(path, metadata={"Software": None})
    plt.close(figure)


def _crop(cube: F32) -> F32:
    row, col = ((side - SIDE) // 2 for side in cube.shape[1:])
    return cube[:, row : row + SIDE, col : col + SIDE]


def _enlarged(scene: F32, sr: Restorer) -> list[tuple[str, F32]]:
    given = np.rint(sensor_shrink(scene, 2)).astype(np.uint16)
    found = sr(given, [BandScale(float(np.percentile(plane, TOP))) for plane in given])
    plain = enlarge(given.astype(np.float32), 2)
    coarse = given.astype(np.float32).repeat(2, 1).repeat(2, 2)
    shown = [("at 20 m", coarse), ("bicubic", plain), ("on board, INT8", found)]
    return [(_told(text, cube, scene), cube) for text, cube in shown] + [("the 10 m scene", scene)]


def _cleaned(scene: Sequence[F32], denoisers: Mapping[str, Denoiser]) -> list[tuple[str, F32]]:
    sensor = Sensor(snr=SNRS[0])
    full, dn = as_seen(scene, sensor, np.random.default_rng(0))
    shown = [(f"sensor, SNR {sensor.snr:.0f}", dn[0].astype(np.float32))]
    for name, (restorer, coarse, told) in denoisers.items():
        given = slice(None) if coarse == "stacked" else slice(1)
        shown.append((name, cleaned(restorer, dn[given], full[given], sensor, True, coarse, told)[0]))
    return [(_told(text, cube, scene[0]), cube) for text, cube in shown] + [("the scene", scene[0])]


def _told(text: str, cube: F32, scene: F32) -> str:
    error = np.mean([psnr(a - b, 10_000.0) for a, b in zip(cube, scene, strict=True)])
    return f"{text}\n{error:.2f} dB"
