"""Finds the compiled kernels and declares their arguments. ctypes lets go of the interpreter's lock during a call."""

from __future__ import annotations

import ctypes
import logging
import os
from ctypes import POINTER, c_double, c_float, c_int64, c_uint8, c_uint16, c_void_p
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

log = logging.getLogger("onboard.native")

FILE = "libkernels.so.1"
"""Made by setup.py when the package is installed."""
SWITCH = "ONBOARD_KERNELS"
"""Environment variable: "off" leaves the kernels aside."""


class Layout(ctypes.Structure):
    """`Layout` of layout.h: offsets and counts of a record's fields."""

    _fields_ = tuple(
        (name, c_int64)
        for name in ("size", "latent", "latents", "fine", "fines", "coarse", "coarses", "valid", "format")
    )


class Chunk(ctypes.Structure):
    """`Chunk` of prepare.h."""

    _fields_ = (
        ("dn", c_void_p), *((name, c_int64) for name in ("bands", "width", "band_step", "line_step")),
        *((name, c_void_p) for name in ("tables", "steps", "field", "px")), ("zero", c_uint8), ("channels", c_int64),
        ("tiles", c_void_p), ("records", c_void_p), ("size", c_int64),
    )  # fmt: skip


class Steps(ctypes.Structure):
    """`Steps` of steps.h."""

    _fields_ = (
        ("base", c_uint16 * 64), ("slope", c_uint16 * 64), ("bend", c_uint16 * 64), ("reached", c_uint16 * 256),
        *((name, c_uint16) for name in ("first", "span", "shift", "bent", "made")),
    )  # fmt: skip


class Folded(ctypes.Structure):
    """`Folded` of cell.h."""

    _fields_ = (("rows", c_int64), ("fine", c_void_p), ("others", c_void_p))


class Usual(ctypes.Structure):
    """`Usual` of compare.c."""

    _fields_ = (
        ("residual", Folded), ("cell_mean", c_double),
        *((name, c_int64) for name in ("top_fine", "top_coarse", "top_water", "loss", "water", "falls")),
        *((name, c_void_p) for name in ("places", "past", "now", "constant", "medians")),
        *((name, c_int64) for name in ("green", "near", "first_short", "last_short")),
        *((name, c_float) for name in ("near_short", "shadow")), ("whiten", c_void_p), ("whiten_offset", c_void_p),
        *((name, c_float) for name in ("rarity", "damping")),
    )  # fmt: skip


class Head(ctypes.Structure):
    """`Head` of event.h."""

    _fields_ = (("units", Folded), ("raising", c_int64), ("bias", c_float), ("floor", c_float), ("top", c_int64))


class Against(ctypes.Structure):
    """`Against` of compare.c."""

    _fields_ = tuple(
        (name, c_void_p)
        for name in ("past", "chosen", "usual", "head", "residual", "loss", "water", "distance", "evidence")
    )


_SIZES = {
    "onboard_layout_size": Layout, "onboard_usual_size": Usual, "onboard_head_size": Head,
    "onboard_against_size": Against, "onboard_chunk_size": Chunk, "onboard_steps_size": Steps,
}  # fmt: skip
"""What the library believes of the structures that are filled in here."""
_ARGUMENTS: dict[str, tuple[Any, list[Any]]] = {
    **{name: (c_int64, []) for name in _SIZES},
    "onboard_damaged": (c_int64, [c_void_p, c_int64, c_int64, c_int64, c_uint8, c_void_p]),
    "onboard_latent_distance": (None, [c_void_p, c_int64, c_void_p, c_int64, c_int64, c_int64, c_float, c_void_p]),
    "onboard_crc32": (None, [c_void_p, c_int64, c_int64, c_int64, c_void_p]),
    "onboard_crc32_of": (None, [c_void_p, c_void_p, c_int64, c_void_p]),
    "onboard_prepare": (c_int64, [POINTER(Chunk), c_int64, c_void_p, c_int64]),
    "onboard_steps": (c_int64, [c_void_p, POINTER(Steps)]),
    "onboard_read": (c_int64, [c_int64, c_int64, c_void_p]),
    "onboard_histogram": (None, [c_void_p, c_int64, c_int64, c_int64, c_void_p, c_void_p]),
    "onboard_correlate": (None, [c_void_p, c_int64, c_int64, c_int64, c_void_p, c_int64, c_int64, c_void_p]),
    "onboard_residual_logs": (
        None, [c_void_p, c_int64, c_int64, c_int64, c_void_p, c_void_p, c_int64, c_void_p, c_void_p, c_void_p]
    ),
    "onboard_halved": (None, [c_void_p, *[c_int64] * 5, c_void_p]),
    "onboard_lay_out": (None, [c_void_p, *[c_int64] * 5, c_void_p, c_void_p]),
    "onboard_draft": (None, [c_void_p, *[c_int64] * 3, c_void_p, c_void_p, c_int64, c_void_p, c_void_p]),
    "onboard_in_context": (None, [c_void_p, *[c_int64] * 6, c_void_p, c_void_p]),
    "onboard_cloud": (
        None, [c_void_p, c_int64, POINTER(Layout), c_int64, c_void_p, c_void_p, c_void_p, c_float, c_void_p]
    ),
    "onboard_unexplained": (
        None, [c_void_p, c_int64, POINTER(Layout), POINTER(Against), c_int64, c_float]
    ),
    "onboard_moments": (None, [c_void_p, c_void_p, c_int64, POINTER(Layout), c_void_p]),
    "onboard_left": (
        c_int64, [c_void_p, c_void_p, c_int64, POINTER(Layout), c_void_p, c_int64, c_void_p, c_int64]
    ),
    "onboard_medians": (None, [c_void_p, c_int64, c_int64, c_int64, c_void_p]),
    "onboard_log_odds": (None, [c_void_p, c_void_p, c_int64, POINTER(Layout), POINTER(Head), c_void_p]),
}  # fmt: skip


@cache
def kernels() -> Any:
    """The library, or None where there is none that runs here."""
    if os.environ.get(SWITCH, "").lower() in ("off", "0", "no"):
        return None
    path = Path(__file__).with_name(FILE)
    if not path.exists():
        log.info("no compiled kernels: NumPy does their work")
        return None
    try:
        found = ctypes.CDLL(str(path))
        for name, (result, arguments) in _ARGUMENTS.items():
            function = getattr(found, name)
            function.restype, function.argtypes = result, arguments
        for name, structure in _SIZES.items():
            if getattr(found, name)() != ctypes.sizeof(structure):
                raise OSError(f"{FILE} is of another version; install the package again")
    except (OSError, AttributeError) as error:  # of another processor, or of another version
        log.warning("kernels left aside, NumPy does their work: %s", error)
        return None
    return found


def pointer(array: NDArray[Any], dtype: Any) -> int:
    """Where an array's items lie; ValueError unless they are of this type, one after the other."""
    if array.dtype != dtype or not array.flags.c_contiguous:
        raise ValueError(f"a kernel takes contiguous {np.dtype(dtype).name}, not {array.dtype}")
    return address(array)


def address(array: NDArray[Any]) -> int:
    """The same of an array that the caller made for it."""
    flags = array.flags
    if flags.c_contiguous and flags.writeable and array.size and array.dtype.names is None:
        return ctypes.addressof(ctypes.c_char.from_buffer(array.data))  # at half the price
    return array.ctypes.data
