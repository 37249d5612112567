"""`ground evaluate nrt`: a logged forest over five years; what is found of the logging, and at how many false alarms.

The whole series is flown by the flight loop. Every method scores each clear look at each cell, once at once and once
confirmed by the next clear looks (`expectation`). A cell that lost more than 5 % of its pixels in a logging year is a
loss (`ground.scenes.forest`); an alarm between the last look before a loss and the end of its logging year belongs to
it. An alarm anywhere else is false, but for cells with 1 to 5 % lost, which are neither.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ground.evaluation.expectation import (
    HORIZON,
    RECENT,
    Forecaster,
    Series,
    confirmed,
    harmonic,
    least_of_recent,
    residual_scores,
)
from ground.evaluation.forest_metrics import THRESHOLDS, Find, find_alarms, judge, kinds_of
from ground.scenes.forest import (
    LOST_SHARE,
    Loss,
    find_series,
    lasting_losses,
)
from ground.scenes.history import History, Judge, fly_history
from onboard.change.rule import ScoreRule
from onboard.config import DetectConfig
from onboard.infer.bundle import load_bundle
from onboard.infer.runtime import load_encoder
from onboard.sense.acquisition import Acquisition
from onboard.sense.grid import CELL, Window
from onboard.sense.stream import Stream, open_stream
from onboard.sense.tiles import valid_pixels

F32 = NDArray[np.float32]

INDICES = {"ndvi_drop": ("B08", "B04"), "ndmi_drop": ("B8A", "B11")}


@dataclass(frozen=True)
class ForestEvaluation:
    """Everything the table, the JSON and the figure are made of; `scores` holds float32 (T, N) by method."""

    stream: Stream
    history: History
    losses: list[Loss]
    years: NDArray[np.int64]
    kinds: NDArray[np.int64]
    scores: dict[str, F32]
    metrics: dict[str, dict[str, float]]

    def finds(self, method: str) -> list[Find]:
        """What a method with a declared threshold found, by date."""
        return find_alarms(
            self.scores[method], THRESHOLDS[method.removesuffix("_confirmed")], self.history.times, self.kinds
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values; rates are 0..1."""
        times, cols = self.history.times, self.history.cols
        return {
            "metrics": self.metrics,
            "dates": len(times) + self.history.refused,
            "dates_without_a_clear_pixel": self.history.refused,
            "cells": self.kinds.shape[1],
            "cells_looked_at": int(self.history.clear.sum()),
            "losses": [
                {"row": loss.cell // cols, "col": loss.cell % cols, "year": loss.year, "share": round(loss.share, 4),
                 "after": loss.after.date().isoformat(), "until": loss.until.date().isoformat()}
                for loss in self.losses if loss.share > LOST_SHARE
            ],
            "finds": {
                method: [
                    {"row": f.cell // cols, "col": f.cell % cols, "date": times[f.first].date().isoformat(),
                     "score": round(f.score, 3), "reference": ("spared", "small", "lost")[f.kind]}
                    for f in self.finds(method)
                ]
                for method in self.scores if method.removesuffix("_confirmed") in THRESHOLDS
            },
        }  # fmt: skip


def evaluate_nrt(
    cube: Path | None = None,
    bundle: str = "rgbn",
    runtime: str = "onnx",
    precision: str = "int8",
    forecasters: Mapping[str, Forecaster] | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> ForestEvaluation:
    """Fly the series and judge every method by the reference.

    Args:
        cube: a series with the bands of the bundle and B8A, B11; default: that of the package `nrt`.
        forecasters: compared besides the plain ones, by name.
        progress: called with each method's name.

    Raises:
        InputError: no series, one that is too short, or without the bands of the reference.
        BundleError: the bundle cannot be used.
    """
    stream = open_stream(str(cube or find_series()))
    model = load_bundle(bundle)
    encoder = load_encoder(model, runtime, precision)
    config = DetectConfig(bundle=model.name, runtime=runtime, precision=precision)
    progress("reference")
    losses, years = lasting_losses(stream.acquisitions)
    progress("flight")
    history = fly_history(stream, model, encoder, config)
    rule = ScoreRule.from_dict(model.score)
    raw: dict[str, F32] = {}
    for name, one in (("ours", rule), ("cosine", replace(rule, rule="cosine"))):
        progress(name)
        raw[name] = later_scores(history, Judge(history, model, encoder, one, config))
    for name, bands in INDICES.items():
        progress(name)
        raw[name] = index_drops(stream.acquisitions, history, bands)
    series = Series.of(history)
    for name, forecaster in {**plain_forecasters(), **(forecasters or {})}.items():
        progress(name)
        raw[name] = residual_scores(series, forecaster)
    scores = {name: value[0] for name, value in raw.items()}
    scores |= {f"{name}_confirmed": confirmed(value) for name, value in raw.items()}
    kinds = kinds_of(losses, history.times, history.rows * history.cols)
    metrics = {name: judge(name, score, losses, kinds, history.times) for name, score in scores.items()}
    return ForestEvaluation(stream, history, losses, years, kinds, scores, metrics)


def plain_forecasters() -> dict[str, Forecaster]:
    """What a learnt forecaster has to beat."""
    return {
        "least_of_recent": least_of_recent,
        "harmonic_all": harmonic,
        "harmonic_16": lambda series, first: harmonic(series, first, looks=16),
    }


def later_scores(history: History, judge: Judge) -> F32:
    """Scores of each look and those after it against the flight loop's past of the first, (HORIZON, T, N)."""
    count = len(history.times)
    scores = np.full((HORIZON, *history.score.shape), np.nan, dtype=np.float32)
    for first in range(1, count):
        past = judge.past_of(first)
        for ahead in range(min(HORIZON, count - first)):
            scores[ahead, first] = judge.score(first + ahead, past)
    return scores


def index_drops(acquisitions: Sequence[Acquisition], history: History, bands: tuple[str, str]) -> F32:
    """Fall of a cell's mean normalised difference, least over its last clear looks, (HORIZON, T, N)."""
    by_time = {one.sensing_time: one for one in acquisitions}
    values = np.stack([_index(by_time[time], bands) for time in history.times])
    values[~history.clear] = np.nan
    count, cells = values.shape
    scores = np.full((HORIZON, count, cells), np.nan, dtype=np.float32)
    for cell in range(cells):
        clear = np.flatnonzero(np.isfinite(values[:, cell]))
        for first in range(1, count):
            past = clear[clear < first][-RECENT:]
            if len(past):
                end = min(first + HORIZON, count)
                scores[: end - first, first, cell] = values[past, cell].min() - values[first:end, cell]
    return scores


def _index(acquisition: Acquisition, bands: tuple[str, str]) -> F32:
    rows, cols = acquisition.grid.rows, acquisition.grid.cols
    dn = np.empty((2, rows * CELL, cols * CELL), dtype=np.uint16)
    with acquisition.open(bands) as reader:
        valid = valid_pixels(dn, reader.read(Window(0, 0, rows * CELL, cols * CELL), dn))
    a, b = (np.maximum(dn[i] + np.float32(acquisition.band(bands[i]).offset), 0) for i in (0, 1))
    shape = (rows, CELL, cols, CELL)
    index = np.where(valid, (a - b) / np.maximum(a + b, 1), 0).reshape(shape).sum(axis=(1, 3))
    return np.asarray(index / np.maximum(valid.reshape(shape).sum(axis=(1, 3)), 1), dtype=np.float32).reshape(-1)
