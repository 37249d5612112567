"""What in a cell is not explained by how two passes over one place usually differ. Pure arrays.

Computed with a model that `usual` learnt from the pre-scan's sample of cells, frozen before the first chunk:

* **Surprise.** Each pass is predicted from the other, sub-cell by sub-cell, by a linear map of all bands to the 10 m
  bands (the chronochrome of Schaum & Stocker 1997, in both directions; ridge regression, so that collinear bands do no
  harm). Season, haze, sun and calibration are in the map; the residual is what they do not explain. Its length over the
  10 m bands, averaged over the greatest sub-cells, is robustly standardised by the scene's own median and spread.
* **Signed evidence** (`signed`): loss of vegetation and gain of water, in physical units.
* **Log odds of an event** (`event`): a small trained head on both spectra and the residual.

The last two count only as far as the scene shows more of them than of their mirror image: seasons make both, disasters
make one.

The input is the uint8 input of the network, x = (u - 128) / 24: log reflectance standardised per acquisition and band.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from onboard.change.event import EventHead, EventTest, ResidualMap
from onboard.change.exact import exact_weights, sum_of_squares
from onboard.change.rule import ScoreRule
from onboard.change.seen import Pair, by_cell
from onboard.change.signed import Medians, Signed, damping
from onboard.change.subcells import INPUT_STEP, INPUT_ZERO, top_root_mean
from onboard.native.compare import EventKernel, UnexplainedKernel, fits
from onboard.sense.normalise import BandStatistics

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Number = float | F32

NEGLIGIBLE = 1e-3
"""Weight below which evidence is not even computed."""


@dataclass(frozen=True)
class PairModel:
    """What is usual between one past pass and the new one. All arrays float64; see `usual.fit_pair`.

    Attributes:
        forward: (B + 1, F): past bands and a constant -> the new pass's 10 m bands.
        backward: (B + 1, F): the other way.
        past_mean, past_whiten: (B,), (B, B): a past spectrum is unusual by |past_whiten @ (x - past_mean)|^2 / B.
        signed: scene medians that signed evidence is measured against.
        loss_weight, water_weight, event_weight: 0..1, how much the scene's losses of vegetation exceed its gains, its
            gains of water its losses, and its events those seen with both passes exchanged, over all of the history
            (`usual.weigh`).
        event_above: what evidence of an event must exceed, beyond the rule's own floor, to count.
        residual_spread: (2 F,), usual size of each residual, forward and backward.
        surprise: (median, spread) of the residual's length over the sample.
        latent: (median, spread) of the latents' distance.
    """

    forward: F64
    backward: F64
    past_mean: F64
    past_whiten: F64
    signed: Medians
    loss_weight: float
    water_weight: float
    event_weight: float
    event_above: float
    residual_spread: F64
    surprise: tuple[float, float]
    latent: tuple[float, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; float64 survives JSON exactly."""
        raw = {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in vars(self).items()}
        return raw | {"signed": asdict(self.signed)}

    @property
    def residual_map(self) -> ResidualMap:
        """The residual as a map of the records' uint8."""
        return ResidualMap.of(self.forward, self.backward, self.residual_spread)

    @property
    def mirrored_map(self) -> ResidualMap:
        """Likewise with both passes exchanged."""
        halves = np.split(self.residual_spread, 2)
        return ResidualMap.of(self.backward, self.forward, np.concatenate(halves[::-1]))

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> PairModel:
        """Inverse of `to_dict`."""
        return cls(
            forward=np.array(raw["forward"], dtype=np.float64),
            backward=np.array(raw["backward"], dtype=np.float64),
            past_mean=np.array(raw["past_mean"], dtype=np.float64),
            past_whiten=np.array(raw["past_whiten"], dtype=np.float64),
            signed=Medians(**raw["signed"]),
            loss_weight=float(raw["loss_weight"]),
            water_weight=float(raw["water_weight"]),
            event_weight=float(raw["event_weight"]),
            event_above=float(raw.get("event_above", 0.0)),  # a pass begun by an older version
            residual_spread=np.array(raw["residual_spread"], dtype=np.float64),
            surprise=tuple(raw["surprise"]),
            latent=tuple(raw["latent"]),
        )


class Weights(NamedTuple):
    """What each kind of evidence counts, against one past look or, as float32 (L, 1), against several.

    Attributes:
        median, spread: of residuals; they count 1.
        loss, water: of signed evidence.
        latent_median, latent_spread, latent: of the distance of latents, and what it counts.
        event: of evidence of an event.
    """

    median: Number
    spread: Number
    loss: Number
    water: Number
    latent_median: Number
    latent_spread: Number
    latent: Number
    event: Number

    @staticmethod
    @lru_cache(64)
    def stacked(each: tuple[Weights, ...]) -> Weights:
        """Of several looks: the same for nearly all chunks of a pass."""
        return Weights(*np.array(each, np.float32).T[:, :, None])

    def add_up(self, residual: F32, loss: F32, water: F32, distance: F32 | None) -> F32:
        """asinh of surprise, signed evidence and distance of latents, in spreads of the scene: float32 (N,) or (L, N).

        asinh is linear around 0 and logarithmic above: the tail of what did not change falls off like a power, so that
        it is on a scale of log odds itself.
        """
        surprise = (residual - np.float32(self.median)) / np.float32(self.spread)
        surprise += np.float32(self.loss) * loss
        surprise += np.float32(self.water) * water
        if distance is not None:
            standard = (distance - np.float32(self.latent_median)) / np.float32(self.latent_spread)
            surprise += np.float32(self.latent) * standard
        return np.arcsinh(surprise.astype(np.float64)).astype(np.float32)


class Comparison:
    """Evidence of change between looks of two passes, with the pair's model folded into a few small matrices.

    Args:
        model: what is usual.
        rule: constants of the score.
        bands: of the records, in the bundle's order.
        now, past: band statistics of both acquisitions (needed to return to physical units).
        event: the bundle's head for the log odds of an event, if it has one.
    """

    def __init__(
        self,
        model: PairModel,
        rule: ScoreRule,
        bands: Sequence[str],
        now: Sequence[BandStatistics],
        past: Sequence[BandStatistics],
        event: EventHead | None = None,
    ) -> None:
        self._model, self._rule = model, rule
        residual = model.residual_map
        self._weights = residual.weights
        self._event = None
        if event is not None and rule.event * model.event_weight > NEGLIGIBLE:
            self._event = EventTest(event, bands, now, past, residual)
        self._signed = Signed.for_bands(bands, now, past)
        whiten = model.past_whiten * INPUT_STEP / np.sqrt(len(bands))
        self._whiten = exact_weights(whiten, 10)  # of means of four
        offset = -(model.past_whiten @ model.past_mean) / np.sqrt(len(bands)) - INPUT_ZERO * whiten.sum(axis=1)
        self._whiten_offset = offset.astype(np.float32)[:, None]
        self._loss_counts = self._signed is not None and rule.loss * model.loss_weight > NEGLIGIBLE
        self._water_counts = (
            self._signed is not None and self._signed.sees_water and rule.water * model.water_weight > NEGLIGIBLE
        )
        self._kernel = self._compiled()
        self.weights = Weights(
            *model.surprise, rule.loss * model.loss_weight if self._loss_counts else 0.0,
            rule.water * model.water_weight if self._water_counts else 0.0, *model.latent, rule.latent,
            rule.event * model.event_weight if self._event else 0.0,
        )  # fmt: skip
        self._floor = rule.event_floor + model.event_above

    def _compiled(self) -> UnexplainedKernel | None:
        """The same in compiled code, where there is any."""
        rule, tops = self._rule, (self._rule.top_fine, self._rule.top_coarse, self._rule.top_water)
        if not fits(self._weights, tops):
            return None
        signs = None
        if self._signed is not None and (self._loss_counts or self._water_counts):
            signs = self._signed.signs(self._model.signed)
        return UnexplainedKernel(
            self._weights, rule.cell_mean, tops, signs, self._loss_counts, self._water_counts, self._whiten,
            self._whiten_offset, (1 + rule.rarity, rule.rarity),
        )  # fmt: skip

    def residual(self, pair: Pair) -> F32:
        """Length of what either pass does not explain of the other, mean of the greatest sub-cells: float32 (N,)."""
        return self._kernel(pair.records, pair.past_records)[0] if self._kernel else self._residual(pair)

    def _residual(self, pair: Pair) -> F32:
        residual, common = pair.product(self._weights)
        if pair.hidden is None:
            mean = pair.mean(self._weights)
        else:
            shown = ~pair.hidden
            seen = np.maximum(shown.sum(axis=(0, 2)), 1)
            mean = ((residual + common[:, None]) * shown).sum(axis=(1, 3), dtype=np.float64) / seen  # exact, as above
        common -= (self._rule.cell_mean * mean).astype(np.float32)[:, :, None]
        residual += common[:, None]
        squares = sum_of_squares(residual)
        if pair.hidden is not None:
            squares[pair.hidden] = 0
        return top_root_mean(by_cell(squares), self._rule.top_fine)

    @cached_property
    def compiled(self) -> tuple[UnexplainedKernel, EventKernel | None] | None:
        """The same in compiled code, all of it; None where there is none."""
        event = None if self._event is None else self._event.compiled(self._floor, self._rule.top_event)
        if self._kernel is None or (self._event is not None and event is None):
            return None
        return self._kernel, event

    def unexplained(self, pair: Pair, latent_distance: F32 | None) -> F32:
        """Surprise, signed evidence and distance of latents, weighted (`Weights.add_up`): float32 (N,)."""
        evidence = self._kernel(pair.records, pair.past_records) if self._kernel else self._evidence(pair)
        return self.weights.add_up(*evidence, latent_distance)

    def event(self, pair: Pair, asked: NDArray[np.bool_]) -> F32:
        """Evidence of an event in log odds, weighted, float32 (N,), 0 or more; 0 for cells that are not asked for."""
        if self._event is None or not asked.any():
            return np.zeros(len(pair), dtype=np.float32)
        found = self._event.evidence(pair, asked, self._floor, self._rule.top_event)
        return np.float32(self.weights.event) * found

    def _evidence(self, pair: Pair) -> tuple[F32, F32, F32]:
        """Residuals, losses of vegetation and gains of water, float32 (N,) each; 0 where they do not count."""
        nothing = np.zeros(len(pair), dtype=np.float32)
        residual, loss, water = self._residual(pair), nothing, nothing
        if self._signed is not None and (self._loss_counts or self._water_counts):
            falls = self._signed.falls(pair)
            if self._loss_counts:
                loss = self._loss(self._signed.loss(falls, self._model.signed), pair)
            if self._water_counts:
                gain = _seen(self._signed.water(falls, self._model.signed), pair)
                water = top_root_mean(gain, self._rule.top_water)
        return residual, loss, water

    def _loss(self, squares: F32, pair: Pair) -> F32:
        """Loss of vegetation in log units, less where the past was unusual, mean of the greatest: float32 (N,)."""
        whitened = self._whiten @ pair.past.coarse.reshape(len(self._whiten), -1) + self._whiten_offset
        squares *= damping(sum_of_squares(whitened), self._rule).reshape(squares.shape)
        return top_root_mean(_seen(squares, pair), self._rule.top_coarse)


def _seen(squares: F32, pair: Pair) -> F32:
    """Zero where a coarse sub-cell (N, 16) is not wholly valid in both looks."""
    return squares if pair.hidden is None else np.asarray(squares * ~pair.hidden.any(axis=0))
