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

from onboard.change.exact import ordered_sum
from onboard.change.record import coarse_bands, fine_bands
from onboard.change.seen import BLOCK, QUARTERS, Folded, Pair, Rows, by_cell, folded
from onboard.change.subcells import INPUT_STEP, INPUT_ZERO, top_mean
from onboard.errors import BundleError
from onboard.native.compare import MAX_TOP, EventKernel, fits
from onboard.sense.normalise import BandStatistics

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

AT_ONCE = 4096
"""Coarse sub-cells whose hidden layer is in the cache at a time: twice 512 kB at 32 units."""
LIMIT = 12.0
"""Greatest log odds, either way; hidden sub-cells have the least."""


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
        past, now: float64 (2 F, B), on the spectrum of either pass, 10 m bands first.
        constant: (2 F,).
        spread: (2 F,), usual size of each residual.
    """

    past: F64
    now: F64
    constant: F64
    spread: F64

    @classmethod
    def of(cls, forward: F64, backward: F64, spread: F64) -> ResidualMap:
        """Of the linear predictions of one pass from the other (see `pair.PairModel`)."""
        f, bands = forward.shape[1], len(forward) - 1
        own = np.eye(f, bands)
        past = INPUT_STEP * np.concatenate([-forward[:-1].T, own])
        now = INPUT_STEP * np.concatenate([own, -backward[:-1].T])
        constant = -np.concatenate([forward[-1], backward[-1]]) - INPUT_ZERO * (past + now).sum(axis=1)
        return cls(past, now, constant, spread)

    @property
    def weights(self) -> Folded:
        """On both looks of a `seen.Pair`, 2 F rows."""
        return folded(np.column_stack([self.past, self.now, self.constant]), len(self.past) // 2)


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
        constant = head.bias + of_residual @ residual.constant
        order = fine_bands(bands) + coarse_bands(bands)
        both = []
        for weights, of_median, statistics, of_pass in (
            (head.past, head.past_median, past, residual.past),
            (head.now, head.now_median, now, residual.now),
        ):
            scaled = weights * np.array([one.spread for one in statistics]) * INPUT_STEP
            constant = constant + of_median @ np.array([one.median for one in statistics])
            constant = constant - INPUT_ZERO * scaled.sum(axis=1)
            both.append(scaled[:, order] + of_residual @ of_pass)
        # a rectifier keeps scale: the weight of a unit goes into it; where that is negative, it rectifies the other way
        rows = head.out[:, None] * np.column_stack([*both, constant])
        maps = folded(np.concatenate([rows[head.out > 0], rows[head.out < 0]]), len(fine_bands(bands)))
        self._on_fine, self._on_others = maps.fine, -maps.others
        self._raising, self._bias = int((head.out > 0).sum()), np.float32(head.out_bias)
        self._kernel = EventKernel(maps, self._on_others, self._raising, head.out_bias) if fits(maps, ()) else None

    def log_odds(self, pair: Pair) -> F32:
        """Log odds of an event, float32 (N, 64), -12..12, quarter by quarter; the least where hidden in either look."""
        return self._kernel.log_odds(pair.records, pair.past_records) if self._kernel else self._log_odds(pair.rows)

    def _log_odds(self, rows: Rows) -> F32:
        """The same.

        What the other bands give to a unit is common to all quarters: with f of the 10 m bands and c of the others,
        max(f + c, 0) = max(f, -c) + c, so that c is added once, after the sum over the units. Term after term, as in
        `exact.ordered_sum`.
        """
        cells = rows.fine.shape[2]
        fine, others = (one.reshape(len(one), -1, cells * BLOCK) for one in (rows.fine, rows.others))
        odds = np.empty(fine.shape[1:], np.float32)
        for start in range(0, odds.shape[1], AT_ONCE):
            block = np.s_[start : start + AT_ONCE]
            less = self._on_others @ others[:, 0, block]
            for quarter, found in enumerate(odds[:, block]):
                self._rectified(self._on_fine @ fine[:, quarter, block], less, found)
            odds[:, block] -= ordered_sum(less) - self._bias
        found = np.clip(odds, -LIMIT, LIMIT, out=odds).reshape(QUARTERS, cells, BLOCK)
        if rows.hidden is not None:
            found[rows.hidden] = -LIMIT
        return by_cell(found)

    def _rectified(self, units: F32, less: F32, out: F32) -> None:
        """Units (units, n), overwritten, each no further than its own of `less`, summed into `out` (n,)."""
        raising, lowering = np.s_[: self._raising], np.s_[self._raising :]
        np.maximum(units[raising], less[raising], out=units[raising])
        np.minimum(units[lowering], less[lowering], out=units[lowering])
        np.add.reduce(units, axis=0, out=out)

    def compiled(self, floor: float, top: int) -> EventKernel | None:
        """What asks for `evidence` in compiled code, where there is any."""
        return self._kernel.asking(floor, top) if self._kernel is not None and 1 <= top <= MAX_TOP else None

    def evidence(self, pair: Pair, asked: NDArray[np.bool_], floor: float, top: int) -> F32:
        """How far the mean of a cell's `top` greatest log odds exceeds `floor`, float32 (N,), 0 or more; 0 for cells
        that are not asked for."""
        found = np.zeros(len(pair), dtype=np.float32)
        cells = np.flatnonzero(asked)
        if len(cells):
            rows = pair.rows if len(cells) == len(pair) else pair.rows.of(cells)
            found[cells] = exceeding(self._log_odds(rows), floor, top)
        return found


def exceeding(log_odds: F32, floor: float, top: int) -> F32:
    """How far the mean of a cell's `top` greatest log odds (N, 64) exceeds `floor`, float32 (N,), 0 or more."""
    return np.asarray(np.maximum(top_mean(log_odds, top) - np.float32(floor), 0))
