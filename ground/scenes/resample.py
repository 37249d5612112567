"""Bringing an image to another size: MATLAB's antialiased bicubic, and a sensor's own blur. Pure arithmetic.

The published figures of super-resolution are measured on images reduced by MATLAB's `imresize`: Keys' cubic kernel
(a = -1/2; R. Keys 1981, doi:10.1109/TASSP.1981.1163711), widened by the scale when an image shrinks, mirrored borders.
A satellite does something else: its optics blur by a modulation transfer function (MTF) before the detector samples.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
MTF = 0.3
"""Of Sentinel-2's 10 m bands at the Nyquist frequency, about: ESA's data quality reports say 0.26 to 0.32."""


def cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' kernel, a = -1/2."""
    t = np.abs(x)
    near = 1.5 * t**3 - 2.5 * t**2 + 1
    far = -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
    return np.where(t <= 1, near, np.where(t <= 2, far, 0.0))


@lru_cache(maxsize=256)
def _taps(source: int, target: int, scale: float) -> tuple[NDArray[np.int64], F32]:
    """For each output sample the input samples it is made of, and their weights."""
    width = 4.0 * max(1.0, 1 / scale)
    centre = (np.arange(target) + 0.5) / scale - 0.5
    first = np.floor(centre - width / 2).astype(np.int64)
    index = first[:, None] + np.arange(int(np.ceil(width)) + 2)
    distance = centre[:, None] - index
    weight = cubic(distance * scale) * scale if scale < 1 else cubic(distance)
    weight /= weight.sum(1, keepdims=True)
    index = index % (2 * source)  # mirrored, the border sample twice
    index = np.where(index >= source, 2 * source - 1 - index, index)
    return index, weight.astype(np.float32)


def bicubic(image: F32, shape: tuple[int, int], scale: float) -> F32:
    """Resize the last two axes as MATLAB's `imresize(image, scale, "bicubic")`.

    Args:
        image: float32 (..., H, W).
        shape: of the output, (ceil(H scale), ceil(W scale)).
        scale: < 1 shrinks, with antialiasing.
    """
    rows, cols = image.shape[-2:]
    index, weight = _taps(rows, shape[0], scale)
    out = np.zeros((*image.shape[:-2], shape[0], cols), np.float32)
    for k in range(index.shape[1]):
        out += image[..., index[:, k], :] * weight[:, k, None]
    index, weight = _taps(cols, shape[1], scale)
    final = np.zeros((*image.shape[:-2], *shape), np.float32)
    for k in range(index.shape[1]):
        final += out[..., index[:, k]] * weight[:, k]
    return final


def shrink(image: F32, scale: int) -> F32:
    """A `scale`-th of the size; the image's sides must be multiples of it."""
    return bicubic(image, (image.shape[-2] // scale, image.shape[-1] // scale), 1 / scale)


def enlarge(image: F32, scale: int) -> F32:
    """`scale` times the size."""
    return bicubic(image, (image.shape[-2] * scale, image.shape[-1] * scale), float(scale))


def mtf_sigma(mtf: float, scale: int) -> float:
    """Standard deviation, in fine pixels, of the Gaussian whose MTF at the coarse grid's Nyquist frequency is `mtf`.

    exp(-2 (pi sigma f)^2) = mtf at f = 1 / (2 scale) cycles per fine pixel, as in Lanaras et al. 2018 (DSen2).
    """
    return float(scale * np.sqrt(-2 * np.log(mtf)) / np.pi)


def _gaussian(mtf: float, scale: int) -> F32:
    """The blur that a box of `scale` px leaves to be done, so that both together have the MTF."""
    rest = np.sqrt(max(mtf_sigma(mtf, scale) ** 2 - (scale**2 - 1) / 12, 1e-6))
    reach = max(int(np.ceil(3 * rest)), 1)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / rest) ** 2)
    return np.asarray(kernel / kernel.sum(), np.float32)


def sensor_taps(scale: int, mtf: float = MTF) -> list[float]:
    """The kernel of `sensor_shrink` in one dimension, as the flight software holds its output to it."""
    return [float(tap) for tap in np.convolve(_gaussian(mtf, scale), np.full(scale, 1 / scale, np.float32))]


def sensor_shrink(image: F32, scale: int, mtf: float = MTF) -> F32:
    """What a sensor of `scale` times coarser pixels would see: Gaussian of its MTF, then the mean of a pixel's area.

    The blur is the detector's too, so the Gaussian carries what the box of `scale` x `scale` pixels does not.
    """
    kernel = _gaussian(mtf, scale)
    reach = len(kernel) // 2
    for axis in (-2, -1):
        pad = [(0, 0)] * image.ndim
        pad[axis] = (reach, reach)
        wide = np.pad(image, pad, mode="symmetric")
        size = image.shape[axis]
        image = sum((w * np.take(wide, range(k, k + size), axis) for k, w in enumerate(kernel)), np.zeros_like(image))
    rows, cols = image.shape[-2] // scale, image.shape[-1] // scale
    return image.reshape(*image.shape[:-2], rows, scale, cols, scale).mean((-3, -1), dtype=np.float32)


def luma(rgb: NDArray[np.uint8]) -> F32:
    """Y of BT.601 in studio swing, 16..235, float32, of uint8 (H, W, 3); what papers take PSNR on."""
    return (rgb.astype(np.float32) @ np.float32([65.481, 128.553, 24.966])) / 255 + 16
