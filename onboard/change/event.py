"""How likely a sub-cell was changed by an event and not by season, haze, cloud or shadow: a head of some 1,600 weights.

It sees both log spectra of a sub-cell (10 m bands on fine sub-cells, the others on the coarse one around it), the scene
medians of both, and what either pass does not explain of the other (`pair`). One hidden layer of rectified units, one
logistic output. All of it before the rectifier is linear in the records' uint8, so that it folds into one small matrix
per pair of passes. Trained on simulated floods, fires, landslides and storms among simulated seasons and weather, with
real pairs without a disaster as negatives (`ground train event`); no label of a real scene. `event.json` of a bundle
holds its figures. Pure arrays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard.change.exact import exact_weights, ordered_sum
from onboard.change.record import FINE, Records, coarse_bands, fine_bands, unpack_valid
from onboard.change.subcells import INPUT_STEP, INPUT_ZERO, SPREAD, flat, top_mean
from onboard.errors import BundleError
from onboard.sense.normalise import BandStatistics

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

LIMIT = 12.0
"""Greatest log odds, either way; hidden sub-cells have the least."""
BATCH = 512
"""Cells at a time: the hidden layer takes 8 KB each."""


@dataclass(frozen=True)
class EventHead:
    """Weights of the head; B bands in the bundle's order, F of them native at 10 m.

    Attributes:
        now, past: float64 (units, B), on the log spectra less their scenes' medians.
        now_median, past_median: (units, B), on those medians.
        residual: (units, 2 F), on what either pass does not explain of the other, by its usual size.
        bias, out: (units,).
        out_bias: log odds = out . relu(...) + out_bias.
    """

    now: F64
    past: F64
    now_median: F64
    past_median: F64
    residual: F64
    bias: F64
    out: F64
    out_bias: float

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any], bands: Sequence[str]) -> EventHead:
        """From a bundle.

        Raises:
            BundleError: not a head for these bands.
        """
        try:
            if list(raw["bands"]) != list(bands):
                raise BundleError(f"event head for {', '.join(raw['bands'])}, the bundle has {', '.join(bands)}")
            arrays = {key: np.array(raw[key], dtype=np.float64) for key in cls._arrays()}
            head = cls(**arrays, out_bias=float(raw["out_bias"]))
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError(f"event head is not valid ({type(error).__name__}: {error})") from error
        units, of_bands = head.bias.size, (head.bias.size, len(bands))
        shapes = [head.now.shape, head.past.shape, head.now_median.shape, head.past_median.shape]
        if shapes != [of_bands] * 4 or head.residual.shape != (units, 2 * len(fine_bands(bands))):
            raise BundleError("event head: shapes of its weights do not agree")
        if (
            head.bias.shape != (units,)
            or head.out.shape != (units,)
            or not all(np.isfinite(array).all() for array in arrays.values())
        ):
            raise BundleError("event head: its weights are not valid")
        return head

    def to_dict(self, bands: Sequence[str]) -> dict[str, Any]:
        """Plain JSON values, rounded to what matters."""
        arrays = {key: np.round(getattr(self, key), 5).tolist() for key in self._arrays()}
        return {"bands": list(bands), **arrays, "out_bias": round(self.out_bias, 5)}

    @staticmethod
    def _arrays() -> tuple[str, ...]:
        return "now", "past", "now_median", "past_median", "residual", "bias", "out"


@dataclass(frozen=True)
class ResidualMap:
    """What two passes do not explain of each other, as a linear map of a sub-cell's uint8 in both.

    Attributes:
        fine: float64 (2 F, 2 F), on the 10 m bands of the past and then of the new pass.
        coarse: (2 F, 2 C), likewise on the other bands.
        constant: (2 F,).
        spread: (2 F,), usual size of each residual.
    """

    fine: F64
    coarse: F64
    constant: F64
    spread: F64

    @classmethod
    def of(cls, forward: F64, backward: F64, spread: F64) -> ResidualMap:
        """Of the linear predictions of one pass from the other (see `pair.PairModel`)."""
        f, bands = forward.shape[1], len(forward) - 1
        c = bands - f
        # rows are the residuals forward and backward; columns fine past, fine now | coarse past, now
        m = np.zeros((2 * f, 2 * f + 2 * c))
        m[:f, :f], m[:f, f : 2 * f] = -forward[:f].T, np.eye(f)
        m[f:, :f], m[f:, f : 2 * f] = np.eye(f), -backward[:f].T
        m[:f, 2 * f : 2 * f + c] = -forward[f:-1].T
        m[f:, 2 * f + c :] = -backward[f:-1].T
        m *= INPUT_STEP
        constant = -np.concatenate([forward[-1], backward[-1]]) - INPUT_ZERO * m.sum(axis=1)
        return cls(m[:, : 2 * f], m[:, 2 * f :], constant, spread)


class EventTest:
    """A head folded with what is known of two passes.

    Args:
        head: its weights.
        bands: of the records, in the bundle's order.
        now, past: band statistics of both acquisitions.
        residual: what the passes do not explain of each other.
    """

    def __init__(
        self, head: EventHead, bands: Sequence[str], now: Sequence[BandStatistics], past: Sequence[BandStatistics],
        residual: ResidualMap,
    ) -> None:  # fmt: skip
        of_residual = head.residual / residual.spread
        fine, coarse = of_residual @ residual.fine, of_residual @ residual.coarse
        constant = head.bias + of_residual @ residual.constant
        both = []
        for weights, of_median, statistics in ((head.past, head.past_median, past), (head.now, head.now_median, now)):
            scaled = weights * np.array([one.spread for one in statistics]) * INPUT_STEP
            constant = constant + of_median @ np.array([one.median for one in statistics])
            constant = constant - INPUT_ZERO * scaled.sum(axis=1)
            both.append(scaled)
        for matrix, order in ((fine, fine_bands(bands)), (coarse, coarse_bands(bands))):
            matrix += np.concatenate([scaled[:, order] for scaled in both], axis=1)
        self._fine, self._coarse = exact_weights(fine, 8), exact_weights(coarse, 8)
        self._constant = constant.astype(np.float32)[None, :, None]
        self._out, self._out_bias = head.out.astype(np.float32)[:, None], np.float32(head.out_bias)

    def log_odds(self, now: Records, past: Records) -> F32:
        """Log odds of an event, float32 (N, 64), -12..12; the least where a sub-cell is hidden in either pass."""
        found = np.empty((len(now), FINE * FINE), dtype=np.float32)
        for start in range(0, len(now), BATCH):
            part = slice(start, start + BATCH)
            found[part] = self._some(now[part], past[part])
        return found

    def evidence(self, now: Records, past: Records, floor: float, top: int) -> F32:
        """How far the mean of a cell's `top` greatest log odds exceeds `floor`, float32 (N,), 0 or more."""
        return np.asarray(np.maximum(top_mean(self.log_odds(now, past), top) - np.float32(floor), 0))

    def _some(self, now: Records, past: Records) -> F32:
        fine = np.concatenate([past["fine"], now["fine"]], axis=1).astype(np.float32)
        base = np.broadcast_to(self._constant, (len(now), self._constant.shape[1], SPREAD.shape[0]))
        if self._coarse.shape[1]:
            coarse = np.concatenate([past["coarse"], now["coarse"]], axis=1).astype(np.float32)
            base = np.matmul(self._coarse, coarse) + self._constant
        units = np.matmul(self._fine, fine)  # (N, units, 64)
        units += (flat(base) @ SPREAD).reshape(units.shape)
        np.maximum(units, 0, out=units)
        units *= self._out
        odds = np.clip(ordered_sum(units) + self._out_bias, -LIMIT, LIMIT)
        odds[~unpack_valid(now["valid"] & past["valid"])] = -LIMIT
        return np.asarray(odds, dtype=np.float32)
