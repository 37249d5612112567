"""Drafts of products in a file of their own, beside the state: in a database each that comes or goes rewrites pages.

A draft is written as soon as there is one; a row of the queue says where it lies once the transaction is committed that
enters it. That transaction waits until the draft is on the disk (`sync`), and no place is taken again before the
transaction is committed that gave it up (`refresh`): whenever the power fails, every row has its draft, and a place
that no row knows is free. The file belongs to whoever holds the store; any of its threads may call.
"""

from __future__ import annotations

import errno
import hashlib
import os
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from onboard.errors import DiskFullError, OnboardError, StoreError
from onboard.native.library import kernels
from onboard.native.records import checksums_of
from onboard.store.rows import Placed

PAGE = 4096
"""Places are whole pages of the file."""
SEAL = "crc32:"
AT_ONCE = 256
"""Drafts that are written in one call at most; a system takes some 1,024 parts."""


class Drafts:
    """The file; made when the first draft comes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = -1
        self._lock = Lock()
        self._taken = bytearray()
        """A byte for each page of the file, up to the last one that is taken."""
        self._pending: dict[int, Placed] = {}
        """By place, what no row knows yet."""

    def close(self) -> None:
        """Close the file; what was not entered is lost."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def put(self, drafts: Sequence[bytes]) -> list[Placed]:
        """Write drafts at free places, which are kept for them.

        Raises:
            DiskFullError, StoreError: they cannot be written.
        """
        if not drafts:
            return []
        seals = _seals(drafts)
        with self._lock:  # no `refresh` may come between a place and the note that it is taken
            self._opened()
            found = [Placed(self._take(len(data)), len(data), seal) for data, seal in zip(drafts, seals, strict=True)]
            self._pending |= {placed.place: placed for placed in found}
        try:
            begun = 0
            for end in range(1, len(found) + 1):  # what lies side by side goes in one call, several times cheaper
                if end == len(found) or found[end].place != _after(found[end - 1]) or end - begun == AT_ONCE:
                    self._write(drafts[begun:end], found[begun].place)
                    begun = end
        except OnboardError:
            self.give_up(*found)
            raise
        return found

    def _take(self, size: int) -> int:
        """Under the lock."""
        pages = _pages(size)
        place = self._taken.find(bytes(pages))
        if place < 0:  # at the end, over what is free there
            self._taken = self._taken.rstrip(b"\0")
            place = len(self._taken)
            self._taken.extend(bytes(pages))
        self._taken[place : place + pages] = b"\1" * pages
        return place

    def _write(self, drafts: Sequence[bytes], place: int) -> None:
        """One behind the other, each filled up to whole pages."""
        parts = [part for data in drafts for part in (data, bytes(_pages(len(data)) * PAGE - len(data)))]
        try:
            written = os.pwritev(self._opened(), parts, place * PAGE)
        except OSError as error:
            raise self._fault(error) from error
        if written != sum(map(len, parts)):
            raise DiskFullError(f"{self._path}: no space left; what was committed before is kept")

    def give_up(self, *drafts: Placed) -> None:
        """Of those that no transaction has entered."""
        with self._lock:
            for placed in drafts:
                del self._pending[placed.place]
                pages = _pages(placed.size)
                self._taken[placed.place : placed.place + pages] = bytes(pages)

    def moved_down(self, placed: Placed) -> Placed | None:
        """A copy of a draft at a free place before its own, where there is one and the draft is sound.

        Raises:
            DiskFullError, StoreError: it cannot be written.
        """
        if not _may_be(placed.place, placed.size, self._bytes()):
            return None
        with self._lock:
            if self._taken.find(bytes(_pages(placed.size)), 0, placed.place) < 0:
                return None
        data = self.get(placed)
        return None if data is None else self.put([data])[0]

    def sync(self) -> None:
        """Everything that was put is on the disk when this returns.

        Raises:
            DiskFullError, StoreError: it is not.
        """
        try:
            os.fdatasync(self._opened())
        except OSError as error:
            raise self._fault(error) from error

    def get(self, placed: Placed) -> bytes | None:
        """The bytes of a draft, or None when they no longer match their seal."""
        if not _may_be(placed.place, placed.size, self._bytes()):
            return None
        try:
            data = os.pread(self._opened(), placed.size, placed.place * PAGE)
        except OSError:
            return None
        now = str(placed.seal).startswith(SEAL)
        known = _seals([data])[0] if now else hashlib.sha256(data).hexdigest()  # of a store of before
        return data if known == placed.seal else None

    def refresh(self, known: Iterable[tuple[Any, Any]], entered: Iterable[Placed] = ()) -> None:
        """What the rows say after a transaction was committed; what a damaged one says is passed over.

        Args:
            known: place and bytes of each draft.
            entered: those that are not pending any more.
        """
        most = self._bytes()
        sound = [(place, size) for place, size in known if _may_be(place, size, most)]
        with self._lock:
            for placed in entered:
                self._pending.pop(placed.place, None)
            sound += [(one.place, one.size) for one in self._pending.values()]
            places = np.array(sound, dtype=np.int64).reshape(-1, 2)
            ends = places[:, 0] + np.maximum(1, -(-places[:, 1] // PAGE))
            edges = np.zeros(int(ends.max(initial=0)) + 1, dtype=np.int32)
            np.add.at(edges, places[:, 0], 1)
            np.subtract.at(edges, ends, 1)
            self._taken = bytearray(np.cumsum(edges[:-1]) > 0)

    def shrink(self) -> None:
        """Give the disk back what lies after the last draft.

        Raises:
            StoreError: it cannot be cut off.
        """
        with self._lock:
            end = len(self._taken.rstrip(b"\0")) * PAGE
            if self._bytes() > end:
                try:
                    os.truncate(self._opened(), end)
                except OSError as error:
                    raise self._fault(error) from error

    def _bytes(self) -> int:
        try:
            return self._path.stat().st_size
        except OSError:
            return 0

    def _opened(self) -> int:
        if self._file < 0:
            try:
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
                folder = os.open(self._path.parent, os.O_RDONLY)
                try:
                    os.fsync(folder)  # the file's name is on the disk too
                finally:
                    os.close(folder)
            except OSError as error:
                raise self._fault(error) from error
        return self._file

    def _fault(self, error: OSError) -> OnboardError:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return DiskFullError(f"{self._path}: no space left; what was committed before is kept")
        return StoreError(f"{self._path}: cannot be written ({error.strerror})")


def _seals(drafts: Sequence[bytes]) -> list[str]:
    """What each adds up to: its CRC-32. A SHA-256, as products have it, took a third of what choosing did."""
    crcs = [zlib.crc32(data) for data in drafts] if kernels() is None else checksums_of(drafts)
    return [f"{SEAL}{crc:08x}" for crc in crcs]


def on_disk(size: int) -> int:
    """Bytes of the file that a draft takes."""
    return _pages(size) * PAGE


def _may_be(place: object, size: object, most: int) -> bool:
    """Whether a row may be true: whole numbers, within so many bytes."""
    return isinstance(place, int) and isinstance(size, int) and min(place, size) >= 0 and place * PAGE + size <= most


def _after(placed: Placed) -> int:
    return placed.place + _pages(placed.size)


def _pages(size: int) -> int:
    return max(1, -(-size // PAGE))
