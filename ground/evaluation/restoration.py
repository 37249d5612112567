"""What restoring gains: PSNR, SSIM, SAM, ERGAS and gradient of a model, or of any checkpoint, beside bicubic.

Natural images: the folder's own `*_LR.png`, luma, a border of `scale` px cut, as in the literature. Sentinel-2: each
10 m band is reduced by the sensor's MTF and enlarged again; figures per band in reflectance (DN / 10000, full scale 1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray
from PIL import Image

from ground.evaluation.classical import CLASSICAL, classical
from ground.scenes.pictures import FINE_BANDS, TOP
from ground.scenes.resample import enlarge, luma, sensor_shrink, sensor_taps
from onboard.errors import InputError
from onboard.restore.consistent import deviation
from onboard.restore.enhance import BandScale, restore_image
from onboard.restore.model import Consistency, Network, load_model
from onboard.restore.told import Told

F32 = NDArray[np.float32]
U16 = NDArray[np.uint16]
FINE = 256
"""Luma is handed over in 16 bits, as 256ths of a grey level: on board the anchor keeps all of them."""
MIRRORED = 16
"""Pixels around an image that a checkpoint sees mirrored, as on board: what it was trained on had no borders."""
REFLECTANCE = 10_000.0

Restorer = Callable[[U16, Sequence[BandScale]], F32]
"""DN (B, h, w) and their scales -> DN (B, scale h, scale w)."""


def open_restorer(name: str, precision: str, scale: int) -> Restorer:
    """The flight path of a model (a name, or a folder), a network of the ground in float (a checkpoint, `.ckpt`), or a
    classical denoiser (of `classical.CLASSICAL`).

    Raises:
        OnboardError: it cannot be used, or is for another scale.
    """
    if name.endswith(".ckpt"):
        return _of_checkpoint(Path(name), scale)
    if name in CLASSICAL and scale == 1:
        return classical(name)
    model = load_model(name)
    if model.scale != scale:
        raise InputError(name, f"is for scale {model.scale}, not {scale}", "model")
    network = Network(model, precision)
    return lambda dn, scales: restore_image(network, dn, tuple(scales)).astype(np.float32)


def coarse_of(name: str) -> str:
    """How a denoiser that `open_restorer` opens takes the 20 m bands of Sentinel-2; see `evaluate_denoise_scenes`."""
    if name in CLASSICAL:
        return "apart"
    return {1: "apart", FINE_BANDS: ""}.get(_bands_and_scale(name)[0], "stacked")


def told_of(name: str) -> Told | None:
    """`RestoreModel.stripes` of a model; None of what does not fly."""
    return None if name in CLASSICAL or name.endswith(".ckpt") else load_model(name).stripes


def scale_of(name: str) -> int:
    """How many times a model or a checkpoint enlarges; 1 where it removes noise."""
    return 1 if name in CLASSICAL else _bands_and_scale(name)[1]


def _bands_and_scale(name: str) -> tuple[int, int]:
    if name.endswith(".ckpt"):
        from ground.training.restoration import load_checkpoint

        recipe = load_checkpoint(Path(name)).recipe
        return recipe.bands, recipe.scale
    model = load_model(name)
    return model.bands, model.scale


def _of_checkpoint(path: Path, scale: int) -> Restorer:
    from ground.training.denoisers.base import run
    from ground.training.restoration import load_checkpoint

    try:
        trained = load_checkpoint(path)
    except (OSError, ValueError) as error:
        raise InputError(str(path), str(error), "checkpoint") from error
    if trained.recipe.scale != scale:
        raise InputError(str(path), f"is for scale {trained.recipe.scale}, not {scale}", "checkpoint")

    @torch.no_grad()
    def restored(image: U16, scales: Sequence[BandScale]) -> F32:
        rows, cols = image.shape[1:]
        sides = ((0, 0), (MIRRORED, MIRRORED + rows % 2), (MIRRORED, MIRRORED + cols % 2))
        dn = np.pad(image, sides, mode="symmetric")
        units = np.array([one.full_scale for one in scales], np.float32)[:, None, None]
        read, shot = (np.array(part, np.float32)[:, None, None] for part in zip(*map(_variance, scales), strict=True))
        values = dn.astype(np.float32)
        x, sigma = (torch.from_numpy(part) for part in (values / units, np.sqrt(read + shot * values) / units))
        step = trained.recipe.bands
        parts = [run(trained.net, *(part[None, i : i + step] for part in (x, sigma))) for i in range(0, len(dn), step)]
        first = scale * MIRRORED
        inside = (slice(None), slice(first, first + scale * rows), slice(first, first + scale * cols))
        return np.asarray(torch.cat(parts, 1)[0].numpy() * units)[inside]

    return restored


def _variance(scale: BandScale) -> tuple[float, float]:
    return (scale.noise.read**2, scale.noise.shot) if scale.noise else (0.0, 0.0)


def psnr(error: NDArray[Any], full: float) -> float:
    """20 log10(full / RMSE)."""
    return float(20 * np.log10(full) - 10 * np.log10(np.square(error, dtype=np.float64).mean()))


def ssim(found: F32, wanted: F32, full: float) -> float:
    """Structural similarity, Gaussian window of 11 px, sigma 1.5 (Wang et al. 2004), of single planes (H, W)."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    pair = (torch.from_numpy(np.ascontiguousarray(plane, np.float32))[None, None] for plane in (found, wanted))
    return float(structural_similarity_index_measure(*pair, data_range=full))  # type: ignore[arg-type]


def evaluate_sr_natural(folder: Path, scale: int, restorer: Restorer) -> dict[str, Any]:
    """`*_HR.png` beside `*_LR.png`: mean figures, and those of each image.

    Raises:
        InputError: there is no pair, or the sizes do not fit the scale.
    """
    images: dict[str, dict[str, float]] = {}
    seconds = pixels = 0.0
    for fine in sorted(folder.glob("*_HR.png")):
        coarse = fine.with_name(fine.name.replace("_HR", "_LR"))
        wanted, given = read_luma_of(fine), read_luma_of(coarse)
        if wanted.shape != tuple(scale * side for side in given.shape):
            raise InputError(str(fine), f"{wanted.shape} is not {scale} times {given.shape}", "size")
        dn = np.rint(given * FINE).astype(np.uint16)[None]
        start = process_time()
        found = restorer(dn, [BandScale(255.0 * FINE)])[0] / np.float32(FINE)
        seconds, pixels = seconds + process_time() - start, pixels + wanted.size
        cut = (slice(scale, -scale), slice(scale, -scale))
        plain = enlarge(given, scale)
        images[fine.name] = {
            "psnr_y": psnr((found - wanted)[cut], 255),
            "ssim_y": ssim(found[cut], wanted[cut], 255),
            "bicubic_psnr_y": psnr((plain - wanted)[cut], 255),
            "bicubic_ssim_y": ssim(plain[cut], wanted[cut], 255),
        }
    if not images:
        raise InputError(str(folder), "no *_HR.png in it", "missing")
    return {"metrics": means(images) | {"seconds_per_megapixel": seconds / pixels * 1e6}, "images": images}


def read_luma_of(path: Path) -> F32:
    """Luma of any image, grey ones by way of RGB as the literature does."""
    if not path.is_file():
        raise InputError(str(path), "no such file", "missing")
    with Image.open(path) as image:
        return luma(np.asarray(image.convert("RGB")))


def evaluate_sr_scenes(folder: Path, scale: int, restorer: Restorer, places: Sequence[str] = ()) -> dict[str, Any]:
    """Folders of Sentinel-2 scenes (`*_10m.tif`): mean figures, per band, and those of each scene.

    Args:
        places: only these folders; all by default.
    """
    held = Consistency(tuple(sensor_taps(scale)), 0)
    files = [path for path in sorted(folder.rglob("*_10m.tif")) if not places or path.parent.name in places]
    if not files:
        raise InputError(str(folder), "no *_10m.tif in it", "missing")
    scenes: dict[str, dict[str, float]] = {}
    bands: dict[str, list[tuple[float, float]]] = {}
    seconds = pixels = 0.0
    for path in files:
        with rasterio.open(path) as source:
            names, dn = source.descriptions, source.read()
        rows, cols = (side - side % (2 * scale) for side in dn.shape[1:])
        wanted = dn[:, :rows, :cols].astype(np.float32)
        measured = sensor_shrink(wanted, scale)
        given = np.rint(measured).astype(np.uint16)
        start = process_time()
        found = restorer(given, [BandScale(float(np.percentile(plane, TOP))) for plane in given])
        seconds, pixels = seconds + process_time() - start, pixels + wanted.size
        plain = enlarge(given.astype(np.float32), scale)
        cut = (slice(None), slice(2 * scale, -2 * scale), slice(2 * scale, -2 * scale))
        for name, ours, theirs, truth in zip(names, found[cut], plain[cut], wanted[cut], strict=True):
            pair = (psnr(ours - truth, REFLECTANCE), psnr(theirs - truth, REFLECTANCE))
            bands.setdefault(str(name), []).append(pair)
        off = deviation(found, given.astype(np.float32), held, scale)
        loose = deviation(plain, given.astype(np.float32), held, scale)
        scenes[f"{path.parent.name}/{path.stem}"] = {
            "psnr": float(np.mean([psnr(a - b, REFLECTANCE) for a, b in zip(found[cut], wanted[cut], strict=True)])),
            "bicubic_psnr": float(
                np.mean([psnr(a - b, REFLECTANCE) for a, b in zip(plain[cut], wanted[cut], strict=True)])
            ),
            "ssim": float(np.mean([ssim(a, b, REFLECTANCE) for a, b in zip(found[cut], wanted[cut], strict=True)])),
            "sam_degrees": sam(found[cut], wanted[cut]),
            "bicubic_sam_degrees": sam(plain[cut], wanted[cut]),
            "ergas": ergas(found[cut], wanted[cut], scale),
            "bicubic_ergas": ergas(plain[cut], wanted[cut], scale),
            "gradient_ratio": gradient(found[cut]) / gradient(wanted[cut]),
            "bicubic_gradient_ratio": gradient(plain[cut]) / gradient(wanted[cut]),
            "mean_deviation_dn": float(np.abs(off).mean()),
            "worst_deviation_dn": float(np.abs(off).max()),
            "bicubic_mean_deviation_dn": float(np.abs(loose).mean()),
        }
    metrics = means(scenes) | {"seconds_per_megapixel": seconds / pixels * 1e6}
    per_band = {
        name: {"psnr": float(np.mean([a for a, _ in both])), "bicubic_psnr": float(np.mean([b for _, b in both]))}
        for name, both in bands.items()
    }
    metrics["least_gain_db"] = min(one["psnr"] - one["bicubic_psnr"] for one in per_band.values())
    return {"metrics": metrics, "bands": per_band, "images": scenes}


def sam(found: F32, wanted: F32) -> float:
    """Mean spectral angle, degrees, of (B, H, W) (Kruse et al. 1993)."""
    dot = (found * wanted).sum(0)
    norm = np.sqrt(np.square(found).sum(0) * np.square(wanted).sum(0))
    return float(np.degrees(np.arccos(np.clip(dot / np.maximum(norm, 1e-6), -1, 1))).mean())


def ergas(found: F32, wanted: F32, scale: int) -> float:
    """Relative global error of synthesis (Wald 2000): 100 / scale sqrt(mean over bands of (RMSE / mean)^2)."""
    rmse = np.sqrt(np.square(found - wanted, dtype=np.float64).mean((1, 2)))
    return float(100 / scale * np.sqrt(np.square(rmse / wanted.mean((1, 2))).mean()))


def gradient(image: F32) -> float:
    """Average gradient: mean of sqrt((dx^2 + dy^2) / 2)."""
    across, down = np.diff(image, axis=-1)[..., :-1, :], np.diff(image, axis=-2)[..., :-1]
    return float(np.sqrt((np.square(across) + np.square(down)) / 2).mean())


def means(images: dict[str, dict[str, float]]) -> dict[str, float]:
    """Of each figure over all images."""
    keys = next(iter(images.values()))
    return {key: float(np.mean([one[key] for one in images.values()])) for key in keys}
