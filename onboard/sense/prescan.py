"""The pre-scan: per-scene statistics from a sample of an acquisition, frozen before its first chunk."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from onboard.abreast import side_by_side
from onboard.errors import InputError
from onboard.native.library import kernels
from onboard.native.pixels import count_values
from onboard.sense.acquisition import BandInfo, Reader
from onboard.sense.chunks import Chunk
from onboard.sense.normalise import DN_VALUES, BandStatistics, NormaliseRule, band_statistics
from onboard.sense.tiles import valid_pixels


def band_histograms(
    reader: Reader, chunks: Sequence[Chunk], bands: int, buffers: Sequence[NDArray[np.uint16]]
) -> NDArray[np.int64]:
    """Histogram of DN over the valid pixels of some chunks.

    Args:
        reader: an open acquisition.
        chunks: what to sample; one that cannot be read is passed over (it is counted when its turn comes).
        bands: B, what the reader delivers.
        buffers: uint16, each at least B x the largest chunk's pixels; overwritten. As many as threads may read at once.

    Returns:
        int64 (B, 65536).
    """
    reader.expect([chunk.window for chunk in chunks])
    totals = np.zeros((len(buffers), bands, DN_VALUES), dtype=np.int64)

    def count(worker: tuple[NDArray[np.uint16], NDArray[np.int64]], chunk: Chunk) -> None:
        (buffer, total), window = worker, chunk.window
        dn = buffer[: bands * window.height * window.width].reshape(bands, window.height, window.width)
        try:
            valid = valid_pixels(dn, reader.read(window, dn))
        except InputError:
            return
        if not valid.any():
            return
        everything = bool(valid.all())
        for band, counts in zip(dn, total, strict=True):
            if kernels() is not None:
                count_values(band, None if everything else valid, counts)
            else:
                counts += np.bincount(band.reshape(-1) if everything else band[valid], minlength=DN_VALUES)

    for _ in side_by_side(count, chunks, list(zip(buffers, totals, strict=True))):
        pass
    return np.asarray(totals.sum(axis=0)) if len(totals) > 1 else totals[0]


def scene_statistics(
    histograms: NDArray[np.int64], infos: Sequence[BandInfo], rule: NormaliseRule
) -> list[BandStatistics]:
    """Median and spread of ln(reflectance) of each band (see `normalise`)."""
    return [band_statistics(histograms[i], info, rule) for i, info in enumerate(infos)]
