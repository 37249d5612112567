"""Learns how passes over one place usually differ, without labels, from the pre-scan's sample of cells. Pure arrays.

`fit_history` is what the pre-scan calls: a model for each past pass (`pair.PairModel`), and the weights of signed
evidence and of events, which all of them share.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from onboard.change.distance import latent_distance
from onboard.change.event import EventHead, EventTest
from onboard.change.pair import Comparison, PairModel
from onboard.change.record import Records, is_clear
from onboard.change.rule import ScoreRule
from onboard.change.seen import Pair, Seen
from onboard.change.signed import Medians, Signed, damping
from onboard.change.subcells import INPUT_STEP, INPUT_ZERO
from onboard.change.weigh import Evidence, weigh
from onboard.infer.bundle import Tensor
from onboard.sense.normalise import BandStatistics

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

MIN_CELLS = 8
"""Passes with fewer common clear cells in the sample are not compared: the statistics would mean nothing."""
MIN_SPREAD = 0.2
MIN_LATENT_SPREAD = 1.0
MIN_RESIDUAL = 1e-3
BLOCK_CELLS = 256


def fit_history(
    now: Records,
    statistics_now: Sequence[BandStatistics],
    past: Iterable[tuple[Records, Sequence[BandStatistics]]],
    rule: ScoreRule,
    bands: Sequence[str],
    output: Tensor,
    history: int,
    event: EventHead | None = None,
) -> list[PairModel | None]:
    """What is usual between an acquisition and each past pass, with common weights of the signed evidence.

    Args:
        now: records of the sample, (N,), clear or not.
        past: records (N,) of the same cells and the band statistics of each past pass, newest first.
        output: the artefact's output tensor.
        history: k, how many clear past looks count.
        event: the bundle's head for the log odds of an event, if it has one.

    Returns:
        A model for each past pass; None for one with too few cells in common.
    """
    models: list[PairModel | None] = []
    found: list[tuple[NDArray[np.bool_], Evidence]] = []
    for records, statistics in past:
        clear = is_clear(now) & is_clear(records)
        a, b = now[clear], records[clear]
        latents = latent_distance(a["latent"], b["latent"], output, "euclidean") if rule.latent else None
        fitted = fit_pair(a, b, rule, bands, statistics_now, statistics, latents, event)
        models.append(None if fitted is None else fitted[0])
        if fitted is not None:
            found.append((clear, fitted[1]))
    weights = weigh(found, history, rule)
    return [
        None
        if one is None
        else replace(
            one,
            loss_weight=weights.loss,
            water_weight=weights.water,
            event_weight=weights.event,
            event_above=weights.event_above,
        )
        for one in models
    ]


def fit_pair(
    now: Records,
    past: Records,
    rule: ScoreRule,
    bands: Sequence[str],
    statistics_now: Sequence[BandStatistics],
    statistics_past: Sequence[BandStatistics],
    latent_distance: F32 | None,
    event: EventHead | None = None,
) -> tuple[PairModel, Evidence] | None:
    """Learn what is usual from the pre-scan's cells that are clear in both passes.

    Args:
        now, past: records (n,) of the same cells.
        latent_distance: float32 (n,), or None where the sample was not encoded.
        event: the bundle's head for the log odds of an event, if it has one.

    Returns:
        The model, its weights still zero, and the directed evidence of the cells; None for fewer than `MIN_CELLS`.
    """
    if len(now) < MIN_CELLS:
        return None
    pair = Pair(now).against(past)
    a, b = pair.now, pair.past
    valid = np.ones(a.fine.shape[1:], bool) if pair.hidden is None else ~pair.hidden
    (forward, left_now), (backward, left_past) = (_prediction(*two, valid, rule.ridge) for two in ((b, a), (a, b)))
    residual_spread = np.concatenate([left_now, left_past]) + MIN_RESIDUAL
    signed = Signed.for_bands(bands, statistics_now, statistics_past)
    (mean, whiten), medians, evidence = _directed(pair, np.asarray(valid.all(axis=0)), signed, rule)
    model = PairModel(
        forward, backward, mean, whiten, medians, loss_weight=0.0, water_weight=0.0, event_weight=0.0,
        event_above=0.0, residual_spread=residual_spread, surprise=(0.0, 1.0), latent=(0.0, 1.0),
    )  # fmt: skip
    residual = Comparison(model, rule, bands, statistics_now, statistics_past).residual(pair)
    if event is not None:
        there = EventTest(event, bands, statistics_now, statistics_past, model.residual_map)
        back = EventTest(event, bands, statistics_past, statistics_now, model.mirrored_map)
        evidence = evidence._replace(event=there.log_odds(pair.rows))
        del pair, a, b
        evidence = evidence._replace(undone=back.log_odds(Pair(past).against(now).rows))
    latent = (0.0, 1.0) if latent_distance is None else _median_spread(latent_distance, MIN_LATENT_SPREAD)
    return replace(model, surprise=_median_spread(residual, MIN_SPREAD), latent=latent), evidence


def _directed(
    pair: Pair, usable: NDArray[np.bool_], signed: Signed | None, rule: ScoreRule
) -> tuple[tuple[F64, F64], Medians, Evidence]:
    """What is usual of the past look's coarse spectra (mean, whitening), medians of falls, and signed evidence.

    Args:
        usable: bool (N, 16), coarse sub-cells that are seen in both.
        signed: of the two looks, where their bands tell it.
    """
    nothing = np.zeros(usable.shape, dtype=np.float32)
    evidence = Evidence(*[nothing] * len(Evidence._fields))
    usual, rare_past = _usual_spectra(pair.past, usable, rule)
    if signed is None:
        return usual, Medians(), evidence
    _, rare_now = _usual_spectra(pair.now, usable, rule)
    falls = signed.falls(pair)
    medians = signed.medians(falls, usable)
    loss, gain = signed.loss(falls, medians) * rare_past, signed.loss(falls, medians, mirrored=True) * rare_now
    for one in (loss, gain):
        one[~usable] = np.inf
    evidence = evidence._replace(loss=loss, gain=gain)
    if signed.sees_water:
        wet, dry = signed.water(falls, medians), signed.water(falls, medians, mirrored=True)
        for one in (wet, dry):
            one[~usable] = np.inf
        evidence = evidence._replace(wet=wet, dry=dry)
    return usual, medians, evidence


def _usual_spectra(seen: Seen, usable: NDArray[np.bool_], rule: ScoreRule) -> tuple[tuple[F64, F64], F32]:
    """(mean, whitening) of a look's coarse spectra, and the damping of rare ones, (N, 16)."""
    spectra = _standardised(seen.coarse).transpose(1, 2, 0)
    mean, whiten = _whitening(spectra[usable], rule.shrink)
    unusual = (((spectra - mean) @ whiten.T) ** 2).mean(axis=2)  # squared Mahalanobis distance over the bands
    return (mean, whiten), damping(unusual, rule)


def _rows(seen: Seen, valid: NDArray[np.bool_], cells: slice) -> F64:
    """Standardised spectra of the valid fine sub-cells of some cells, float64 (rows, B); see `Seen.spectra`."""
    spectra, shown = seen.spectra(cells), valid[:, cells]
    return _standardised(spectra.reshape(len(spectra), -1) if shown.all() else spectra[:, shown]).T


def _blocks(source: Seen, target: Seen, valid: NDArray[np.bool_]) -> Iterator[tuple[F64, F64]]:
    """`_rows` of both, some cells at a time: those of a whole sample would be the most that a run ever holds."""
    for start in range(0, len(source.records), BLOCK_CELLS):
        cells = slice(start, start + BLOCK_CELLS)
        yield _rows(source, valid, cells), _rows(target, valid, cells)


def _prediction(source: Seen, target: Seen, valid: NDArray[np.bool_], ridge: float) -> tuple[F64, F64]:
    """Linear map from all bands of one look to the 10 m ones of the other, with the constant in its last row.

    Args:
        valid: bool (4, N, 16), sub-cells that are seen in both.

    Returns:
        The map, (B + 1, F), and the median size of what it leaves, as a standard deviation: (F,).
    """
    fine, count = len(target.fine), int(valid.sum())
    sums = [(rows.sum(axis=0), wanted.sum(axis=0)) for rows, wanted in _blocks(source, target, valid)]
    mean, target_mean = (np.sum(one, axis=0) / count for one in zip(*sums, strict=True))
    gram, cross = np.zeros((len(mean), len(mean))), np.zeros((len(mean), fine))
    for rows, wanted in _blocks(source, target, valid):
        rows -= mean
        gram += rows.T @ rows
        cross += rows.T @ (wanted[:, :fine] - target_mean[:fine])
    slope = np.linalg.solve(gram / count + ridge * np.eye(len(mean)), cross / count)
    constant = target_mean[:fine] - mean @ slope
    left, end = np.empty((count, fine)), 0
    for rows, wanted in _blocks(source, target, valid):
        start, end = end, end + len(rows)
        left[start:end] = np.abs(wanted[:, :fine] - rows @ slope - constant)
    return np.vstack([slope, constant]), 1.4826 * np.median(left, axis=0, overwrite_input=True)


def _whitening(spectra: F64, shrink: float) -> tuple[F64, F64]:
    """(mean, W) with |W (x - mean)|^2 the squared Mahalanobis distance."""
    covariance = np.cov(spectra.T, bias=True).reshape(spectra.shape[1], -1) + shrink * np.eye(spectra.shape[1])
    return spectra.mean(axis=0), np.linalg.cholesky(np.linalg.inv(covariance)).T


def _median_spread(values: F32, smallest: float) -> tuple[float, float]:
    """Median, and 1.4826 x median absolute deviation: the standard deviation of a normal bulk."""
    median = float(np.median(values))
    return median, max(float(1.4826 * np.median(np.abs(values - median))), smallest)


def _standardised(inputs: F32) -> F64:
    """Network input in steps, 0..255, as standardised log reflectance."""
    return np.asarray((inputs - INPUT_ZERO) * INPUT_STEP, dtype=np.float64)
