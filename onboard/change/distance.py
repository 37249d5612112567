"""Distances of latents: RaVAEn's own scores, and a small part of the surprise. Pure arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onboard.infer.bundle import Tensor
from onboard.native.library import kernels
from onboard.native.records import MAX_LATENTS, latent_distances

F32 = NDArray[np.float32]


def latent_distance(now: NDArray[np.uint8], past: NDArray[np.uint8], output: Tensor, kind: str) -> F32:
    """Distance of latents on their artefact's own scale.

    Args:
        now, past: stored latents, uint8 (N, L).
        output: scale and zero point.
        kind: "cosine" (1 - cosine similarity, 0..2), else Euclidean (in units of the latent).

    Returns:
        float32 (N,).
    """
    if kind != "cosine" and kernels() is not None and now.shape[1] <= MAX_LATENTS:
        return latent_distances(now, past, output.scale)
    a, b = now.astype(np.float32), past.astype(np.float32)
    if kind == "cosine":
        a -= np.float32(output.zero_point)
        b -= np.float32(output.zero_point)
        dot = np.einsum("nl,nl->n", a, b)
        norms = np.sqrt(np.einsum("nl,nl->n", a, a) * np.einsum("nl,nl->n", b, b))
        return np.asarray(1.0 - dot / np.maximum(norms, 1e-12), dtype=np.float32)
    a -= b
    return np.asarray(np.sqrt(np.einsum("nl,nl->n", a, a)) * np.float32(output.scale), dtype=np.float32)
