"""Drafts of products in a file of their own, beside the state: in a database each that comes or goes rewrites pages.

The state says where each lies (`queue`); what it says nothing of is free. A draft is on the disk before the transaction
that enters it is committed, and no place is taken again before the transaction that gave it up is: whenever the power
fails, the state knows no draft that is not whole. The file belongs to whoever holds the store.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from onboard.errors import DiskFullError, OnboardError, StoreError

PAGE = 4096
"""Places are whole pages of the file."""


class Drafts:
    """The file; made when the first draft comes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = -1
        self._taken = bytearray()

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def begin(self, taken: Iterable[tuple[int, int]]) -> None:
        """Before drafts are put, inside a transaction: what the state knows.

        Args:
            taken: place and bytes of each draft.
        """
        places = np.array(list(taken), dtype=np.int64).reshape(-1, 2)
        begins, ends = places[:, 0], places[:, 0] + _pages(places[:, 1])
        edges = np.zeros(int(ends.max(initial=0)) + 1, dtype=np.int32)
        np.add.at(edges, begins, 1)
        np.subtract.at(edges, ends, 1)
        self._taken = bytearray(np.cumsum(edges) > 0)

    def put(self, data: bytes) -> int:
        """Write a draft at a free place; it may be lost until `sync`.

        Raises:
            DiskFullError, StoreError: it cannot be written.
        """
        pages = _pages(len(data))
        place = self._taken.find(bytes(pages))
        if place < 0:  # at the end, over what is free there
            place = len(self._taken.rstrip(b"\0"))
        self._take(place, pages)
        try:
            written = os.pwrite(self._opened(), data, place * PAGE)
        except OSError as error:
            raise self._fault(error) from error
        if written != len(data):
            raise DiskFullError(f"{self._path}: no space left; what was committed before is kept")
        return place

    def sync(self) -> None:
        """Everything that was put is on the disk when this returns.

        Raises:
            DiskFullError, StoreError: it is not.
        """
        try:
            os.fdatasync(self._opened())
        except OSError as error:
            raise self._fault(error) from error

    def get(self, place: int, size: int) -> bytes:
        """The bytes at a place; fewer where the file ends before, or cannot be read."""
        try:
            return os.pread(self._opened(), size, place * PAGE)
        except OSError:
            return b""

    def shrink(self, taken: Iterable[tuple[int, int]]) -> None:
        """Give the disk back what lies after the last draft of these, which the state must have committed."""
        end = max((place + _pages(size) for place, size in taken), default=0) * PAGE
        if self._path.exists() and self._path.stat().st_size > end:
            os.truncate(self._opened(), end)

    def _opened(self) -> int:
        if self._file < 0:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)  # the file's name is on the disk too
            finally:
                os.close(folder)
        return self._file

    def _take(self, place: int, pages: int) -> None:
        self._taken.extend(bytes(max(0, place + pages - len(self._taken))))
        self._taken[place : place + pages] = b"\1" * pages

    def _fault(self, error: OSError) -> OnboardError:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return DiskFullError(f"{self._path}: no space left; what was committed before is kept")
        return StoreError(f"{self._path}: cannot be written ({error.strerror})")


def on_disk(size: int) -> int:
    """Bytes of the file that a draft takes."""
    return int(_pages(size)) * PAGE


def _pages(size: Any) -> Any:
    """Of a number or an array of them."""
    return -(-size // PAGE)
