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
from ground.scenes.pictures import TOP, read_luma, stacked
from onboard.errors import InputError
from onboard.restore.destripe import column_offsets, without
from onboard.restore.enhance import BandScale, Noise
from onboard.restore.residue import refined
from onboard.restore.told import STRIPE_PX, Told

F32 = NDArray[np.float32]
U16 = NDArray[np.uint16]


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
    folder: Path, snr: float, seed: int, restorer: Restorer, places: Sequence[str] = (), destripe: bool = True,
    coarse: str = "", told: Told | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Sentinel-2 scenes as a small sensor of this SNR would see them: mean figures over bands, and of each scene.

    Every band is seen in its own pixels. Dead columns are filled from left and right first, for the noisy figures too:
    what is wanted back is not there.

    Args:
        snr: signal over standard deviation, at the mean of each band.
        destripe: take column offsets off before, as `onboard-enhance --destripe` does.
        coarse: what becomes of the 20 m bands: "" leaves them out, "apart" gives them to the restorer as an image of
            their own, "stacked" behind the 10 m bands with their pixels repeated (`ground.scenes.pictures.stacked`).
        told: of `onboard.restore.residue`, for stripes that the restorer itself sees left; None for one that does not.

    Raises:
        InputError: there is no scene, or none of 20 m beside one that is to be stacked.
    """
    sensor = Sensor(snr=snr)
    scenes: dict[str, dict[str, float]] = {}
    seconds = pixels = 0.0
    rng = np.random.default_rng(seed)
    for path, *clean in scenes_of(folder, places, bool(coarse)):
        full, dn = as_seen(clean, sensor, rng)
        if coarse == "stacked" and len(clean) == 1:
            raise InputError(str(path), "no *_20m.tif beside it, whose bands this model takes with them", "missing")
        start = process_time()
        found = cleaned(restorer, dn, full, sensor, destripe, coarse, told)
        seconds, pixels = seconds + process_time() - start, pixels + sum(cube.size for cube in clean)
        scenes[f"{path.parent.name}/{path.stem}"] = _of_scene(found, clean, dn)
    metrics = means(scenes)
    metrics |= {
        "gain_db": metrics["psnr"] - metrics["noisy_psnr"],
        "stripes_left_db": metrics["stripes_db"] - metrics["noisy_stripes_db"],
        "seconds_per_megapixel": seconds / pixels * 1e6,
    }
    return {"metrics": metrics, "images": scenes}


def as_seen(clean: Sequence[F32], sensor: Sensor, rng: np.random.Generator) -> tuple[list[list[float]], list[U16]]:
    """Scenes of one or two resolutions, DN (B, H, W): the full scale of each band, and what the sensor gives."""
    full = [[float(np.percentile(plane, TOP)) for plane in cube] for cube in clean]
    dn = [
        np.stack([seen(plane, unit, sensor, rng) for plane, unit in zip(cube, units, strict=True)])
        for cube, units in zip(clean, full, strict=True)
    ]
    return full, dn


def cleaned(
    restorer: Restorer, dn: Sequence[U16], full: Sequence[Sequence[float]], sensor: Sensor,
    destripe: bool, coarse: str, told: Told | None = None,
) -> list[F32]:  # fmt: skip
    """What a restorer makes of `as_seen`, at each resolution; see `evaluate_denoise_scenes`."""
    if coarse == "stacked":
        units = [unit for part in full for unit in part]
        return _apart(_restored(restorer, stacked(*dn), units, sensor, destripe, told), len(full[0]))
    return [_restored(restorer, cube, units, sensor, destripe, told) for cube, units in zip(dn, full, strict=True)]


def _restored(
    restorer: Restorer, dn: U16, full: Sequence[float], sensor: Sensor, destripe: bool,
    told: Told | None,
) -> F32:  # fmt: skip
    offsets = np.stack([column_offsets(plane) if destripe else np.zeros(dn.shape[2], np.int32) for plane in dn])
    scales = [
        BandScale(unit, Noise.of_snr(sensor.snr, float(plane.mean()), sensor.read_share))
        for plane, unit in zip(without(dn, offsets[:, None]), full, strict=True)
    ]

    def taken(now: NDArray[np.int32]) -> F32:
        given = without(dn, now[:, None])
        return np.asarray((given - restorer(given, scales)).mean(1), np.float32)

    offsets = refined(offsets, told if destripe else None, scales, taken, dn.shape[1])
    return restorer(without(dn, offsets[:, None]), scales)


def _apart(found: F32, fine: int) -> list[F32]:
    """A stack -> its fine bands, and its coarse ones in their own pixels."""
    bands, rows, cols = found.shape
    coarse = found[fine:].reshape(bands - fine, rows // 2, 2, cols // 2, 2).mean((2, 4))
    return [found[:fine], np.asarray(coarse, np.float32)]


def _of_scene(found: Sequence[F32], clean: Sequence[F32], dn: Sequence[U16]) -> dict[str, float]:
    """Means over all bands; of several resolutions, PSNR of each besides."""
    bands, figures = [], {}
    for name, restored, wanted, noisy in zip(("10m", "20m"), found, clean, dn, strict=False):
        rows, cols = restored.shape[1:]
        wanted, measured = wanted[:, :rows, :cols], noisy[:, :rows, :cols].astype(np.float32)
        part = [_of_band(*planes) for planes in zip(restored, wanted, measured, strict=True)]
        bands += part
        for key in ("psnr", "noisy_psnr", "stripes_db", "noisy_stripes_db"):
            figures[f"{key}_{name}"] = float(np.mean([one[key] for one in part]))
        figures[f"sam_degrees_{name}"] = sam(restored, wanted)
        figures[f"noisy_sam_degrees_{name}"] = sam(measured, wanted)
    figures |= means({str(i): one for i, one in enumerate(bands)})
    for key in ("sam_degrees", "noisy_sam_degrees"):
        figures[key] = float(np.mean([value for name, value in figures.items() if name.startswith(f"{key}_")]))
    return figures


def scenes_of(folder: Path, places: Sequence[str], coarse: bool = False) -> Iterator[tuple[Any, ...]]:
    """Each `*_10m.tif` below `folder`, of all places or of those named: its path and its DN, float32 (B, H, W).

    Args:
        coarse: the DN of the `*_20m.tif` beside it too, if it is there, float32 (C, h, w); both cut to what both cover.

    Raises:
        InputError: there is none.
    """
    files = [path for path in sorted(folder.rglob("*_10m.tif")) if not places or path.parent.name in places]
    if not files:
        raise InputError(str(folder), "no *_10m.tif in it", "missing")
    for path in files:
        beside = path.with_name(path.name.replace("_10m", "_20m"))
        if not (coarse and beside.is_file()):
            yield path, _read(path)
            continue
        fine, wide = _read(path), _read(beside)
        rows, cols = (min(a // 2, b) for a, b in zip(fine.shape[1:], wide.shape[1:], strict=True))
        yield path, fine[:, : 2 * rows, : 2 * cols], wide[:, :rows, :cols]


def _read(path: Path) -> F32:
    with rasterio.open(path) as source:
        return np.asarray(source.read(), np.float32)


def seen(plane: F32, full: float, sensor: Sensor, rng: np.random.Generator) -> U16:
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
        "columns_over_clean_db": stripes_db(found) - stripes_db(clean),
        "noisy_columns_over_clean_db": stripes_db(noisy) - stripes_db(clean),
        "residual_whiteness": whiteness(noisy - found),
    }


def stripes_db(error: F32) -> float:
    """Power of the column means of an error, or of an image, at wavelengths under `STRIPE_PX`: (H, W) in DN -> dB over
    one DN squared.
    """
    columns = error.mean(0, dtype=np.float64)
    spectrum = np.abs(np.fft.rfft(columns - columns.mean())) ** 2 * 2 / len(columns) ** 2
    return float(10 * np.log10(spectrum[np.fft.rfftfreq(len(columns)) > 1 / STRIPE_PX].sum()))


def whiteness(residual: F32) -> float:
    """Greatest absolute autocorrelation of (H, W) at lags of one pixel: 0 where what was removed is white noise."""
    r = residual - residual.mean()
    power = float(np.square(r).mean())
    return float(max(abs((r[:, 1:] * r[:, :-1]).mean()), abs((r[1:] * r[:-1]).mean())) / power)
