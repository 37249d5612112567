"""Float latents -> the artefact's uint8 scale, for runtimes whose network is not an integer one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onboard.errors import ModelError
from onboard.infer.bundle import Artefact


def stored(latent: NDArray[np.float32], artefact: Artefact) -> NDArray[np.float32]:
    """Whole numbers 0..255; ModelError where a latent is not finite: cast to uint8 it would be any number."""
    if not np.isfinite(latent).all():
        raise ModelError(f"{artefact.path}: {artefact.key} gives latents that are no numbers")
    return np.asarray(np.clip(np.rint(latent / np.float32(artefact.output.scale)) + artefact.output.zero_point, 0, 255))
