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
from onboard.change.record import COARSE, FINE, Records
from onboard.change.seen import Seen
from onboard.errors import BundleError
from onboard.native.records import available, clouded, filled_up
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
        self._weights = np.ascontiguousarray(exact_weights(weights[:, list(order)], 10))  # of means of four
        self._bias = (head.bias + head.absolute @ median - zero * weights.sum(axis=1)).astype(np.float32)
        self._out = head.out.astype(np.float32)
        self._rows = filled_up(self._weights), filled_up(self._bias), filled_up(self._out)
        self._limit = np.float32(np.log(head.threshold / (1 - head.threshold)) - head.out_bias)

    def hidden(self, records: Records) -> NDArray[np.bool_] | None:
        """Hidden sub-cells.

        Only what is hidden over at least 2 x 2 sub-cells (160 m) counts: a single bright roof is no cloud. A margin of
        one sub-cell within the cell is added.

        Args:
            records: (N,), 10 m bands first in the order given at the start.

        Returns:
            bool (N, 64), on fine sub-cells; None where none is.
        """
        fits = available(records.dtype["fine"].shape[0], records.dtype["coarse"].shape[0])
        bits = self._compiled(records) if fits else self._found(records)
        bits &= (bits >> 1) & 0x7777  # with the neighbour to the right: four columns of four bits, the last has none
        bits &= bits >> COARSE  # with those below: now a bit says that 2 x 2 from here on are hidden
        (cells,) = np.nonzero(bits)
        if not len(cells):
            return None
        wide = bits[cells]
        wide |= (wide << 1) | ((wide & 0x3333) << 2) | ((wide & 0xEEEE) >> 1)  # 2 wide, with the margin 4
        wide |= (wide << COARSE) | (wide << 2 * COARSE) | (wide >> COARSE)
        near = np.unpackbits(wide.view(np.uint8), bitorder="little").reshape(-1, COARSE, COARSE)
        factor = FINE // COARSE
        hidden = np.zeros((len(records), FINE * FINE), dtype=np.bool_)
        hidden[cells] = near.repeat(factor, axis=1).repeat(factor, axis=2).reshape(-1, FINE * FINE)
        return hidden

    def _found(self, records: Records) -> NDArray[np.uint16]:
        """Coarse sub-cells that look hidden by themselves, a bit each, (N,)."""
        coarse = Seen(records).coarse
        units = self._weights @ coarse.reshape(len(coarse), -1)  # (units, N 16)
        units += self._bias[:, None]
        np.maximum(units, 0, out=units)
        units *= self._out[:, None]
        found = (ordered_sum(units) > self._limit).reshape(len(records), -1)
        return np.packbits(found, axis=1, bitorder="little").view("<u2").reshape(-1)

    def _compiled(self, records: Records) -> NDArray[np.uint16]:
        """The same."""
        return clouded(records, *self._rows, float(self._limit))
