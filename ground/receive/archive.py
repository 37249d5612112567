"""The archive: every product once, whole or not at all, found again by its SHA-256. On the disk when `put` returns.

    ARCHIVE/products/<first two digits>/<SHA-256>.obp

A file is written under another name, synchronised, renamed, and its folder synchronised (POSIX rename is atomic). When
the archive is opened, what a crash left under another name is removed.
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

from onboard.errors import DiskFullError, StoreError

PRODUCTS = "products"
LOCK_FILE = "lock"
_UNFINISHED = ".part"


class Archive:
    """A folder of products, locked against other processes. Use as a context manager.

    Raises:
        StoreError: the folder cannot be written, or another process holds it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            (folder / PRODUCTS).mkdir(parents=True, exist_ok=True)
            self._lock = (folder / LOCK_FILE).open("w")
        except OSError as error:
            raise StoreError(f"{folder}: cannot hold an archive ({error.strerror})") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # freed by the kernel however the process ends
        except OSError as error:
            self._lock.close()
            raise StoreError(f"{folder}: in use by another receiver") from error
        try:
            for left in (folder / PRODUCTS).glob(f"*/*{_UNFINISHED}"):
                left.unlink()
            for shard in (*(folder / PRODUCTS).iterdir(), folder / PRODUCTS, folder):
                sync_folder(shard)  # names that the last process had no time to bring onto the disk
        except OSError as error:
            raise StoreError(f"{folder}: cannot hold an archive ({error.strerror})") from error

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the lock."""
        self._lock.close()

    def path(self, sha256: str) -> Path:
        """Where a product lies or would lie."""
        return self.folder / PRODUCTS / sha256[:2] / f"{sha256}.obp"

    def find(self, tag: bytes, size: int) -> str | None:
        """SHA-256 of the archived product that begins with `tag` and has this size, or None."""
        prefix = tag.hex()
        for path in (self.folder / PRODUCTS / prefix[:2]).glob(f"{prefix}*.obp"):
            if path.stat().st_size == size:
                return path.stem
        return None

    def put(self, sha256: str, data: bytes) -> bool:
        """Write a product; one that is there already stays as it is.

        Returns:
            whether it was new.

        Raises:
            DiskFullError: no space left.
            StoreError: it cannot be written.
        """
        path = self.path(sha256)
        if path.exists():
            return False
        write_durably(path, data)
        return True


def write_durably(path: Path, data: bytes) -> None:
    """Write a file so that it is wholly there, also after power loss, or not at all.

    Raises:
        DiskFullError: no space left.
        StoreError: it cannot be written.
    """
    part = path.with_name(path.name + _UNFINISHED)
    try:
        new = not path.parent.exists()
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        sync_folder(path.parent)
        if new:
            sync_folder(path.parent.parent)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DiskFullError(f"{path.parent}: no space left; what was archived before is kept") from error
        raise StoreError(f"{path}: cannot be written ({error.strerror})") from error


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder onto the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
