"""The picture of `docs/restore.md`: one crop as it was seen, as it was restored, and as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ground.evaluation.denoising import scenes_of, seen
from ground.evaluation.restoration import Restorer, psnr
from ground.evaluation.restorers_table import SNR
from ground.scenes.noise import Sensor
from ground.scenes.pictures import TOP
from ground.scenes.resample import enlarge, sensor_shrink
from onboard.restore.destripe import column_offsets, without
from onboard.restore.enhance import BandScale, Noise

F32 = NDArray[np.float32]
RGB = (2, 1, 0)
"""B04, B03, B02 of a 10 m file."""
SIDE = 160


def draw(data: Path, place: str, sr: Restorer, denoisers: Mapping[str, Restorer], path: Path) -> None:
    """Two rows: a 20 m view enlarged, and a noisy view cleaned; each with the scene itself at the end.

    Args:
        data: holds `oscd`.
        place: a folder of scenes that nothing was trained on.
        denoisers: by what stands over them.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    _, scene = next(iter(scenes_of(data / "oscd", [place])))
    scene = scene[:, : scene.shape[1] // 4 * 4, : scene.shape[2] // 4 * 4]
    rows: list[list[tuple[str, F32]]] = [_enlarged(scene, sr), _cleaned(scene, denoisers)]
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


def _cleaned(scene: F32, denoisers: Mapping[str, Restorer]) -> list[tuple[str, F32]]:
    sensor, rng = Sensor(snr=SNR), np.random.default_rng(0)
    full = [float(np.percentile(plane, TOP)) for plane in scene]
    dn = np.stack([seen(plane, unit, sensor, rng) for plane, unit in zip(scene, full, strict=True)])
    given = np.stack([without(plane, column_offsets(plane)) for plane in dn])
    scales: Sequence[BandScale] = [
        BandScale(unit, Noise.of_snr(SNR, float(plane.mean()), sensor.read_share))
        for plane, unit in zip(given, full, strict=True)
    ]
    shown = [(f"sensor, SNR {SNR:.0f}", dn.astype(np.float32))]
    shown += [(name, restorer(given, scales)) for name, restorer in denoisers.items()]
    return [(_told(text, cube, scene), cube) for text, cube in shown] + [("the scene", scene)]


def _told(text: str, cube: F32, scene: F32) -> str:
    error = np.mean([psnr(a - b, 10_000.0) for a, b in zip(cube, scene, strict=True)])
    return f"{text}\n{error:.2f} dB"
