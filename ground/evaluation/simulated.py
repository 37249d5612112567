"""`ground evaluate sim`: average precision per disaster and false alarms on quiet passes, beside the plain recipe.

A tile is positive when more than 5 % of its unhidden pixels changed. As the published scenes have few clouds, average
precision leaves out cells with more than 2 % of true cloud or shadow in the newest pass; `tile_ap_cloudy` keeps them.
The false-alarm rate is the share of *all* cells of quiet passes (cloudy, hazy, of another season, misregistered) that
score above the threshold which finds 90 % of the changed cells of the disasters.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from ground.evaluation.change import fly_stream
from ground.evaluation.metrics import rank_unknown_last
from ground.evaluation.plain import PUBLISHED, PlainRavaen, score_plain
from onboard.change.rule import ScoreRule
from onboard.config import DetectConfig
from onboard.infer.bundle import Bundle, load_bundle
from onboard.infer.runtime import Encoder, load_encoder
from onboard.report.metrics import average_precision
from onboard.sense.acquisition import Acquisition
from onboard.sense.grid import CELL, Window
from onboard.sense.simulated import SimulatedReader
from onboard.sense.stream import open_stream

CLOUDY = 0.02
CHANGED = 0.05
RECALL = 0.9
QUIET = "none"


@dataclass(frozen=True)
class Scored:
    """The newest pass of one stream: flattened over its cells.

    Attributes:
        score: higher = more change, by method; unknown cells below all known ones.
        changed: share of truly changed unhidden pixels.
        hidden: share of pixels under true cloud or shadow.
    """

    score: dict[str, NDArray[np.float64]]
    changed: NDArray[np.float64]
    hidden: NDArray[np.float64]

    @property
    def positive(self) -> NDArray[np.bool_]:
        """Cells that truly changed."""
        return self.changed > CHANGED

    @property
    def clear(self) -> NDArray[np.bool_]:
        """Cells that are hardly hidden."""
        return self.hidden <= CLOUDY


def evaluate_simulated(
    seeds: Sequence[int],
    bundle: str = "s2-10",
    runtime: str = "onnx",
    precision: str = "int8",
    plain: PlainRavaen | None = None,
    progress: Callable[[str], None] = lambda _: None,
    snr: float = 0.0,
    denoiser: str | None = None,
) -> dict[str, Any]:
    """Metrics by method: `<disaster>_ap`, `tile_ap` (their mean), `tile_ap_cloudy`, `false_alarms_at_90pct_recall`."""
    model = load_bundle(bundle)
    encoder = load_encoder(model, runtime, precision)
    config = DetectConfig(bundle=model.name, runtime=runtime, precision=precision, budget_bytes=0, pictures=0)
    if denoiser:
        config = replace(config, denoiser=denoiser, denoiser_snr=snr or None)
    noisy = f"&snr={snr:g}" if snr else ""
    found: dict[str, list[Scored]] = {}
    for kind in (*PUBLISHED, QUIET):
        for seed in seeds:
            progress(f"{kind} {seed}")
            found.setdefault(kind, []).append(
                score_stream(f"sim:{seed}?disaster={kind}{noisy}", config, model, encoder, plain)
            )
    methods = list(found[QUIET][0].score)
    rule = ScoreRule.from_dict(model.score)
    return {
        "calibration": fit_calibration([one for kind in found.values() for one in kind], rule),
        "metrics": {method: _metrics(method, found) for method in methods},
        "published": PUBLISHED,
        "seeds": list(seeds),
        "bundle": model.name,
        "runtime": f"{runtime}-{precision}",
        "snr": snr or None,
        "denoiser": denoiser,
    }


def score_stream(spec: str, config: DetectConfig, model: Bundle, encoder: Encoder, plain: PlainRavaen | None) -> Scored:
    """Score the newest pass of a simulated stream by the flight path (and by the plain recipe, where given)."""
    stream = open_stream(spec)
    with tempfile.TemporaryDirectory() as folder:
        outcome = fly_stream([stream], config, model, encoder, Path(folder))
    last = outcome.passes[-1]
    assert last.truth is not None
    hidden = [hidden_share(acquisition) for acquisition in stream.acquisitions]
    visible = np.maximum(1 - hidden[-1], 1 / CELL**2)
    scores = {"ours": rank_unknown_last(last.score)}
    if plain is not None:
        clear = [share <= CLOUDY for share in hidden]
        scores["plain_ravaen"] = rank_unknown_last(score_plain(plain, list(stream.acquisitions), clear))
    return Scored(scores, np.minimum(last.truth.reshape(-1) / visible, 1.0), hidden[-1])


def hidden_share(acquisition: Acquisition) -> NDArray[np.float64]:
    """Share of each cell under true cloud or shadow, float64 (cells,)."""
    rows, cols = acquisition.grid.rows, acquisition.grid.cols
    with acquisition.open(("B02",)) as reader:
        assert isinstance(reader, SimulatedReader)
        mask = reader.cloud_truth(Window(0, 0, rows * CELL, cols * CELL))
    return np.asarray(mask.reshape(rows, CELL, cols, CELL).mean(axis=(1, 3)), dtype=np.float64).reshape(-1)


def fit_calibration(scored: Sequence[Scored], rule: ScoreRule) -> list[float]:
    """(a, b) of `ScoreRule.calibration` by logistic regression on the score, weighted to the rule's prior."""
    probability = np.concatenate([one.score["ours"] for one in scored])
    positive = np.concatenate([one.positive for one in scored])
    known = (probability > 0) & (probability < 1)
    probability, positive = probability[known], positive[known]
    prior = np.log(rule.prior / (1 - rule.prior))
    a, b = rule.calibration
    score = (np.log(probability / (1 - probability)) - prior - a) / b
    weight = np.where(positive, rule.prior / positive.mean(), (1 - rule.prior) / (1 - positive.mean()))
    fitted = LogisticRegression(C=1e6).fit(score[:, None], positive, sample_weight=weight)
    return [round(float(fitted.intercept_[0] - prior), 3), round(float(fitted.coef_[0, 0]), 3)]


def _metrics(method: str, found: dict[str, list[Scored]]) -> dict[str, float]:
    result: dict[str, float] = {}
    cloudy, thresholds = [], []
    for kind in PUBLISHED:
        each = [_ap(one, method, one.clear) for one in found[kind]]
        result[f"{kind}_ap"] = float(np.nanmean(each))
        cloudy.append(float(np.nanmean([_ap(one, method, np.ones_like(one.clear)) for one in found[kind]])))
        scores = np.concatenate([one.score[method][one.positive & one.clear] for one in found[kind]])
        thresholds.append(scores)
    result["tile_ap"] = float(np.mean([result[f"{kind}_ap"] for kind in PUBLISHED]))
    result["tile_ap_cloudy"] = float(np.mean(cloudy))
    threshold = float(np.quantile(np.concatenate(thresholds), 1 - RECALL))
    alarms = [(one.score[method] > threshold, one.clear) for one in found[QUIET]]
    result["false_alarms_at_90pct_recall"] = float(np.mean(np.concatenate([a for a, _ in alarms])))
    result["false_alarms_at_90pct_recall_clear"] = float(np.mean(np.concatenate([a[c] for a, c in alarms])))
    return result


def _ap(one: Scored, method: str, use: NDArray[np.bool_]) -> float:
    positive = one.positive[use]
    return float(average_precision(positive, one.score[method][use])) if positive.any() else float("nan")
