"""Learns how passes over one place usually differ, without labels, from the pre-scan's sample of cells. Pure arrays.

`fit_history` is what the pre-scan calls: a model for each past pass (`pair.PairModel`), and the weights of signed
evidence and of events, which all of them share.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from onboard.abreast import side_by_side
from onboard.change.distance import latent_distance
from onboard.change.event import EventHead, EventTest
from onboard.change.pair import Comparison, PairModel
from onboard.change.predict import BLOCK_CELLS, predictions, standardised
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
    (forward, left_now), (backward, left_past) = predictions(a, b, valid, rule.ridge)
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
        part, shown = seen.coarse[:, some], usable[some]
        spectra = part.reshape(bands, -1) if shown.all() else part[:, shown]
        spectra = np.concatenate([spectra, np.ones((1, spectra.shape[1]))])
        moments += np.dot(spectra, spectra.T)  # quarters of whole numbers, exact
    mean, covariance = standardised(moments)
    inverse = np.linalg.inv(covariance + rule.shrink * np.eye(bands))
    whiten = np.linalg.cholesky(inverse).T  # |W (x - mean)|^2 is the squared Mahalanobis distance
    unusual: F64 = np.empty(usable.shape)
    for some in cells:
        spectra = seen.coarse[:, some].reshape(bands, -1).astype(np.float64)
        off = np.dot(whiten, INPUT_STEP * (spectra - INPUT_ZERO) - mean[:, None])
        unusual[some] = (off**2).mean(axis=0).reshape(-1, unusual.shape[1])
    return (mean, whiten), damping(unusual, rule)


def _median_spread(values: F32, smallest: float) -> tuple[float, float]:
    """Median, and 1.4826 x median absolute deviation: the standard deviation of a normal bulk."""
    median = float(np.median(values))
    return median, max(float(1.4826 * np.median(np.abs(values - median))), smallest)
