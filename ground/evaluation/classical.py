"""Classical denoisers as comparators: non-local means, total variation, wavelet shrinkage, low rank over bands.

Through scikit-image but for the truncated SVD, which is a line of NumPy. BM3D is not among them: its only package
(`bm3d`) is licensed for non-commercial use alone. All know the noise's level, and none the stripes.

- "nlm": A. Buades, B. Coll, J.-M. Morel, CVPR 2005, doi:10.1109/CVPR.2005.38
- "tv": A. Chambolle, JMIV 20:89 (2004), doi:10.1023/B:JMIV.0000011325.36760.1e
- "wavelet": BayesShrink, S. G. Chang, B. Yu, M. Vetterli, TIP 9:1532 (2000), doi:10.1109/83.862633; over shifts
- "pca-wavelet": all principal components over bands (of noise made white), each by wavelet shrinkage
- "svd", "svd-tv": principal components over bands whose variance stands out of the noise (M. Gavish, D. L. Donoho,
  "The optimal hard threshold for singular values is 4/sqrt(3)", TIT 60:5040 (2014), doi:10.1109/TIT.2014.2323359, for
  known noise); as they are, or each of them by total variation
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from onboard.errors import InputError
from onboard.restore.enhance import BandScale

F32 = NDArray[np.float32]
U16 = NDArray[np.uint16]

NLM_FILTER = 0.6
"""Filtering parameter h, and the weight of total variation, in standard deviations of the noise: the best of a few on
crops of the pictures that networks are trained on."""
TV_WEIGHT = 0.8
SHIFTS = 2
"""Cycle spinning: shifts along each axis, less one."""


def nlm(plane: F32, sigma: float) -> F32:
    """(H, W) with white noise of `sigma`, any unit."""
    from skimage.restoration import denoise_nl_means

    found = denoise_nl_means(
        plane, patch_size=5, patch_distance=8, h=NLM_FILTER * sigma, sigma=sigma, fast_mode=True, preserve_range=True
    )
    return np.asarray(found, np.float32)


def tv(plane: F32, sigma: float) -> F32:
    """(H, W) with white noise of `sigma`, any unit."""
    from skimage.restoration import denoise_tv_chambolle

    return np.asarray(denoise_tv_chambolle(plane / sigma, weight=TV_WEIGHT, eps=1e-5) * sigma, np.float32)


def wavelet(plane: F32, sigma: float) -> F32:
    """(H, W) with white noise of `sigma`, any unit."""
    from skimage.restoration import denoise_wavelet

    total = np.zeros(plane.shape, np.float64)
    shifts = [(down, across) for down in range(SHIFTS + 1) for across in range(SHIFTS + 1)]
    for shift in shifts:
        found = denoise_wavelet(np.roll(plane, shift, (0, 1)), sigma=sigma, wavelet="db2", mode="soft")
        total += np.roll(found, (-shift[0], -shift[1]), (0, 1))
    return np.asarray(total / len(shifts), np.float32)


def low_rank(
    cube: F32, sigmas: NDArray[np.float64], smooth: Callable[[F32, float], F32] | None = None, all_of_them: bool = False
) -> F32:
    """(B, H, W) with white noise of `sigmas` (B,) -> its components above the noise, or all of them, each smoothed if
    asked for.
    """
    bands, height, width = cube.shape
    matrix = cube.reshape(bands, -1) / sigmas[:, None]
    mean = matrix.mean(1, keepdims=True)
    values, axes = np.linalg.eigh((matrix - mean) @ (matrix - mean).T)
    threshold = hard_threshold(bands / matrix.shape[1]) * matrix.shape[1] ** 0.5
    kept = axes if all_of_them else axes[:, np.sqrt(np.maximum(values, 0)) > threshold]
    parts = (kept.T @ (matrix - mean)).reshape(-1, height, width).astype(np.float32)
    if smooth is not None:
        parts = np.stack([smooth(part, 1.0) for part in parts]) if len(parts) else parts
    found = kept @ parts.reshape(len(parts), -1) + mean
    return np.asarray((found * sigmas[:, None]).reshape(cube.shape), np.float32)


def hard_threshold(aspect: float) -> float:
    """Of singular values, in units of noise times the square root of the longer side; `aspect` = shorter / longer."""
    root = np.sqrt(aspect**2 + 14 * aspect + 1)
    return float(np.sqrt(2 * (aspect + 1) + 8 * aspect / (aspect + 1 + root)))


PLANES: dict[str, Callable[[F32, float], F32]] = {"nlm": nlm, "tv": tv, "wavelet": wavelet}
CUBES: dict[str, Callable[[F32, NDArray[np.float64]], F32]] = {
    "svd": low_rank,
    "svd-tv": lambda cube, sigmas: low_rank(cube, sigmas, tv),
    "pca-wavelet": lambda cube, sigmas: low_rank(cube, sigmas, wavelet, all_of_them=True),
}
CLASSICAL = (*PLANES, *CUBES)


def classical(name: str) -> Callable[[U16, Sequence[BandScale]], F32]:
    """A comparator as `ground.evaluation.restoration.Restorer`; the noise is that at a band's mean."""

    def restored(dn: U16, scales: Sequence[BandScale]) -> F32:
        cube = dn.astype(np.float32)
        sigmas = np.array([_sigma(plane, one) for plane, one in zip(cube, scales, strict=True)])
        if name in PLANES:
            return np.stack([PLANES[name](plane, sigma) for plane, sigma in zip(cube, sigmas, strict=True)])
        if len(cube) < 2:
            raise InputError(name, "needs several bands", "bands")
        return CUBES[name](cube, sigmas)

    return restored


def _sigma(plane: F32, scale: BandScale) -> float:
    if scale.noise is None:
        raise InputError("classical denoisers", "need the noise's level", "noise")
    return float(np.sqrt(scale.noise.read**2 + scale.noise.shot * plane.mean()))
