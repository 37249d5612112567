"""`ground evaluate seasons`: expectations on simulated seasons, with and without a disaster in the last pass.

Each stream has a history of `PASSES` - 1 passes over several years, in which nothing but seasons, weather, clouds and
radiometry change. As in `ground evaluate sim`, cells with more than 2 % of true cloud or shadow are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ground.evaluation.expectation import Forecaster, Series, residual_scores
from ground.evaluation.nrt import plain_forecasters
from ground.evaluation.simulated import CHANGED, CLOUDY, QUIET, RECALL, hidden_share
from ground.scenes.history import History, fly_history
from onboard.config import DetectConfig
from onboard.infer.bundle import load_bundle
from onboard.infer.runtime import load_encoder
from onboard.report.metrics import average_precision
from onboard.sense.simulator.spec import DISASTERS
from onboard.sense.stream import open_stream

PASSES = 24
SIZE = 256


class Judged(NamedTuple):
    """Clear cells of one last pass: scores, unknown ones below all others, and which truly changed, (n,)."""

    score: NDArray[np.float32]
    changed: NDArray[np.bool_]


def quiet_series(seeds: Iterable[int], bundle: str = "rgbn") -> list[Series]:
    """Histories in which nothing happens, to train on."""
    return [Series.of(_fly(QUIET, seed, bundle)[0]) for seed in seeds]


def evaluate_seasons(
    seeds: Sequence[int],
    bundle: str = "rgbn",
    forecasters: Mapping[str, Forecaster] | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Metrics by method: `<disaster>_ap`, `cell_ap` (their mean), `false_alarms_at_90pct_recall` on quiet last passes.

    Args:
        seeds: of the simulated streams; one of each kind.
        bundle: whose records are remembered.
        forecasters: compared besides the plain ones, by name.
        progress: called with each stream's name.
    """
    compared = {**plain_forecasters(), **(forecasters or {})}
    found: dict[str, dict[str, list[Judged]]] = {}
    for kind in (QUIET, *DISASTERS):
        for seed in seeds:
            progress(f"{kind} {seed}")
            history, hidden = _fly(kind, seed, bundle)
            series, last = Series.of(history), len(history.times) - 1
            assert history.truth is not None
            clear = hidden <= CLOUDY
            changed = history.truth / np.maximum(1 - hidden, 1e-3) > CHANGED
            scores = {
                name: residual_scores(series, one, range(last, last + 1))[0, last] for name, one in compared.items()
            }
            for name, score in {"ours": history.score[last], **scores}.items():
                one = Judged(np.nan_to_num(score, nan=-1.0)[clear], changed[clear])
                found.setdefault(name, {}).setdefault(kind, []).append(one)
    return {"metrics": {name: figures(kinds) for name, kinds in found.items()}, "seeds": list(seeds), "bundle": bundle}


def figures(kinds: Mapping[str, Sequence[Judged]]) -> dict[str, float]:
    """Figures of one method from its judged passes by kind of disaster."""
    result: dict[str, float] = {}
    for kind in DISASTERS:
        each = [average_precision(one.changed, one.score) for one in kinds[kind] if one.changed.any()]
        result[f"{kind}_ap"] = float(np.mean(each)) if each else float("nan")
    result["cell_ap"] = float(np.nanmean([result[f"{kind}_ap"] for kind in DISASTERS]))
    positive = np.concatenate([one.score[one.changed] for kind in DISASTERS for one in kinds[kind]])
    quiet = np.concatenate([one.score for one in kinds[QUIET]])
    if len(positive) and len(quiet):
        result["false_alarms_at_90pct_recall"] = float((quiet >= np.quantile(positive, 1 - RECALL)).mean())
        result["false_alarms_at_50pct_recall"] = float((quiet >= np.median(positive)).mean())
    return result


def _fly(kind: str, seed: int, bundle: str) -> tuple[History, NDArray[np.float64]]:
    model = load_bundle(bundle)
    stream = open_stream(f"sim:{seed}?disaster={kind}&passes={PASSES}&size={SIZE}")
    history = fly_history(stream, model, load_encoder(model, "onnx", "int8"), DetectConfig(bundle=model.name))
    return history, hidden_share(stream.acquisitions[-1])
