"""Learns how passes over one place usually differ, without labels, from the pre-scan's sample of cells. Pure arrays.

`fit_history` is what the pre-scan calls: a model for each past pass (`pair.PairModel`), and the weights of signed
evidence and of events, which all of them share.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from onboard.abreast import side_by_side
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
BLOCK_CELLS = 64


def fit_history(
    now: Records,
    statistics_now: Sequence[BandStatistics],
    past: Iterable[tuple[Records, Sequence[BandStatistics]]],
    rule: ScoreRule,
    bands: Sequence[str],
    output: Tensor,
    history: int,
    event: EventHead | None = None,
    threads: int = 1,
) -> list[PairModel | None]:
    """What is usual between an acquisition and each past pass, with common weights of the signed evidence.

    Args:
        now: records of the sample, (N,), clear or not.
        past: records (N,) of the same cells and the band statistics of each past pass, newest first.
        output: the artefact's output tensor.
        history: k, how many clear past looks count.
        event: the bundle's head for the log odds of an event, if it has one.
        threads: past passes that are learnt from side by side; each is taken from `past` when its turn comes.

    Returns:
        A model for each past pass; None for one with too few cells in common.
    """

    def fitted(
        _: int,
        one: tuple[Records, Sequence[BandStatistics]],
    ) -> tuple[PairModel, tuple[NDArray[np.bool_], Evidence]] | None:
        records, statistics = one
        clear = is_clear(now) & is_clear(records)
        a, b = now[clear], records[clear]
        latents = latent_distance(a["latent"], b["latent"], output, "euclidean") if rule.latent else None
        found = fit_pair(a, b, rule, bands, statistics_now, statistics, latents, event)
        return None if found is None else (found[0], (clear, found[1]))

    fits = list(side_by_side(fitted, past, range(threads)))
    models = [None if fit is None else fit[0] for fit in fits]
    weights = weigh([fit[1] for fit in fits if fit is not None], history, rule)
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
    (forward, left_now), (backward, left_past) = _predictions(a, b, valid, rule.ridge)
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
        evidence = evidence._replace(event=there.log_odds(pair))
        del pair, a, b
        evidence = evidence._replace(undone=back.log_odds(Pair(past).against(now)))
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
    bands = len(seen.coarse)
    cells = [slice(start, start + BLOCK_CELLS) for start in range(0, len(usable), BLOCK_CELLS)]
    moments = np.zeros((bands + 1, bands + 1))
    for some in cells:
        spectra = np.concatenate([seen.coarse[:, some][:, usable[some]], np.ones((1, int(usable[some].sum())))])
        moments += np.dot(spectra, spectra.T)  # quarters of whole numbers, exact
    mean, covariance = _standardised(moments)
    inverse = np.linalg.inv(covariance + rule.shrink * np.eye(bands))
    whiten = np.linalg.cholesky(inverse).T  # |W (x - mean)|^2 is the squared Mahalanobis distance
    unusual: F64 = np.empty(usable.shape)
    for some in cells:
        spectra = seen.coarse[:, some].reshape(bands, -1).astype(np.float64)
        off = np.dot(whiten, INPUT_STEP * (spectra - INPUT_ZERO) - mean[:, None])
        unusual[some] = (off**2).mean(axis=0).reshape(-1, unusual.shape[1])
    return (mean, whiten), damping(unusual, rule)


def _standardised(moments: F64) -> tuple[F64, F64]:
    """(mean, covariance) of standardised log reflectance, from the moments of the network's input with 1 behind it."""
    count = max(float(moments[-1, -1]), 1.0)
    mean = moments[-1, :-1] / count
    covariance = INPUT_STEP**2 * (moments[:-1, :-1] / count - np.outer(mean, mean))
    return INPUT_STEP * (mean - INPUT_ZERO), covariance


def _predictions(a: Seen, b: Seen, valid: NDArray[np.bool_], ridge: float) -> tuple[tuple[F64, F64], tuple[F64, F64]]:
    """Linear maps from all bands of one look to the 10 m ones of the other, a from b and then b from a.

    Everything is found from one matrix of moments of the records' whole numbers, which are summed without rounding.

    Args:
        valid: bool (4, N, 16), sub-cells that are seen in both.

    Returns:
        For each the map with the constant in its last row, (B + 1, F), and the median size of what it leaves, as a
        standard deviation, (F,).
    """
    fine, bands, count = len(a.fine), len(a.fine) + len(a.others), int(valid.sum())
    moments = np.zeros((2 * bands + 1, 2 * bands + 1))
    for both in _blocks(a, b, valid):
        moments += np.dot(both, both.T)  # other passes are learnt from meanwhile: `@` keeps the interpreter's lock
    mean, covariance = _standardised(moments)
    maps, rows = [], []
    for source, target in ((np.s_[bands:], np.s_[:fine]), (np.s_[:bands], np.s_[bands : bands + fine])):
        usual = covariance[source, source][:bands, :bands] + ridge * np.eye(bands)
        slope = np.linalg.solve(usual, covariance[source, target][:bands])
        constant = mean[target] - mean[source][:bands] @ slope
        maps.append(np.vstack([slope, constant]))
        row = np.zeros((fine, 2 * bands + 1))  # of what is left, on whole numbers
        row[:, source][:, :bands] = -INPUT_STEP * slope.T
        row[:, target] = INPUT_STEP * np.eye(fine)
        row[:, -1] = -constant - INPUT_ZERO * row[:, :-1].sum(axis=1)
        rows.append(row)
    weights, left, spreads = np.concatenate(rows), np.empty((fine, count), np.float32), []
    for half in (np.s_[:fine], np.s_[fine:]):  # one after the other: what is left of both would be the most held
        end = 0
        for both in _blocks(a, b, valid):
            start, end = end, end + both.shape[1]
            left[:, start:end] = np.abs(np.dot(weights, both)[half])
        spreads.append(1.4826 * medians_of_rows(left).astype(np.float64))
    return (maps[0], spreads[0]), (maps[1], spreads[1])


def _blocks(a: Seen, b: Seen, valid: NDArray[np.bool_]) -> Iterator[F64]:
    """Whole numbers of both looks and 1, float64 (2 B + 1, sub-cells) of the valid ones, some cells at a time: all of a
    sample's would be the most that a run ever holds."""
    for start in range(0, len(a.records), BLOCK_CELLS):
        cells = slice(start, start + BLOCK_CELLS)
        shown = valid[:, cells]
        both = np.concatenate([a.spectra(cells), b.spectra(cells), np.ones((1, *shown.shape), np.float32)])
        yield (both.reshape(len(both), -1) if shown.all() else both[:, shown]).astype(np.float64)


def medians_of_rows(values: F32) -> F32:
    """Of each row, float32 (R,), as `np.median` but in half the time; the rows are left in another order."""
    middle, odd = divmod(values.shape[1], 2)
    if not values.size:
        return np.full(len(values), np.nan, np.float32)
    values.partition(middle, axis=1)
    upper = values[:, middle]
    return upper if odd else np.asarray((values[:, :middle].max(axis=1) + upper) / 2, dtype=np.float32)


def _median_spread(values: F32, smallest: float) -> tuple[float, float]:
    """Median, and 1.4826 x median absolute deviation: the standard deviation of a normal bulk."""
    median = float(np.median(values))
    return median, max(float(1.4826 * np.median(np.abs(values - median))), smallest)
