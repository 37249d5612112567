"""What removing noise gains: white noise on natural images, and a small sensor's on Sentinel-2."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from ground.evaluation.restoration import REFLECTANCE, Restorer, means, psnr, ssim
from ground.scenes.noise import PEDESTAL, Sensor
from ground.scenes.pictures import TOP, read_luma
from onboard.errors import InputError
from onboard.restore.enhance import BandScale, Noise

F32 = NDArray[np.float32]


def evaluate_denoise_natural(folder: Path, sigma: float, seed: int, restorer: Restorer) -> dict[str, Any]:
    """Clean images below `folder` with white noise: mean figures, and those of each image."""
    images: dict[str, dict[str, float]] = {}
    seconds = pixels = 0.0
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".png", ".jpg", ".tif", ".bmp"))
    if not files:
        raise InputError(str(folder), "no image in it", "missing")
    rng = np.random.default_rng(seed)
    for path in files:
        clean = read_luma(path)
        noisy = clean + rng.standard_normal(clean.shape, dtype=np.float32) * np.float32(sigma)
        start = process_time()
        found = restore_signed(restorer, noisy, sigma)
        seconds, pixels = seconds + process_time() - start, pixels + clean.size
        images[path.name] = {
            "psnr": psnr(found - clean, 255),
            "ssim": ssim(found, clean, 255),
            "noisy_psnr": psnr(noisy - clean, 255),
            "residual_whiteness": whiteness(noisy - found),
        }
    return {"metrics": means(images) | {"seconds_per_megapixel": seconds / pixels * 1e6}, "images": images}


def restore_signed(restorer: Restorer, noisy: F32, sigma: float) -> F32:
    """A noisy picture of grey levels, below 0 and above 255 too, through a restorer of whole numbers."""
    pedestal = np.float32(255 * PEDESTAL)
    full = 255 * (1 + 2 * PEDESTAL)
    unit = 65535 / full / 2
    dn = np.clip(np.rint((noisy + pedestal) * unit), 0, 65535).astype(np.uint16)[None]
    found = restorer(dn, [BandScale(full * unit, Noise(sigma * unit, 0.0))])[0]
    return np.asarray(found / np.float32(unit) - pedestal, np.float32)


def evaluate_denoise_scenes(
    folder: Path, snr: float, seed: int, restorer: Restorer, places: Sequence[str] = ()
) -> dict[str, Any]:
    """Sentinel-2 scenes as a small sensor of this SNR would see them: mean figures over bands, and of each scene.

    Dead columns are filled from left and right first, for the noisy figures too: what is wanted back is not there.
    """
    files = [path for path in sorted(folder.rglob("*_10m.tif")) if not places or path.parent.name in places]
    if not files:
        raise InputError(str(folder), "no *_10m.tif in it", "missing")
    sensor = Sensor(snr=snr)
    scenes: dict[str, dict[str, float]] = {}
    seconds = pixels = 0.0
    rng = np.random.default_rng(seed)
    for path in files:
        with rasterio.open(path) as source:
            clean = source.read().astype(np.float32)
        figures: list[dict[str, float]] = []
        for plane in clean:
            full = float(np.percentile(plane, TOP))
            seen = sensor.repair(sensor.add(plane / np.float32(full), rng)[0])
            dn = np.clip(np.rint(seen * full), 0, 65535).astype(np.uint16)
            start = process_time()
            noise = Noise.of_snr(snr, float(dn.mean()), sensor.read_share)
            found = restorer(dn[None], [BandScale(full, noise)])[0]
            seconds, pixels = seconds + process_time() - start, pixels + plane.size
            noisy = dn.astype(np.float32)
            figures.append({
                "psnr": psnr(found - plane, REFLECTANCE),
                "noisy_psnr": psnr(noisy - plane, REFLECTANCE),
                "ssim": ssim(found, plane, REFLECTANCE),
                "stripes_dn": stripes(found - plane),
                "noisy_stripes_dn": stripes(noisy - plane),
                "residual_whiteness": whiteness(noisy - found),
            })  # fmt: skip
        scenes[f"{path.parent.name}/{path.stem}"] = means({str(i): one for i, one in enumerate(figures)})
    metrics = means(scenes)
    metrics |= {"gain_db": metrics["psnr"] - metrics["noisy_psnr"], "seconds_per_megapixel": seconds / pixels * 1e6}
    return {"metrics": metrics, "images": scenes}


def stripes(error: F32) -> float:
    """What differs from column to column: RMS difference of neighbouring columns' means over sqrt 2."""
    return float(np.sqrt(np.square(np.diff(error.mean(0, dtype=np.float64))).mean() / 2))


def whiteness(residual: F32) -> float:
    """Greatest absolute autocorrelation of (H, W) at lags of one pixel: 0 where what was removed is white noise."""
    r = residual - residual.mean()
    power = float(np.square(r).mean())
    return float(max(abs((r[:, 1:] * r[:, :-1]).mean()), abs((r[1:] * r[:-1]).mean())) / power)
