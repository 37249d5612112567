"""Which sub-cells are hidden by cloud or its shadow: a head of a few hundred weights on a sub-cell's spectrum.

The log spectrum of a coarse sub-cell is seen twice, against its scene's median and as it is: a cloud is bright
absolutely, a shadow is dark against its scene. One hidden layer of rectified units, one logistic output. Hidden
sub-cells are invalid: they neither alarm nor enter what is learnt or remembered. Trained on the simulator and on
cloud-free imagery (`ground train cloud`); `cloud.json` of a bundle holds its figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard.change.exact import exact_weights, ordered_sum
from onboard.change.record import COARSE, FINE
from onboard.errors import BundleError
from onboard.sense.normalise import BandStatistics

F32 = NDArray[np.float32]


@dataclass(frozen=True)
class CloudHead:
    """Weights of the head.

    Attributes:
        relative, absolute: float64 (units, B), on the log spectrum less the scene's median, and on itself.
        bias: (units,).
        out: (units,).
        out_bias: logit = out . relu(...) + out_bias.
        threshold: hidden from this probability on, 0..1.
    """

    relative: NDArray[np.float64]
    absolute: NDArray[np.float64]
    bias: NDArray[np.float64]
    out: NDArray[np.float64]
    out_bias: float
    threshold: float

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any], bands: Sequence[str]) -> CloudHead:
        """From a bundle.

        Raises:
            BundleError: not a head for these bands.
        """
        try:
            if list(raw["bands"]) != list(bands):
                raise BundleError(f"cloud head for {', '.join(raw['bands'])}, the bundle has {', '.join(bands)}")
            arrays = {key: np.array(raw[key], dtype=np.float64) for key in ("relative", "absolute", "bias", "out")}
            head = cls(**arrays, out_bias=float(raw["out_bias"]), threshold=float(raw["threshold"]))
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError(f"cloud head is not valid ({type(error).__name__}: {error})") from error
        units = len(head.bias)
        shape = (units, len(bands))
        if head.relative.shape != shape or head.absolute.shape != shape or head.out.shape != (units,):
            raise BundleError("cloud head: shapes of its weights do not agree")
        return head

    def to_dict(self, bands: Sequence[str]) -> dict[str, Any]:
        """Plain JSON values, rounded to what matters."""
        arrays = {key: np.round(getattr(self, key), 5).tolist() for key in ("relative", "absolute", "bias", "out")}
        return {"bands": list(bands), **arrays, "out_bias": round(self.out_bias, 5), "threshold": self.threshold}


class CloudTest:
    """A head folded with the statistics of one acquisition.

    Args:
        head: its weights.
        statistics: of each band, in the bundle's order.
        order: which band of the bundle each row of the spectra is.
        step, zero: of the uint8 input.
    """

    def __init__(
        self, head: CloudHead, statistics: Sequence[BandStatistics], order: Sequence[int], step: float, zero: int
    ) -> None:
        spread = np.array([item.spread for item in statistics])
        median = np.array([item.median for item in statistics])
        weights = (head.relative + head.absolute) * spread * step
        self._weights = exact_weights(weights[:, list(order)], 10)  # of means of four
        self._bias = (head.bias + head.absolute @ median - zero * weights.sum(axis=1)).astype(np.float32)[:, None]
        self._out = head.out.astype(np.float32)[:, None]
        self._limit = np.float32(np.log(head.threshold / (1 - head.threshold)) - head.out_bias)

    def hidden(self, coarse: F32) -> NDArray[np.bool_]:
        """Hidden sub-cells.

        Only what is hidden over at least 2 x 2 sub-cells (160 m) counts: a single bright roof is no cloud. A margin of
        one sub-cell within the cell is added.

        Args:
            coarse: input of each coarse sub-cell, float32 (B, N, 16), bands in the order given at the start.

        Returns:
            bool (N, 64), on fine sub-cells.
        """
        units = self._weights @ coarse.reshape(len(coarse), -1)  # (units, N 16)
        units += self._bias
        np.maximum(units, 0, out=units)
        units *= self._out
        found = (ordered_sum(units) > self._limit).reshape(-1, COARSE, COARSE)
        if not found.any():
            return np.zeros((len(found), FINE * FINE), dtype=bool)
        blocks = found[:, :-1, :-1] & found[:, 1:, :-1] & found[:, :-1, 1:] & found[:, 1:, 1:]  # (N, 3, 3)
        # a block covers 2 x 2 sub-cells, with the margin 4 x 4
        wide = np.pad(blocks, ((0, 0), (2, 2), (2, 2)))
        rows = wide[:, :-3] | wide[:, 1:-2] | wide[:, 2:-1] | wide[:, 3:]
        near = rows[:, :, :-3] | rows[:, :, 1:-2] | rows[:, :, 2:-1] | rows[:, :, 3:]
        factor = FINE // COARSE
        fine: NDArray[np.bool_] = near.repeat(factor, axis=1).repeat(factor, axis=2).reshape(-1, FINE * FINE)
        return fine
