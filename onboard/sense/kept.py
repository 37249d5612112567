"""A reader that writes down what it reads, for pixels that take longer to decode than to read back (JPEG 2000).

The pre-scan reads its sample three times: for its histograms, for its place, and to look at it. The file has no name:
it is gone with the process, however that ends.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from onboard.sense.acquisition import U16, Mask, Reader
from onboard.sense.grid import Window


class KeptReader(Reader):
    """Reads through another reader, the same window once. Closing it leaves the other one open.

    Args:
        reader: delivers the pixels.
        folder: where the file lies; what finds no room in it is not kept.

    Raises:
        OSError: no file can be made there.
    """

    def __init__(self, reader: Reader, folder: Path) -> None:
        self._reader = reader
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - open as long as the reader
        self._places: dict[Window, tuple[int, bool]] = {}
        self._end = 0

    def expect(self, windows: Sequence[Window]) -> None:
        """See `Reader.expect`."""
        self._reader.expect([window for window in windows if window not in self._places])

    def read(self, window: Window, out: U16) -> Mask | None:
        """See `Reader.read`; `out` is C-contiguous."""
        if window in self._places:
            return self._recall(window, out)
        quality = self._reader.read(window, out)
        parts = [out] if quality is None else [out, quality]
        try:
            self._file.seek(self._end)
            for part in parts:
                self._file.write(part.data)
            self._file.flush()
        except OSError:
            return quality  # no room: it is decoded again
        self._places[window] = self._end, quality is not None
        self._end += sum(part.nbytes for part in parts)
        return quality

    def _recall(self, window: Window, out: U16) -> Mask | None:
        at, has_quality = self._places[window]
        quality = np.empty((window.height, window.width), np.bool_) if has_quality else None
        self._file.seek(at)
        self._file.readinto(out.data)
        if quality is not None:
            self._file.readinto(quality.data)
        return quality

    def close(self) -> None:
        """Let go of what was kept."""
        self._places.clear()
        self._file.close()
