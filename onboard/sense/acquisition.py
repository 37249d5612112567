"""What every source gives: an acquisition with its grid and bands, and a reader of its pixels.

A source (`geotiff`, `safe`, `netcdf`, `simulated`) turns a path into a list of `Acquisition`s without decoding pixels;
`open()` then holds its files open for as long as the loop reads. All pixels arrive as digital numbers (DN), uint16, on
the 10 m grid; reflectance = (DN + offset) / quantification, both from the product's own metadata.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from onboard.sense.grid import Grid, Window

NODATA_DN = 0
SATURATED_DN = 65535

U16 = NDArray[np.uint16]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class BandInfo:
    """Radiometry of one band: reflectance = (DN + offset) / quantification; unitless, 1.0 = white diffuser."""

    name: str
    offset: float = 0.0
    quantification: float = 10_000.0


class Reader(ABC):
    """Open files of one acquisition. Use as a context manager; not shared between threads."""

    @abstractmethod
    def read(self, window: Window, out: U16) -> Mask | None:
        """Read the bands asked for in `Acquisition.open` into `out`.

        Args:
            window: pixels on the 10 m grid, within it.
            out: uint16 (B, window.height, window.width), overwritten. 0 is no-data, 65535 saturated.

        Returns:
            Pixels that the product itself declares usable, bool (height, width) (from a quality layer: cloud, shadow,
            defective ...), or None where it declares nothing. No-data and saturation need not be marked again.

        Raises:
            InputError: the part cannot be decoded; other windows may still be.
        """

    def expect(self, windows: Sequence[Window]) -> None:  # noqa: B027 - only what decodes ahead wants to know
        """Tell in which order windows will be read, from now on; any of them may be left out."""

    def keeping(self, folder: Path) -> AbstractContextManager[None]:
        """Inside, what takes long to decode is written down, and read back whenever it is read again.

        Args:
            folder: where there is room for a file without a name, for as long as this is open.
        """
        return nullcontext()

    def measured(self, window: Window) -> U16 | None:
        """Pixels as they were measured, (B, height, width), where `read` gives an estimate; None where it does not."""
        return None

    @property
    def concurrent(self) -> bool:
        """Whether several threads may `read` at once."""
        return False

    def truth(self, window: Window) -> Mask | None:
        """Simulated sources only: exact mask of what truly changed since the pass before, bool (height, width)."""
        return None

    def close(self) -> None:  # noqa: B027 - sources without files have nothing to close
        """Release the files."""

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True, kw_only=True)
class Acquisition(ABC):
    """One pass over one place, known before any pixel is decoded.

    Attributes:
        product_id: name of the product, unique per grid and sensing time.
        sensing_time: UTC, timezone-aware.
        grid: its 10 m grid.
        bands: what it can deliver, canonical names.
        block_shape: (height, width) in 10 m px of the file's own blocks: the cheapest unit to read.
        where: path or stream, for messages.
        notes: oddities worth a line in the log and the report (e.g. "pixel size 250 m").
    """

    product_id: str
    sensing_time: datetime
    grid: Grid
    bands: tuple[BandInfo, ...]
    block_shape: tuple[int, int]
    where: str
    notes: tuple[str, ...] = field(default=())

    def band(self, name: str) -> BandInfo:
        """The radiometry of a band; KeyError when the acquisition has none of that name."""
        for info in self.bands:
            if info.name == name:
                return info
        raise KeyError(name)

    @property
    def block_cache_bytes(self) -> int:
        """What decoded blocks take, where parts of a block are read one after another; 0: none wait."""
        return 0

    @abstractmethod
    def open(self, names: tuple[str, ...], threads: int = 0) -> Reader:
        """Open the files of the bands `names`; the reader delivers them in this order.

        Args:
            names: canonical names of bands.
            threads: that decode blocks ahead, for a reader that is told what to `expect`; 0: read as asked for.

        Raises:
            InputError: a file is missing, truncated or not of the promised size.
        """
