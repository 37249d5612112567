"""Every call that writes to a slot goes through here, so that a test can cut the power at each of them."""

from __future__ import annotations

import os
from pathlib import Path

from onboard.errors import BundleError, DiskFullError


class Files:
    """The real thing. What `write` and `replace` return from is on the disk."""

    block = 1 << 16

    def write(self, path: Path, data: bytes) -> None:
        """A whole new file and its bytes, synced; its name is only certain after `sync_folder`."""
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            try:
                for start in range(0, len(data), self.block):
                    self._all(handle, data[start : start + self.block])
                self.sync(handle)
            finally:
                os.close(handle)
        except OSError as error:
            raise _typed(error, path) from error

    def replace(self, path: Path, data: bytes) -> None:
        """The file is the old or the new one at every moment."""
        fresh = path.with_name(path.name + ".new")
        self.write(fresh, data)
        try:
            self.rename(fresh, path)
        except OSError as error:
            raise _typed(error, path) from error
        self.sync_folder(path.parent)

    def empty(self, folder: Path) -> None:
        """An empty folder, whatever was there."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for path in sorted(folder.iterdir()):
                self.unlink(path)
            self.sync_folder(folder)
        except OSError as error:
            raise _typed(error, folder) from error

    def _all(self, handle: int, data: bytes) -> None:
        while data:
            data = data[self.write_some(handle, data) :]

    def write_some(self, handle: int, data: bytes) -> int:
        """write(2)."""
        return os.write(handle, data)

    def sync(self, handle: int) -> None:
        """fsync(2)."""
        os.fsync(handle)

    def rename(self, old: Path, new: Path) -> None:
        """rename(2), atomic within a file system."""
        old.replace(new)

    def unlink(self, path: Path) -> None:
        """unlink(2)."""
        path.unlink()

    def sync_folder(self, folder: Path) -> None:
        """fsync(2) of a folder: its names are certain then."""
        handle = os.open(folder, os.O_RDONLY)
        try:
            self.sync(handle)
        finally:
            os.close(handle)


def _typed(error: OSError, path: Path) -> BundleError | DiskFullError:
    if error.errno in (28, 122):  # ENOSPC, EDQUOT
        return DiskFullError(f"{path}: no space left; the active slot is untouched")
    return BundleError(f"{path}: cannot be written ({error.strerror})")
