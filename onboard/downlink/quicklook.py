"""The pass at one pixel a cell, from the records of its cells as they are written. Pure arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from onboard.change.record import FINE, Records, fine_bands, present
from onboard.change.subcells import INPUT_STEP, INPUT_ZERO
from onboard.downlink.overview import Thumbnail
from onboard.infer.bundle import Bundle
from onboard.sense.acquisition import BandInfo
from onboard.sense.chunks import Chunk
from onboard.sense.normalise import BandStatistics

THUMBNAIL_BANDS = ("B04", "B03", "B02")


class Quicklook:
    """Gathers the visible bands of one acquisition.

    Args:
        shape: rows and columns of cells.
        bundle: the model, whose records they are; it has the visible bands.

    Attributes:
        chunks: indices of those taken in.
    """

    def __init__(self, shape: tuple[int, int], bundle: Bundle) -> None:
        self.chunks: set[int] = set()
        self._shift = bundle.normalise.shift
        self._picks = [bundle.bands.index(name) for name in THUMBNAIL_BANDS]
        fine = fine_bands(bundle.bands)
        self._places = [fine.index(pick) for pick in self._picks]
        self._sums = np.zeros((len(self._picks), *shape), dtype=np.uint16)
        self._seen = np.zeros(shape, dtype=np.bool_)

    def add(self, chunk: Chunk, records: Records) -> None:
        """Take in the records (cells,) of a chunk; any number of threads may, of different chunks."""
        block = np.s_[chunk.row : chunk.row + chunk.rows, chunk.col : chunk.col + chunk.cols]
        sums = records["fine"][:, self._places].sum(axis=2, dtype=np.uint16)  # at most 64 x 255
        self._sums[:, *block] = sums.T.reshape(-1, chunk.rows, chunk.cols)
        self._seen[block] = present(records).reshape(chunk.rows, chunk.cols)
        self.chunks.add(chunk.index)

    def thumbnail(self, statistics: Sequence[BandStatistics], infos: Sequence[BandInfo]) -> Thumbnail:
        """What was taken in, as DN.

        Args:
            statistics: of the bundle's bands in this acquisition.
            infos: radiometry of `THUMBNAIL_BANDS`.
        """
        dn = np.empty_like(self._sums)
        for band, pick, info, sums in zip(dn, self._picks, infos, self._sums, strict=True):
            mean = sums.astype(np.float32) / np.float32(FINE * FINE)  # exact
            spread, median = np.float32(statistics[pick].spread), np.float32(statistics[pick].median)
            reflectance = np.exp((mean - INPUT_ZERO) * INPUT_STEP * spread + median) - self._shift
            pixels = np.rint(reflectance * np.float32(info.quantification) - np.float32(info.offset))
            band[...] = np.where(self._seen, np.clip(pixels, 1, 65535), 0)
        return Thumbnail(dn, infos)
