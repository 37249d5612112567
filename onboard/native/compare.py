"""What a new look and those before it leave unexplained of each other, by compiled code. Twins: `change.pair`,
`change.event`, `change.distance`."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from copy import copy
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from onboard.native.library import Against, Folded, Head, Usual, address, kernels, pointer
from onboard.native.records import MAX_LATENTS, available, filled_up, layout_of

F32 = NDArray[np.float32]
Records = NDArray[np.void]

MAX_TOP = 32
"""Greatest sub-cells that cell.h has room for; of coarse ones there are 16."""


class Map(Protocol):
    """A linear map of both looks (`change.seen.Folded`): float32 (R, 2 F) and (R, 2 C + 1)."""

    @property
    def fine(self) -> F32:
        """On the 10 m bands of the past, then of the new look."""

    @property
    def others(self) -> F32:
        """On the other bands likewise, and on `change.seen.ONE`."""


class _Kernel:
    """Holds the arrays that a structure points to for as long as the structure is used."""

    def __init__(self) -> None:
        self._held: list[NDArray[Any]] = []

    def _at(self, array: NDArray[Any], dtype: Any = np.float32) -> int:
        kept = np.ascontiguousarray(array, dtype=dtype)
        self._held.append(kept)
        return address(kept)

    def _rows(self, array: NDArray[Any]) -> int:
        """Likewise of rows of weights, filled up with zeros to as many as are taken together."""
        return self._at(filled_up(np.asarray(array, np.float32)))

    def _folded(self, rows: Map, others: F32) -> Folded:
        return Folded(len(filled_up(rows.fine)), self._rows(rows.fine), self._rows(others))


def fits(rows: Map, tops: Sequence[int]) -> bool:
    """Whether there are kernels here, with room for so many bands and greatest sub-cells."""
    room = all(1 <= top <= most for top, most in zip(tops, (MAX_TOP, 16, 16), strict=False))
    return available(rows.fine.shape[1] // 2, (rows.others.shape[1] - 1) // 2) and room


def _alike(now: Records, *others: NDArray[Any]) -> None:
    if any(len(one) != len(now) for one in others):
        raise ValueError(f"{len(now)} records against {[len(one) for one in others]}")


class Signs:
    """What signed evidence is computed with; see `change.signed.Signed`. All arrays float32 (falls,)."""

    def __init__(
        self, places: Sequence[int], past: F32, now: F32, constant: F32, medians: F32, at: dict[str, int],
        near_short: float, shadow: float,
    ) -> None:  # fmt: skip
        self.places, self.past, self.now, self.constant, self.medians = places, past, now, constant, medians
        self.at, self.near_short, self.shadow = at, near_short, shadow


class UnexplainedKernel(_Kernel):
    """Residuals and signed evidence of one pair of passes.

    Args:
        residual: see `change.pair.PairModel.residual_map`.
        cell_mean, tops: of the rule; tops for residuals, losses of vegetation, gains of water.
        signs: None where the bands tell none.
        loss, water: whether each is asked for.
        whiten, whiten_offset: float32 (B, B) and (B,), of past spectra.
        damping: (numerator, added to the denominator).
    """

    def __init__(
        self, residual: Map, cell_mean: float, tops: tuple[int, int, int], signs: Signs | None, loss: bool,
        water: bool, whiten: F32, whiten_offset: F32, damping: tuple[float, float],
    ) -> None:  # fmt: skip
        super().__init__()
        self.loss, self.water = loss and signs is not None, water and signs is not None
        made = Usual(
            self._folded(residual, residual.others), cell_mean, *tops, int(self.loss), int(self.water),
            whiten=self._rows(whiten), whiten_offset=self._rows(whiten_offset), damping=damping[0], rarity=damping[1],
        )  # fmt: skip
        if signs is not None:
            made.falls, made.places = len(signs.places), self._at(np.array(signs.places), np.int64)
            made.past, made.now = self._at(signs.past), self._at(signs.now)
            made.constant, made.medians = self._at(signs.constant), self._at(signs.medians)
            made.near_short, made.shadow = signs.near_short, signs.shadow
            for name, place in signs.at.items():
                setattr(made, name, place)
        self._usual = made

    def __call__(self, now: Records, past: Records) -> tuple[F32, F32, F32]:
        """Lengths of residuals, losses of vegetation and gains of water, float32 (N,) each; 0 where not asked for."""
        found = unexplained(now, [past], [self], [None], None, None)
        return found.residual[0], found.loss[0], found.water[0]


class EventKernel(_Kernel):
    """Log odds of an event; see `change.event.EventTest`.

    Args:
        units: weights of the hidden layer; `others` is what each unit is rectified at, the negative of its own.
        raising: the first units, which are rectified upwards.
        bias: added to the log odds.
    """

    def __init__(self, units: Map, others: F32, raising: int, bias: float) -> None:
        super().__init__()
        self._head = Head(self._folded(units, others), raising, bias)

    def asking(self, floor: float, top: int) -> EventKernel:
        """The same, for evidence: how far the mean of a cell's `top` greatest log odds exceeds `floor`."""
        other = copy(self)
        other._head = Head(self._head.units, self._head.raising, self._head.bias, floor, top)
        return other

    def log_odds(self, now: Records, past: Records) -> F32:
        """Of every fine sub-cell, float32 (N, 64), quarter by quarter."""
        _alike(now, past)
        odds = np.empty((len(now), 64), np.float32)
        kernels().onboard_log_odds(
            pointer(now, now.dtype), pointer(past, now.dtype), len(now), ctypes.byref(layout_of(now.dtype)),
            ctypes.byref(self._head), address(odds),
        )  # fmt: skip
        return odds


class Unexplained(NamedTuple):
    """Of N cells against L past looks, float32 (L, N) each; 0 where not asked for.

    Attributes:
        residual, loss, water: lengths of residuals, losses of vegetation, gains of water.
        distance: Euclidean, of the latents.
        evidence: of an event.
    """

    residual: F32
    loss: F32
    water: F32
    distance: F32
    evidence: F32


def unexplained(
    now: Records, past: Sequence[Records], usual: Sequence[UnexplainedKernel], events: Sequence[EventKernel | None],
    chosen: NDArray[np.bool_] | None, scale: float | None,
) -> Unexplained:  # fmt: skip
    """A new look against past ones, the newest first.

    Args:
        now, past: records, (N,) each.
        usual: of each past look.
        events: likewise, `EventKernel.asking`; None where there is no evidence of any. What shows no event against one
            look is not asked for one against older ones.
        chosen: bool (L, N), which looks a cell counts; None asks for no event.
        scale: of the latents; None asks for no distance.
    """
    _alike(now, *past)
    if chosen is not None and chosen.shape != (len(past), len(now)):
        raise ValueError(f"{chosen.shape} counted for {len(past)} looks at {len(now)} cells")
    if chosen is not None and any(event is not None and event._head.top < 1 for event in events):
        raise ValueError("evidence of events of which none was asked for")
    if scale is not None and now.dtype["latent"].shape[0] > MAX_LATENTS:
        raise ValueError(f"latents of {now.dtype['latent'].shape[0]} numbers")
    count, cells = len(past), len(now)
    found = np.zeros((len(Unexplained._fields), count, cells), np.float32)
    first, row = address(found) if found.size else 0, cells * found.itemsize
    looks = (Against * count)()
    asked = 0 if chosen is None else pointer(chosen, np.bool_)
    for i, (look, records, kernel, event) in enumerate(zip(looks, past, usual, events, strict=True)):
        look.past, look.usual = pointer(records, now.dtype), ctypes.addressof(kernel._usual)
        look.head = None if event is None else ctypes.addressof(event._head)
        look.chosen = asked + i * cells if asked else None
        each = [first + (kind * count + i) * row for kind in range(len(Unexplained._fields))]
        look.residual, look.loss, look.water, look.distance, look.evidence = each
        if scale is None:
            look.distance = None
    kernels().onboard_unexplained(
        pointer(now, now.dtype), cells, ctypes.byref(layout_of(now.dtype)), looks, count, scale or 0.0
    )
    return Unexplained(*found)
