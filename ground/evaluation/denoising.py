"""What removing noise gains: white noise on natural images, and a small sensor's on Sentinel-2."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from ground.evaluation.restoration import REFLECTANCE, Restorer, means, psnr, sam, ssim
from ground.scenes.noise import PEDESTAL, Sensor
from ground.scenes.pictures import TOP, read_luma
from onboard.errors import InputError
from onboard.restore.destripe import column_offsets, without
from onboard.restore.enhance import BandScale, Noise

F32 = NDArray[np.float32]
STRIPE_PX = 32
"""Longest wavelength across the columns that counts as stripes."""


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
    folder: Path, snr: float, seed: int, restorer: Restorer, places: Sequence[str] = (), destripe: bool = True
) -> dict[str, Any]:
    """Sentinel-2 scenes as a small sensor of this SNR would see them: mean figures over bands, and of each scene.

    Dead columns are filled from left and right first, for the noisy figures too: what is wanted back is not there.

    Args:
        destripe: take column offsets off before, as `onboard-enhance --destripe` does.
    """
    sensor = Sensor(snr=snr)
    scenes: dict[str, dict[str, float]] = {}
    seconds = pixels = 0.0
    rng = np.random.default_rng(seed)
    for path, clean in scenes_of(folder, places):
        full = [float(np.percentile(plane, TOP)) for plane in clean]
        dn = np.stack([seen(plane, unit, sensor, rng) for plane, unit in zip(clean, full, strict=True)])
        start = process_time()
        given = np.stack([without(plane, column_offsets(plane)) for plane in dn]) if destripe else dn
        scales = [
            BandScale(unit, Noise.of_snr(snr, float(plane.mean()), sensor.read_share))
            for plane, unit in zip(given, full, strict=True)
        ]
        found = restorer(given, scales)
        seconds, pixels = seconds + process_time() - start, pixels + clean.size
        bands = zip(found, clean, dn.astype(np.float32), strict=True)
        name = f"{path.parent.name}/{path.stem}"
        scenes[name] = means({str(i): _of_band(*planes) for i, planes in enumerate(bands)})
        scenes[name]["sam_degrees"] = sam(found, clean)
        scenes[name]["noisy_sam_degrees"] = sam(dn.astype(np.float32), clean)
    metrics = means(scenes)
    metrics |= {
        "gain_db": metrics["psnr"] - metrics["noisy_psnr"],
        "stripes_left_db": metrics["stripes_db"] - metrics["noisy_stripes_db"],
        "seconds_per_megapixel": seconds / pixels * 1e6,
    }
    return {"metrics": metrics, "images": scenes}


def scenes_of(folder: Path, places: Sequence[str]) -> Iterator[tuple[Path, F32]]:
    """Each `*_10m.tif` below `folder`, of all places or of those named, with its DN, float32 (B, H, W).

    Raises:
        InputError: there is none.
    """
    files = [path for path in sorted(folder.rglob("*_10m.tif")) if not places or path.parent.name in places]
    if not files:
        raise InputError(str(folder), "no *_10m.tif in it", "missing")
    for path in files:
        with rasterio.open(path) as source:
            yield path, source.read().astype(np.float32)


def seen(plane: F32, full: float, sensor: Sensor, rng: np.random.Generator) -> NDArray[np.uint16]:
    """A band as the sensor would see it, DN (H, W), with its dead columns filled."""
    noisy = sensor.repair(sensor.add(plane / np.float32(full), rng)[0])
    return np.clip(np.rint(noisy * full), 0, 65535).astype(np.uint16)


def _of_band(found: F32, clean: F32, noisy: F32) -> dict[str, float]:
    return {
        "psnr": psnr(found - clean, REFLECTANCE),
        "noisy_psnr": psnr(noisy - clean, REFLECTANCE),
        "ssim": ssim(found, clean, REFLECTANCE),
        "stripes_db": stripes_db(found - clean),
        "noisy_stripes_db": stripes_db(noisy - clean),
        "residual_whiteness": whiteness(noisy - found),
    }


def stripes_db(error: F32) -> float:
    """Power of the column means of an error (H, W) in DN at wavelengths under `STRIPE_PX`, dB over one DN squared."""
    columns = error.mean(0, dtype=np.float64)
    spectrum = np.abs(np.fft.rfft(columns - columns.mean())) ** 2 * 2 / len(columns) ** 2
    return float(10 * np.log10(spectrum[np.fft.rfftfreq(len(columns)) > 1 / STRIPE_PX].sum()))


def whiteness(residual: F32) -> float:
    """Greatest absolute autocorrelation of (H, W) at lags of one pixel: 0 where what was removed is white noise."""
    r = residual - residual.mean()
    power = float(np.square(r).mean())
    return float(max(abs((r[:, 1:] * r[:, :-1]).mean()), abs((r[1:] * r[:-1]).mean())) / power)
