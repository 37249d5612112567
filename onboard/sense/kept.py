"""Decoded blocks written to a file and read back: decoding one again would take longer (JPEG 2000).

The pre-scan needs its sample three times (for its histograms, for its place, and to look at it), and the chunks need
the same blocks once more. The file has no name: it is gone with the process, however that ends.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Hashable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import IO, Any

from numpy.typing import NDArray

MOST_BYTES = 256 << 20
"""Of one file: the sample of a whole granule takes 71 MB, blocks at 20 m that reach beyond it included."""


class KeptBlocks:
    """Arrays by key, on the disk; any number of threads may use it. What finds no room is not kept."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._places: dict[Hashable, int] = {}
        self._end, self._lock, self._keeps = 0, Lock(), False

    @contextmanager
    def keeping(self, folder: Path) -> Iterator[None]:
        """What is `put` inside is kept, as far as there is room for it in a folder."""
        if self._file is None:
            with suppress(OSError):
                self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - open as long as this is
        self._keeps = True
        try:
            yield
        finally:
            self._keeps = False

    def put(self, key: Hashable, block: NDArray[Any]) -> None:
        """Keep a contiguous block, where any is kept and there is room."""
        with self._lock:
            if self._file is None or not self._keeps or self._end + block.nbytes > MOST_BYTES:
                return
            at, self._end = self._end, self._end + block.nbytes
        try:
            whole = os.pwrite(self._file.fileno(), block.data, at) == block.nbytes
        except OSError:
            return
        if whole:
            self._places[key] = at

    def get(self, key: Hashable, out: NDArray[Any]) -> bool:
        """Fill `out` (contiguous, as large as what was kept) with a block; False where it is not here (any more)."""
        at = self._places.get(key)
        if at is None or self._file is None:
            return False
        try:
            whole = os.preadv(self._file.fileno(), [out.data], at) == out.nbytes
        except OSError:
            whole = False
        if not whole:
            self._places.pop(key, None)
        return whole

    def close(self) -> None:
        """Let go of what was kept; a second call does nothing."""
        self._places.clear()
        if self._file is not None:
            self._file.close()
