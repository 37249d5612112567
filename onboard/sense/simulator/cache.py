"""Rendered passes on disk, made once: raw `.npy` files under the cache folder, read back by the row.

`<cache>/<version>-<seed>-<options>/pass-NN.npy` holds uint16 (10, size, size), `mask-NN.npy` uint8 (size, size). A
folder appears whole or not at all: it is written under a temporary name and renamed. Files of another size than
promised are made anew.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onboard.errors import InputError
from onboard.sense.simulator.scene import Block, make_scene, render
from onboard.sense.simulator.spec import VERSION, SimSpec
from onboard.sense.simulator.spectra import BANDS

log = logging.getLogger(__name__)

_HEADER = 128  # bytes; the .npy header is padded to 64, and ours fits in two of them
_MEMORY_LIMIT = 1 << 30  # bytes; a larger pass is not held in memory when the disk cannot take it


def cache_root() -> Path:
    """$ONBOARD_SIM_CACHE, else onboard-detect/sim under $XDG_CACHE_HOME, else under ~/.cache."""
    own = os.environ.get("ONBOARD_SIM_CACHE")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "onboard-detect" / "sim"


def folder_of(spec: SimSpec) -> Path:
    """Where the passes of `spec` are kept."""
    return cache_root() / f"{VERSION}-{spec.seed}-{spec.digest}"


def pass_bytes(spec: SimSpec) -> int:
    """Size of one pass's pixels."""
    return len(BANDS) * spec.size * spec.size * 2


def ensure(spec: SimSpec) -> Path | None:
    """The cache folder of `spec`, rendered now where it is missing; None where it cannot be written."""
    folder = folder_of(spec)
    try:
        if _complete(spec, folder):
            return folder
        return _write(spec, folder)
    except OSError as error:
        log.warning("simulated passes are not cached: %s", error, extra={"folder": str(folder)})
        return None


@lru_cache(maxsize=2)
def in_memory(spec: SimSpec, index: int) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """One pass without a cache: pixels uint16 (10, size, size), mask bits uint8 (size, size).

    Raises:
        InputError: the pass is larger than a flight computer should hold.
    """
    if pass_bytes(spec) > _MEMORY_LIMIT:
        need = f"{pass_bytes(spec) >> 20} MiB per pass"
        raise InputError(f"sim:{spec.seed}", f"no writable cache folder for {need} (set ONBOARD_SIM_CACHE)", "no-cache")
    pixels = np.empty((len(BANDS), spec.size, spec.size), np.uint16)
    bits = np.empty((spec.size, spec.size), np.uint8)
    for block in render(make_scene(spec), [index]):
        part = (slice(block.row, block.row + block.bits.shape[0]), slice(block.col, block.col + block.bits.shape[1]))
        pixels[(slice(None), *part)] = block.pixels
        bits[part] = block.bits
    return pixels, bits


def read_rows(path: Path, dtype: type[np.generic], size: int, plane: int, row: int, height: int) -> NDArray[np.generic]:
    """Rows of one plane of a cached file, (height, size).

    Plain reads, not a memory map: mapped pages would count against the flight software's memory.

    Raises:
        InputError: the file is gone or shorter than promised.
    """
    item = np.dtype(dtype).itemsize
    try:
        rows = np.fromfile(path, dtype, height * size, offset=_HEADER + (plane * size + row) * size * item)
    except OSError as error:
        raise InputError(str(path), f"cached pass is gone: {error.strerror or error}", "missing") from error
    if rows.size != height * size:
        raise InputError(str(path), "cached pass is shorter than promised; delete its folder", "truncated")
    return rows.reshape(height, size)


def _complete(spec: SimSpec, folder: Path) -> bool:
    sizes = {"pass": _HEADER + pass_bytes(spec), "mask": _HEADER + spec.size**2}
    for index in range(spec.passes):
        for name, wanted in sizes.items():
            path = folder / f"{name}-{index:02d}.npy"
            if not path.is_file() or path.stat().st_size != wanted:
                return False
    return True


def _write(spec: SimSpec, folder: Path) -> Path:
    """Render all passes and rename them into place; another process may win, its folder is as good."""
    log.info("rendering simulated passes", extra={"folder": str(folder), "passes": spec.passes, "size": spec.size})
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        _render_into(spec, draft)
        if folder.exists():
            if _complete(spec, folder):
                return folder
            shutil.rmtree(folder)  # damaged: shorter files than promised
        try:
            draft.rename(folder)
        except OSError:
            if not _complete(spec, folder):
                raise
        return folder
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _render_into(spec: SimSpec, draft: Path) -> None:
    files: dict[str, int] = {}
    try:
        for index in range(spec.passes):
            shapes = {"pass": ("<u2", (len(BANDS), spec.size, spec.size)), "mask": ("|u1", (spec.size, spec.size))}
            for name, (kind, shape) in shapes.items():
                path = draft / f"{name}-{index:02d}.npy"
                files[path.stem] = os.open(path, os.O_CREAT | os.O_WRONLY, 0o644)
                _pwrite(files[path.stem], _npy_header(kind, shape), 0)
        for block in render(make_scene(spec), range(spec.passes)):
            _write_block(files, spec.size, block)
    finally:
        for file in files.values():
            os.close(file)


def _write_block(files: dict[str, int], size: int, block: Block) -> None:
    for plane, image in enumerate(block.pixels):
        _write_plane(files[f"pass-{block.number:02d}"], size, plane, block.row, block.col, image)
    _write_plane(files[f"mask-{block.number:02d}"], size, 0, block.row, block.col, block.bits)


def _write_plane(file: int, size: int, plane: int, row: int, col: int, image: NDArray[np.generic]) -> None:
    for step, line in enumerate(image):
        _pwrite(file, line.tobytes(), _HEADER + ((plane * size + row + step) * size + col) * image.itemsize)


def _pwrite(file: int, data: bytes, offset: int) -> None:
    """All of `data` or an OSError: a nearly full disk may take a part and say so only at the next write."""
    while data:
        done = os.pwrite(file, data, offset)
        data, offset = data[done:], offset + done


def _npy_header(kind: str, shape: tuple[int, ...]) -> bytes:
    """NumPy format 1.0, padded to `_HEADER`."""
    text = repr({"descr": kind, "fortran_order": False, "shape": shape})
    room = _HEADER - 10
    return b"\x93NUMPY\x01\x00" + room.to_bytes(2, "little") + text.ljust(room - 1).encode() + b"\n"
