"""How two passes over one place usually differ, and what in a cell is not explained by that. Pure arrays.

Learnt from the pre-scan's sample of cells, without labels, and frozen before the first chunk:

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
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from onboard.change.distance import latent_distance
from onboard.change.record import COARSE, FINE, Records, coarse_bands, fine_bands, is_clear, unpack_valid
from onboard.change.rule import ScoreRule
from onboard.change.signed import Medians, Signed, damping
from onboard.change.subcells import (
    BLOCKS,
    INPUT_STEP,
    INPUT_ZERO,
    coarse_spectra,
    coarse_valid,
    common,
    top_root_mean,
)
from onboard.infer.bundle import Tensor
from onboard.sense.normalise import BandStatistics

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

NEGLIGIBLE = 1e-3
"""Weight below which evidence is not even computed."""
MIN_CELLS = 8
"""Passes with fewer common clear cells in the sample are not compared: the statistics would mean nothing."""
MIN_SPREAD = 0.2
MIN_LATENT_SPREAD = 1.0

_SPREAD = np.zeros((COARSE * COARSE, FINE * FINE), dtype=np.float32)
_SPREAD[np.repeat(np.arange(COARSE * COARSE), 4), BLOCKS.reshape(-1)] = 1.0
"""(16, 64) of 0 and 1: a coarse map times this is the same map on fine sub-cells, faster than repeating."""


@dataclass(frozen=True)
class PairModel:
    """What is usual between one past pass and the new one. All arrays float64; see `fit_pair`.

    Attributes:
        forward: (B + 1, F): past bands and a constant -> the new pass's 10 m bands.
        backward: (B + 1, F): the other way.
        past_mean, past_whiten: (B,), (B, B): a past spectrum is unusual by |past_whiten @ (x - past_mean)|^2 / B.
        signed: scene medians that signed evidence is measured against.
        loss_weight, water_weight: 0..1, how much the scene's losses of vegetation exceed its gains, and its gains of
            water its losses, over all of the history (`weigh`).
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


class Evidence(NamedTuple):
    """Signed evidence of the cells of a sample, each float32 (n,): with its mirror image after it."""

    loss: F32
    gain: F32
    wet: F32
    dry: F32


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
        self._signed = Signed.for_bands(bands, now, past)
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
        valid = common(now, past)
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
        return top_root_mean(squares, self._rule.top_fine)

    def loss(self, now: Records, past: Records) -> F32:
        """Loss of vegetation in log units, mean of the greatest sub-cells: float32 (N,); zeros without NIR and SWIR."""
        if self._signed is None:
            return np.zeros(len(now), dtype=np.float32)
        squares = self._signed.loss(self._signed.falls(now, past), self._model.signed)
        whitened = np.matmul(self._whiten, coarse_spectra(past)) + self._whiten_offset
        squares *= damping(np.einsum("nbs,nbs->ns", whitened, whitened), self._rule)
        return top_root_mean(squares * coarse_valid(now, past), self._rule.top_coarse)

    def water(self, now: Records, past: Records) -> F32:
        """Gain of water in log units, mean of the greatest sub-cells: float32 (N,); zeros without green, NIR, SWIR."""
        if self._signed is None or not self._signed.sees_water:
            return np.zeros(len(now), dtype=np.float32)
        squares = self._signed.water(self._signed.falls(now, past), self._model.signed)
        return top_root_mean(squares * coarse_valid(now, past), self._rule.top_water)

    def score(self, now: Records, past: Records, latent_distance: F32) -> F32:
        """Surprise + weighted loss + weighted distance of latents, each in spreads of the scene: float32 (N,)."""
        model, rule = self._model, self._rule
        score = (self.residual(now, past) - np.float32(model.surprise[0])) / np.float32(model.surprise[1])
        weight = rule.loss * model.loss_weight
        if weight > NEGLIGIBLE:
            score += np.float32(weight) * self.loss(now, past)
        weight = rule.water * model.water_weight
        if weight > NEGLIGIBLE:
            score += np.float32(weight) * self.water(now, past)
        if rule.latent:
            standard = (latent_distance - np.float32(model.latent[0])) / np.float32(model.latent[1])
            score += np.float32(rule.latent) * standard
        return np.asarray(score, dtype=np.float32)


def fit_history(
    now: Records,
    statistics_now: Sequence[BandStatistics],
    past: Sequence[tuple[Records, Sequence[BandStatistics]]],
    rule: ScoreRule,
    bands: Sequence[str],
    output: Tensor,
    history: int,
) -> list[PairModel | None]:
    """What is usual between an acquisition and each past pass, with common weights of the signed evidence.

    Args:
        now: records of the sample, (N,), clear or not.
        past: records (N,) of the same cells and the band statistics of each past pass, newest first.
        output: the artefact's output tensor.
        history: k, how many clear past looks count.

    Returns:
        A model for each past pass; None for one with too few cells in common.
    """
    models: list[PairModel | None] = []
    found: list[tuple[NDArray[np.bool_], Evidence]] = []
    for records, statistics in past:
        clear = is_clear(now) & is_clear(records)
        a, b = now[clear], records[clear]
        latents = latent_distance(a["latent"], b["latent"], output, "euclidean") if rule.latent else None
        fitted = fit_pair(a, b, rule, bands, statistics_now, statistics, latents)
        models.append(None if fitted is None else fitted[0])
        if fitted is not None:
            found.append((clear, fitted[1]))
    loss, water = weigh(found, history, rule)
    return [None if one is None else replace(one, loss_weight=loss, water_weight=water) for one in models]


def fit_pair(
    now: Records,
    past: Records,
    rule: ScoreRule,
    bands: Sequence[str],
    statistics_now: Sequence[BandStatistics],
    statistics_past: Sequence[BandStatistics],
    latent_distance: F32 | None,
) -> tuple[PairModel, Evidence] | None:
    """Learn what is usual from the pre-scan's cells that are clear in both passes.

    Args:
        now, past: records (n,) of the same cells.
        latent_distance: float32 (n,), or None where the sample was not encoded.

    Returns:
        The model, its weights still zero, and the signed evidence of the cells; None for fewer than `MIN_CELLS`.
    """
    if len(now) < MIN_CELLS:
        return None
    valid = unpack_valid(now["valid"] & past["valid"])
    rows_now, rows_past = (_fine_spectra(records)[valid] for records in (now, past))  # (rows, B) fine bands first
    f = now["fine"].shape[1]
    forward, backward = _ridge(rows_past, rows_now[:, :f], rule.ridge), _ridge(rows_now, rows_past[:, :f], rule.ridge)
    usable = coarse_valid(now, past).astype(bool)
    spectra_now, spectra_past = (
        ((coarse_spectra(records) - INPUT_ZERO) * INPUT_STEP).transpose(0, 2, 1) for records in (now, past)
    )
    mean, whiten = _whitening(spectra_past[usable], rule.shrink)
    medians, nothing = Medians(), np.zeros(len(now), dtype=np.float32)
    evidence = Evidence(nothing, nothing, nothing, nothing)
    signed = Signed.for_bands(bands, statistics_now, statistics_past)
    if signed is not None:
        falls = signed.falls(now, past)
        medians = signed.medians(falls, usable)
        rare_past = damping(_unusual(spectra_past, (mean, whiten)), rule) * usable
        rare_now = damping(_unusual(spectra_now, _whitening(spectra_now[usable], rule.shrink)), rule) * usable
        loss = top_root_mean(signed.loss(falls, medians) * rare_past, rule.top_coarse)
        gain = top_root_mean(signed.loss(falls, medians, mirrored=True) * rare_now, rule.top_coarse)
        evidence = Evidence(loss, gain, nothing, nothing)
        if signed.sees_water:
            wet = top_root_mean(signed.water(falls, medians) * usable, rule.top_water)
            dry = top_root_mean(signed.water(falls, medians, mirrored=True) * usable, rule.top_water)
            evidence = Evidence(loss, gain, wet, dry)
    model = PairModel(
        forward, backward, mean, whiten, medians, loss_weight=0.0, water_weight=0.0, surprise=(0.0, 1.0),
        latent=(0.0, 1.0),
    )  # fmt: skip
    residual = Comparison(model, rule, bands, statistics_now, statistics_past).residual(now, past)
    latent = (0.0, 1.0) if latent_distance is None else _median_spread(latent_distance, MIN_LATENT_SPREAD)
    return replace(model, surprise=_median_spread(residual, MIN_SPREAD), latent=latent), evidence


def weigh(evidence: Sequence[tuple[NDArray[np.bool_], Evidence]], history: int, rule: ScoreRule) -> tuple[float, float]:
    """Weights of the loss of vegetation and of the gain of water, common to all pairs of an acquisition.

    What is new is there against every past pass; what a season does is not, for some past pass was in the same season.
    So the least evidence over the clear history of each cell counts, as in the score itself, and so does the least of
    its mirror image. A weight of each pair's own would not do: the minimum over history would take the pair that
    happens not to see a disaster.

    Args:
        evidence: of each past pass, newest first: which cells of the sample it is of, bool (N,), and what it is.
        history: k, how many clear past looks count.
    """
    if not evidence:
        return 0.0, 0.0
    clear = np.array([where for where, _ in evidence])
    used = clear & (np.cumsum(clear, axis=0) <= history)
    known = used.sum(axis=0) >= min(2, len(evidence))
    if not known.any():
        known = used.any(axis=0)
    least = []
    for values in zip(*(one for _, one in evidence), strict=True):
        spread = np.full(clear.shape, np.inf, dtype=np.float32)
        for row, where, value in zip(spread, clear, values, strict=True):
            row[where] = value
        spread[~used] = np.inf
        least.append(spread.min(axis=0)[known])
    loss, gain, wet, dry = least
    return (
        _excess(loss, gain, rule.loss_scale, rule.loss_power),
        _excess(wet, dry, rule.water_scale, rule.loss_power),
    )


def _excess(effect: F32, mirrored: F32, scale: float, power: float) -> float:
    """0..1: how far an effect exceeds its mirror image, in mean squares."""
    excess = max(float((effect**2).mean() - (mirrored**2).mean()), 0.0) if effect.size else 0.0
    return float((excess / (excess + scale)) ** power)


def _unusual(spectra: NDArray[np.floating[Any]], model: tuple[F64, F64]) -> F64:
    """Squared Mahalanobis distance over the number of bands: (n, 16, B) -> (n, 16)."""
    mean, whiten = model
    return np.asarray((((spectra - mean) @ whiten.T) ** 2).mean(axis=2))


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


def _fine_spectra(records: Records) -> F64:
    """All bands on fine sub-cells, fine bands first, standardised: float64 (n, 64, B)."""
    n = len(records)
    coarse = records["coarse"].astype(np.float32)
    spread = (_flat(coarse) @ _SPREAD).reshape(n, coarse.shape[1], FINE * FINE)
    both = np.concatenate([records["fine"], spread], axis=1)
    return np.asarray((both.transpose(0, 2, 1) - INPUT_ZERO) * INPUT_STEP, dtype=np.float64)


def _flat(coarse: F32) -> F32:
    return np.ascontiguousarray(coarse, dtype=np.float32).reshape(-1, COARSE * COARSE)
