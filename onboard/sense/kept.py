"""A reader that writes down what it reads, for pixels that take longer to decode than to read back (JPEG 2000).

The pre-scan reads its sample three times: for its histograms, for its place, and to look at it; and a chunk that lies
just where a part of the sample does needs no decoding either. The file has no name: it is gone with the process,
however that ends.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path

import numpy as np

from onboard.sense.acquisition import U16, Mask, Reader
from onboard.sense.grid import Window


class KeptReader(Reader):
    """Reads through another reader; a window that was read in a `keeping` block is not read again. Closing it leaves
    the other one open.

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
        self._end, self._keeps = 0, False

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """What is read inside is kept."""
        self._keeps = True
        try:
            yield
        finally:
            self._keeps = False

    def expect(self, windows: Sequence[Window]) -> None:
        """See `Reader.expect`."""
        self._reader.expect([window for window in windows if window not in self._places])

    def read(self, window: Window, out: U16) -> Mask | None:
        """See `Reader.read`; `out` is C-contiguous."""
        if window in self._places:
            try:
                return self._recall(window, out)
            except OSError:  # what was kept is lost: it is decoded again
                del self._places[window]
        quality = self._reader.read(window, out)
        if not self._keeps:
            return quality
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
        for part in [out] if quality is None else [out, quality]:
            if self._file.readinto(part.data) != part.nbytes:
                raise OSError("the file of what was kept has been cut off")
        return quality

    def truth(self, window: Window) -> Mask | None:
        """See `Reader.truth`."""
        return self._reader.truth(window)

    def close(self) -> None:
        """Let go of what was kept."""
        self._places.clear()
        self._file.close()


def sampled(reader: Reader, slow: bool, folder: Path) -> AbstractContextManager[Reader]:
    """What a sample is read with: where decoding is slow, a reader that keeps it."""
    if slow:
        with suppress(OSError):  # no room for a file: it is decoded anew each time
            return KeptReader(reader, folder)
    return nullcontext(reader)
