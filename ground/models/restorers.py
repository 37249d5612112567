"""The networks that restore, by name: `build(name, bands, scale)`. Scale 1 denoises."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from ground.models.anchored import Anchored
from ground.models.dncnn import Dncnn
from ground.models.edsr import Edsr
from ground.models.fsrcnn import Fsrcnn
from ground.models.srcnn import Srcnn
from ground.models.sscanet import Sscanet
from ground.models.vdsr import Vdsr

SR: Mapping[str, Callable[[int, int], nn.Module]] = {
    "anchored": lambda bands, scale: Anchored(bands, scale, expand=0),
    "anchored-wide": lambda bands, scale: Anchored(bands, scale, 48, expand=0),
    "anchored-rep": lambda bands, scale: Anchored(bands, scale),
    "srcnn": lambda bands, scale: Srcnn(bands, scale),
    "vdsr-compact": lambda bands, scale: Vdsr(bands, scale, 8, 32),
    "vdsr": lambda bands, scale: Vdsr(bands, scale),
    "edsr-compact": lambda bands, scale: Edsr(bands, scale),
    "fsrcnn": lambda bands, scale: Fsrcnn(bands, scale),
    "fsrcnn-s": lambda bands, scale: Fsrcnn(bands, scale, 32, 5, 1),
}
DENOISE: Mapping[str, Callable[[int], nn.Module]] = {
    "anchored": lambda bands: Anchored(bands, 1, 48, 8, noise_map=True, expand=0),
    "anchored-mixed": lambda bands: Anchored(bands, 1, 64, 7, noise_map=True, expand=0, mixed=True),
    "dncnn-compact": lambda bands: Dncnn(bands),
    "sscanet": lambda bands: Sscanet(bands),
}


def build(name: str, bands: int, scale: int) -> nn.Module:
    """A network with fresh weights.

    Raises:
        ValueError: there is none of this name for this scale.
    """
    table: Mapping[str, Any] = DENOISE if scale == 1 else SR
    if name not in table:
        raise ValueError(f"network must be one of {', '.join(table)}, got {name!r}")
    found: nn.Module = table[name](bands) if scale == 1 else table[name](bands, scale)
    return found
