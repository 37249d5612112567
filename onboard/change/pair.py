"""What in a cell is not explained by how two passes over one place usually differ. Pure arrays.

Computed with a model that `usual` learnt from the pre-scan's sample of cells, frozen before the first chunk:

* **Surprise.** Each pass is predicted from the other, sub-cell by sub-cell, by a linear map of all bands to the 10 m
  bands (the chronochrome of Schaum & Stocker 1997, in both directions; ridge regression, so that collinear bands do no
  harm). Season, haze, sun and calibration are in the map; the residual is what they do not explain. Its length over the
  10 m bands, averaged over the greatest sub-cells, is robustly standardised by the scene's own median and spread.
* **Signed evidence** (`signed`): loss of vegetation and gain of water, in physical units. Each counts only as far as
  the scene shows more of it than of its mirror image: seasons make both, disasters make one.

The input is the uint8 input of the network, x = (u - 128) / 24: log reflectance standardised per acquisition and band.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard.change.exact import exact_weights, sum_of_squares
from onboard.change.record import COARSE, FINE, Records, coarse_bands, fine_bands
from onboard.change.rule import ScoreRule
from onboard.change.signed import Falls, Medians, Signed, damping
from onboard.change.subcells import (
    INPUT_STEP,
    INPUT_ZERO,
    SPREAD,
    coarse_spectra,
    coarse_valid,
    common,
    flat,
    top_root_mean,
)
from onboard.sense.normalise import BandStatistics

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

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
        loss_weight, water_weight: 0..1, how much the scene's losses of vegetation exceed its gains, and its gains of
            water its losses, over all of the history (`usual.weigh`).
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
    surprise: tuple[float, float]
    latent: tuple[float, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; float64 survives JSON exactly."""
        raw = {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in vars(self).items()}
        return raw | {"signed": asdict(self.signed)}

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
            surprise=tuple(raw["surprise"]),
            latent=tuple(raw["latent"]),
        )


class Comparison:
    """Evidence of change between records of two passes, with the pair's model folded into a few small matrices.

    Args:
        model: what is usual.
        rule: constants of the score.
        bands: of the records, in the bundle's order.
        now, past: band statistics of both acquisitions (needed to return to physical units).
    """

    def __init__(
        self,
        model: PairModel,
        rule: ScoreRule,
        bands: Sequence[str],
        now: Sequence[BandStatistics],
        past: Sequence[BandStatistics],
    ) -> None:
        self._model, self._rule = model, rule
        fine, coarse = fine_bands(bands), coarse_bands(bands)
        self._order = fine + coarse
        f, c = len(fine), len(coarse)
        # e = M u + b: rows are the residuals forward and backward; columns fine past, fine now | coarse past, now
        m = np.zeros((2 * f, 2 * f + 2 * c))
        m[:f, :f], m[:f, f : 2 * f] = -model.forward[:f].T, np.eye(f)
        m[f:, :f], m[f:, f : 2 * f] = np.eye(f), -model.backward[:f].T
        m[:f, 2 * f : 2 * f + c] = -model.forward[f:-1].T
        m[f:, 2 * f + c :] = -model.backward[f:-1].T
        m *= INPUT_STEP
        constant = -np.concatenate([model.forward[-1], model.backward[-1]]) - INPUT_ZERO * m.sum(axis=1)
        self._fine, self._coarse = exact_weights(m[:, : 2 * f], 8), exact_weights(m[:, 2 * f :], 8)
        self._constant = constant.astype(np.float32)[None, :, None]
        self._signed = Signed.for_bands(bands, now, past)
        whiten = model.past_whiten * INPUT_STEP / np.sqrt(len(bands))
        self._whiten = exact_weights(whiten, 10)  # of means of four
        offset = -(model.past_whiten @ model.past_mean) / np.sqrt(len(bands)) - INPUT_ZERO * whiten.sum(axis=1)
        self._whiten_offset = offset.astype(np.float32)[None, :, None]

    def residual(self, now: Records, past: Records) -> F32:
        """Length of what either pass does not explain of the other, mean of the greatest sub-cells: float32 (N,)."""
        n, f = len(now), now["fine"].shape[1]
        fine = np.empty((n, 2 * f, FINE * FINE), dtype=np.float32)
        fine[:, :f], fine[:, f:] = past["fine"], now["fine"]
        residual = np.matmul(self._fine, fine)  # (N, 2F, 64)
        base = np.broadcast_to(self._constant, (n, 2 * f, COARSE * COARSE))
        if self._coarse.shape[1]:
            c = now["coarse"].shape[1]
            coarse = np.empty((n, 2 * c, COARSE * COARSE), dtype=np.float32)
            coarse[:, :c], coarse[:, c:] = past["coarse"], now["coarse"]
            base = np.matmul(self._coarse, coarse) + self._constant  # (N, 2F, 16)
        valid = common(now, past)
        share = np.float32(self._rule.cell_mean)
        if valid is None:
            mean = residual.mean(axis=2, keepdims=True) + base.mean(axis=2, keepdims=True)
            residual += (flat(base - share * mean) @ SPREAD).reshape(residual.shape)
        else:
            residual += (flat(base) @ SPREAD).reshape(residual.shape)
            residual *= valid[:, None]
            mean = residual.sum(axis=2, keepdims=True) / np.maximum(valid.sum(axis=1), 1)[:, None, None]
            residual -= (share * mean * valid[:, None]).astype(np.float32)
        return top_root_mean(sum_of_squares(residual), self._rule.top_fine)

    def loss(self, now: Records, past: Records, falls: Falls | None = None) -> F32:
        """Loss of vegetation in log units, mean of the greatest sub-cells: float32 (N,); zeros without NIR and SWIR.

        Args:
            falls: as `Signed.falls` gives them, where they are known already.
        """
        if self._signed is None:
            return np.zeros(len(now), dtype=np.float32)
        squares = self._signed.loss(falls or self._signed.falls(now, past), self._model.signed)
        whitened = np.matmul(self._whiten, coarse_spectra(past)) + self._whiten_offset
        squares *= damping(sum_of_squares(whitened), self._rule)
        return top_root_mean(squares * coarse_valid(now, past), self._rule.top_coarse)

    def water(self, now: Records, past: Records, falls: Falls | None = None) -> F32:
        """Gain of water in log units, mean of the greatest sub-cells: float32 (N,); zeros without green, NIR, SWIR.

        Args:
            falls: as `Signed.falls` gives them, where they are known already.
        """
        if self._signed is None or not self._signed.sees_water:
            return np.zeros(len(now), dtype=np.float32)
        squares = self._signed.water(falls or self._signed.falls(now, past), self._model.signed)
        return top_root_mean(squares * coarse_valid(now, past), self._rule.top_water)

    def score(self, now: Records, past: Records, latent_distance: F32) -> F32:
        """Surprise + weighted loss + weighted distance of latents, each in spreads of the scene: float32 (N,)."""
        model, rule = self._model, self._rule
        score = (self.residual(now, past) - np.float32(model.surprise[0])) / np.float32(model.surprise[1])
        loss, water = rule.loss * model.loss_weight, rule.water * model.water_weight
        falls = self._signed.falls(now, past) if self._signed and max(loss, water) > NEGLIGIBLE else None
        if loss > NEGLIGIBLE:
            score += np.float32(loss) * self.loss(now, past, falls)
        if water > NEGLIGIBLE:
            score += np.float32(water) * self.water(now, past, falls)
        if rule.latent:
            standard = (latent_distance - np.float32(model.latent[0])) / np.float32(model.latent[1])
            score += np.float32(rule.latent) * standard
        return np.asarray(score, dtype=np.float32)
