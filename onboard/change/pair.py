"""How two passes over one place usually differ, and what in a cell is not explained by that. Pure arrays.

Learnt from the pre-scan's sample of cells, without labels, and frozen before the first chunk:

* **Surprise.** Each pass is predicted from the other, sub-cell by sub-cell, by a linear map of all bands to the 10 m
  bands (the chronochrome of Schaum & Stocker 1997, in both directions; ridge regression, so that collinear bands do no
  harm). Season, haze, sun and calibration are in the map; the residual is what they do not explain. Its length over the
  10 m bands, averaged over the greatest sub-cells, is robustly standardised by the scene's own median and spread.
* **Loss of vegetation.** The geometric mean of the fall of ln(NIR) and of ln(NIR/SWIR) against their scene medians, in
  physical units, less where the past spectrum was unusual in its scene (Theiler & Perkins 2006: elliptically contoured
  anomalous change). It counts only as far as the scene shows more loss than its mirror image, gain: phenology makes
  both, disasters make one.

The input is the uint8 input of the network, x = (u - 128) / 24: log reflectance standardised per acquisition and band.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard.change.record import COARSE, FINE, Records, coarse_bands, fine_bands, unpack_valid
from onboard.change.rule import ScoreRule
from onboard.sense.normalise import BandStatistics

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

INPUT_ZERO = 128
INPUT_STEP = 1 / 24
"""Of the uint8 input, in standard deviations."""

MIN_CELLS = 8
"""Passes with fewer common clear cells in the sample are not compared: the statistics would mean nothing."""
MIN_SPREAD = 0.2
MIN_LATENT_SPREAD = 1.0

_BLOCKS = np.arange(FINE * FINE).reshape(FINE // 2, 2, FINE // 2, 2).transpose(0, 2, 1, 3).reshape(COARSE * COARSE, 4)
"""Fine sub-cells of each coarse one, (16, 4)."""
_SPREAD = np.zeros((COARSE * COARSE, FINE * FINE), dtype=np.float32)
_SPREAD[np.repeat(np.arange(COARSE * COARSE), 4), _BLOCKS.reshape(-1)] = 1.0
"""(16, 64) of 0 and 1: a coarse map times this is the same map on fine sub-cells, faster than repeating."""


@dataclass(frozen=True)
class PairModel:
    """What is usual between one past pass and the new one. All arrays float64; see `fit_pair`.

    Attributes:
        forward: (B + 1, F): past bands and a constant -> the new pass's 10 m bands.
        backward: (B + 1, F): the other way.
        past_mean, past_whiten: (B,), (B, B): a past spectrum is unusual by |past_whiten @ (x - past_mean)|^2 / B.
        drop: medians over the scene of the falls of ln(NIR) and ln(NIR/SWIR).
        loss_weight: 0..1, how much the scene's losses exceed its gains.
        surprise: (median, spread) of the residual's length over the sample.
        latent: (median, spread) of the latents' distance.
    """

    forward: F64
    backward: F64
    past_mean: F64
    past_whiten: F64
    drop: tuple[float, float]
    loss_weight: float
    surprise: tuple[float, float]
    latent: tuple[float, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; float64 survives JSON exactly."""
        return {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in vars(self).items()}

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> PairModel:
        """Inverse of `to_dict`."""
        return cls(
            forward=np.array(raw["forward"], dtype=np.float64),
            backward=np.array(raw["backward"], dtype=np.float64),
            past_mean=np.array(raw["past_mean"], dtype=np.float64),
            past_whiten=np.array(raw["past_whiten"], dtype=np.float64),
            drop=tuple(raw["drop"]),
            loss_weight=float(raw["loss_weight"]),
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
        self._fine, self._coarse = m[:, : 2 * f].astype(np.float32), m[:, 2 * f :].astype(np.float32)
        self._constant = constant.astype(np.float32)[None, :, None]
        self._vegetation = _Vegetation.for_bands(bands, now, past)
        whiten = model.past_whiten * INPUT_STEP / np.sqrt(len(bands))
        self._whiten = whiten.astype(np.float32)
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
        valid = _common(now, past)
        share = np.float32(self._rule.cell_mean)
        if valid is None:
            mean = residual.mean(axis=2, keepdims=True) + base.mean(axis=2, keepdims=True)
            residual += (_flat(base - share * mean) @ _SPREAD).reshape(residual.shape)
        else:
            residual += (_flat(base) @ _SPREAD).reshape(residual.shape)
            residual *= valid[:, None]
            mean = residual.sum(axis=2, keepdims=True) / np.maximum(valid.sum(axis=1), 1)[:, None, None]
            residual -= (share * mean * valid[:, None]).astype(np.float32)
        squares = np.einsum("nfs,nfs->ns", residual, residual)
        return _top_root_mean(squares, self._rule.top_fine)

    def loss(self, now: Records, past: Records) -> F32:
        """Loss of vegetation in log units, mean of the greatest sub-cells: float32 (N,); zeros without NIR and SWIR."""
        if self._vegetation is None:
            return np.zeros(len(now), dtype=np.float32)
        falls = self._vegetation.falls(now, past)
        near, ratio = (np.maximum(x - np.float32(m), 0) for x, m in zip(falls[:2], self._model.drop, strict=True))
        whitened = np.matmul(self._whiten, coarse_spectra(past)) + self._whiten_offset
        unusual = np.einsum("nbs,nbs->ns", whitened, whitened)
        rarity = np.float32(self._rule.rarity)
        squares = near * ratio * ((1 + rarity) / (unusual + rarity))
        return _top_root_mean(squares * _coarse_valid(now, past), self._rule.top_coarse)

    def score(self, now: Records, past: Records, latent_distance: F32) -> F32:
        """Surprise + weighted loss + weighted distance of latents, each in spreads of the scene: float32 (N,)."""
        model, rule = self._model, self._rule
        score = (self.residual(now, past) - np.float32(model.surprise[0])) / np.float32(model.surprise[1])
        weight = rule.loss * model.loss_weight
        if weight > 1e-3:
            score += np.float32(weight) * self.loss(now, past)
        if rule.latent:
            standard = (latent_distance - np.float32(model.latent[0])) / np.float32(model.latent[1])
            score += np.float32(rule.latent) * standard
        return np.asarray(score, dtype=np.float32)


@dataclass(frozen=True)
class _Vegetation:
    """NIR, SWIR and red of both passes back in physical log units."""

    near: int
    red: int
    short: int
    scale: dict[str, tuple[float, float, float]]

    @classmethod
    def for_bands(
        cls, bands: Sequence[str], now: Sequence[BandStatistics], past: Sequence[BandStatistics]
    ) -> _Vegetation | None:
        names = list(bands)
        if not {"B04", "B08", "B12"} <= set(names):
            return None
        scale = {}
        for band in ("B08", "B12", "B04"):
            p, n = past[names.index(band)], now[names.index(band)]
            step_past, step_now = p.spread * INPUT_STEP, n.spread * INPUT_STEP
            scale[band] = (step_past, step_now, p.median - n.median - INPUT_ZERO * (step_past - step_now))
        fine = [names[i] for i in fine_bands(bands)]
        coarse = [names[i] for i in coarse_bands(bands)]
        return cls(fine.index("B08"), fine.index("B04"), coarse.index("B12"), scale)

    def falls(self, now: Records, past: Records) -> tuple[F32, F32, F32]:
        """Falls past - now of ln NIR, ln(NIR/SWIR), ln(NIR/red) on coarse sub-cells, each float32 (N, 16)."""
        near = self._fall("B08", _blocks(past["fine"][:, self.near]), _blocks(now["fine"][:, self.near]))
        red = self._fall("B04", _blocks(past["fine"][:, self.red]), _blocks(now["fine"][:, self.red]))
        short = self._fall("B12", past["coarse"][:, self.short], now["coarse"][:, self.short])
        return near, near - short, near - red

    def _fall(self, band: str, past: NDArray[Any], now: NDArray[Any]) -> F32:
        step_past, step_now, constant = self.scale[band]
        return np.asarray(
            past * np.float32(step_past) - now * np.float32(step_now) + np.float32(constant), dtype=np.float32
        )


def fit_pair(
    now: Records,
    past: Records,
    rule: ScoreRule,
    bands: Sequence[str],
    statistics_now: Sequence[BandStatistics],
    statistics_past: Sequence[BandStatistics],
    latent_distance: F32 | None,
) -> PairModel | None:
    """Learn what is usual from the pre-scan's cells that are clear in both passes.

    Args:
        now, past: records (n,) of the same cells.
        latent_distance: float32 (n,), or None where the sample was not encoded.

    Returns:
        The model; None for fewer than `MIN_CELLS` cells.
    """
    if len(now) < MIN_CELLS:
        return None
    valid = unpack_valid(now["valid"] & past["valid"])
    rows_now, rows_past = (_fine_spectra(records)[valid] for records in (now, past))  # (rows, B) fine bands first
    f = now["fine"].shape[1]
    forward, backward = _ridge(rows_past, rows_now[:, :f], rule.ridge), _ridge(rows_now, rows_past[:, :f], rule.ridge)
    usable = _coarse_valid(now, past).astype(bool)
    spectra_now, spectra_past = (
        ((coarse_spectra(records) - INPUT_ZERO) * INPUT_STEP).transpose(0, 2, 1)[usable] for records in (now, past)
    )
    mean, whiten = _whitening(spectra_past, rule.shrink)
    vegetation = _Vegetation.for_bands(bands, statistics_now, statistics_past)
    drop, weight = (0.0, 0.0), 0.0
    if vegetation is not None:
        falls = vegetation.falls(now, past)
        medians = [float(np.median(fall[usable])) for fall in falls]
        drop = medians[0], medians[1]
        centred = [np.where(usable, fall - m, 0) for fall, m in zip(falls, medians, strict=True)]
        loss = _damped(
            centred[0], centred[1], None, spectra=_scatter(spectra_past, usable), model=(mean, whiten), rule=rule
        )
        gain = _damped(
            -centred[0], -centred[1], -centred[2], spectra=_scatter(spectra_now, usable),
            model=_whitening(spectra_now, rule.shrink), rule=rule,
        )  # fmt: skip
        excess = max(float((loss**2).mean() - (gain**2).mean()), 0.0)
        weight = float((excess / (excess + rule.loss_scale)) ** rule.loss_power)
    model = PairModel(forward, backward, mean, whiten, drop, weight, (0.0, 1.0), (0.0, 1.0))
    residual = Comparison(model, rule, bands, statistics_now, statistics_past).residual(now, past)
    latent = (0.0, 1.0) if latent_distance is None else _median_spread(latent_distance, MIN_LATENT_SPREAD)
    return PairModel(forward, backward, mean, whiten, drop, weight, _median_spread(residual, MIN_SPREAD), latent)


def _damped(near: F32, ratio: F32, third: F32 | None, spectra: F64, model: tuple[F64, F64], rule: ScoreRule) -> F32:
    """The loss (or, with signs turned, the gain) of each cell of the sample, (n,)."""
    strength = np.sqrt(np.maximum(near, 0) * np.maximum(ratio, 0))
    if third is not None:  # a gain of vegetation also raises NIR against red; haze over water does not
        strength = np.minimum(strength, np.maximum(third, 0))
    mean, whiten = model
    whitened = (spectra - mean) @ whiten.T
    unusual = (whitened**2).mean(axis=2)
    squares = strength**2 * (1 + rule.rarity) / (unusual + rule.rarity)
    return _top_root_mean(squares.astype(np.float32), rule.top_coarse)


def _ridge(source: F64, target: F64, ridge: float) -> F64:
    """Linear map (B + 1, F) with the constant in its last row."""
    mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    centred = source - mean
    gram = centred.T @ centred / len(source) + ridge * np.eye(source.shape[1])
    slope = np.linalg.solve(gram, centred.T @ (target - target_mean) / len(source))
    return np.vstack([slope, target_mean - mean @ slope])


def _whitening(spectra: F64, shrink: float) -> tuple[F64, F64]:
    """(mean, W) with |W (x - mean)|^2 the squared Mahalanobis distance."""
    covariance = np.cov(spectra.T, bias=True).reshape(spectra.shape[1], -1) + shrink * np.eye(spectra.shape[1])
    return spectra.mean(axis=0), np.linalg.cholesky(np.linalg.inv(covariance)).T


def _median_spread(values: F32, smallest: float) -> tuple[float, float]:
    """Median, and 1.4826 x median absolute deviation: the standard deviation of a normal bulk."""
    median = float(np.median(values))
    return median, max(float(1.4826 * np.median(np.abs(values - median))), smallest)


def _top_root_mean(squares: F32, count: int) -> F32:
    """Mean of the square roots of the `count` greatest of each row."""
    first = squares.shape[1] - count
    return np.asarray(np.sqrt(np.partition(squares, first, axis=1)[:, first:]).mean(axis=1), dtype=np.float32)


def _blocks(fine: NDArray[np.uint8]) -> F32:
    """Means of 2 x 2 fine sub-cells: (N, 64) -> float32 (N, 16)."""
    v = fine.reshape(-1, COARSE, 2, COARSE, 2)
    pairs = v[:, :, 0].astype(np.uint16) + v[:, :, 1]
    return (pairs[..., 0] + pairs[..., 1]).reshape(-1, COARSE * COARSE) * np.float32(0.25)


def coarse_spectra(records: Records) -> F32:
    """All bands on coarse sub-cells, fine bands first, in steps of the input: float32 (N, B, 16)."""
    n, f = len(records), records["fine"].shape[1]
    out = np.empty((n, f + records["coarse"].shape[1], COARSE * COARSE), dtype=np.float32)
    out[:, :f] = _blocks(np.ascontiguousarray(records["fine"]).reshape(n * f, -1)).reshape(n, f, -1)
    out[:, f:] = records["coarse"]
    return out


def _fine_spectra(records: Records) -> F64:
    """All bands on fine sub-cells, fine bands first, standardised: float64 (n, 64, B)."""
    n = len(records)
    coarse = records["coarse"].astype(np.float32)
    spread = (_flat(coarse) @ _SPREAD).reshape(n, coarse.shape[1], FINE * FINE)
    both = np.concatenate([records["fine"], spread], axis=1)
    return np.asarray((both.transpose(0, 2, 1) - INPUT_ZERO) * INPUT_STEP, dtype=np.float64)


def _common(now: Records, past: Records) -> NDArray[np.float32] | None:
    """Fine sub-cells valid in both, float32 (N, 64); None where all are (the usual, faster case)."""
    bits = now["valid"] & past["valid"]
    if (bits == np.uint64(2**64 - 1)).all():
        return None
    return unpack_valid(bits).astype(np.float32)


def _coarse_valid(now: Records, past: Records) -> F32:
    """Coarse sub-cells all of whose fine ones are valid in both passes, float32 (N, 16) of 0 and 1."""
    valid = _common(now, past)
    if valid is None:
        return np.ones((len(now), COARSE * COARSE), dtype=np.float32)
    return np.asarray(valid[:, _BLOCKS].min(axis=2), dtype=np.float32)


def _scatter(spectra: F64, usable: NDArray[np.bool_]) -> F64:
    """Rows of the usable sub-cells back to (n, 16, B), zeros elsewhere."""
    out = np.zeros((*usable.shape, spectra.shape[1]))
    out[usable] = spectra
    return out


def _flat(coarse: F32) -> F32:
    return np.ascontiguousarray(coarse, dtype=np.float32).reshape(-1, COARSE * COARSE)
