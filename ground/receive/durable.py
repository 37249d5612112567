"""Files that are wholly there, also after power loss, or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from onboard.errors import DiskFullError, StoreError

UNFINISHED = ".part"


def write_durably(path: Path, data: bytes) -> None:
    """Write a file; when this returns it is on the disk (POSIX rename is atomic).

    Raises:
        DiskFullError: no space left.
        StoreError: it cannot be written.
    """
    part = path.with_name(path.name + UNFINISHED)
    try:
        make_folder(path.parent)
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DiskFullError(f"{path.parent}: no space left; what was archived before is kept") from error
        raise StoreError(f"{path}: cannot be written ({error.strerror})") from error


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, on the disk."""
    if not folder.exists():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder onto the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
