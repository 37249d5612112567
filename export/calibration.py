"""How the integers of an INT8 artefact are laid on real numbers: what there is to choose from, and choosing it.

A choice is kept by the signal-to-noise ratio of its latents on the tiles it was calibrated on, never on those that
parity is measured on. One that cannot be told from the usual (within `MARGIN_DB`) is not taken: simpler is better.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnxruntime.quantization.calibrate import HistogramCollector

from export.artefact import Made

METHODS = ("minmax", "percentile", "entropy")
MARGIN_DB = 0.1
PERCENTILE = 99.999
BINS = {"percentile": 2048, "entropy": 512}
"""Of the histogram; finding the range of least divergence takes time with the square of them."""
LEVELS = 256


@dataclass(frozen=True)
class Choice:
    """One way of quantising.

    Attributes:
        method: how the range of an activation is found: extremes, all but 0.001 % of the values, or the range that
            keeps most of the histogram's information (Kullback-Leibler divergence; Migacz, GTC 2017).
        per_channel: a scale for each output channel of the weights, or one for all.
        symmetric: activations on a scale around zero. What ARM kernels can save by that is left unused here.
    """

    method: str = "minmax"
    per_channel: bool = True
    symmetric: bool = False

    def to_dict(self) -> dict[str, Any]:
        """As it stands in parity.json."""
        weights = "per-channel" if self.per_channel else "per-tensor"
        activations = "symmetric" if self.symmetric else "asymmetric"
        return {"method": self.method, "weights": weights, "activations": activations}


USUAL = Choice()
CHOICES = tuple(Choice(*one) for one in product(METHODS, (True, False), (False, True)))


def search(
    make: Callable[[Choice], Made], measure: Callable[[Made], Mapping[str, float]], choices: Iterable[Choice] = CHOICES
) -> tuple[Choice, list[dict[str, Any]]]:
    """Try every choice; the best one, and a row for each of them, best first.

    Args:
        make: writes the artefact; RuntimeError where the runtime would run part of it in float.
        measure: `parity.agreement` of its latents with the checkpoint's.

    Raises:
        RuntimeError: none can be made.
    """
    rows, found = [], {}
    for choice in choices:
        try:
            figures = measure(make(choice))
        except RuntimeError as error:
            rows.append(choice.to_dict() | {"refused": str(error)})
            continue
        found[choice] = figures["snr_db"]
        rows.append(choice.to_dict() | {key: figures[key] for key in ("snr_db", "cosine_median", "cosine_min")})
    if not found:
        raise RuntimeError(f"no calibration gives an integer graph: {rows[0]['refused']}")
    best = max(found, key=lambda choice: found[choice])
    if USUAL in found and found[best] - found[USUAL] < MARGIN_DB:
        best = USUAL
    for row in rows:
        row["kept"] = all(row[key] == value for key, value in best.to_dict().items())
    return best, sorted(rows, key=lambda row: -row.get("snr_db", -np.inf))


def ranges(
    batches: Iterable[Mapping[str, NDArray[np.float32]]], choice: Choice
) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """(lowest, highest) of each activation by the choice's method, from its values batch by batch."""
    if choice.method == "minmax":
        found: dict[str, tuple[Any, Any]] = {}
        for batch in batches:
            for name, values in batch.items():
                low, high = found.get(name, (np.inf, -np.inf))
                found[name] = np.minimum(low, values.min()), np.maximum(high, values.max())
        return found
    whole: dict[str, list[NDArray[np.float32]]] = {}
    for batch in batches:
        for name, values in batch.items():
            whole.setdefault(name, []).append(values.reshape(-1))
    collector = HistogramCollector(choice.method, choice.symmetric, BINS[choice.method], LEVELS, PERCENTILE, "same")
    with contextlib.redirect_stdout(io.StringIO()):  # it narrates
        # at once: batch by batch it would add bins wherever a batch goes beyond those before
        collector.collect({name: np.concatenate(values) for name, values in whole.items()})
        return {name: (item[0], item[1]) for name, item in collector.compute_collection_result().items()}
