"""`ground train event`: the head that tells events from seasons and weather, trained on simulated disasters.

Every stream is flown by the flight software, so that the head sees what flies: records of registered looks, with the
clouds that the cloud head missed. Changed sub-cells of the simulator's floods, fires, landslides and storms are the
positives; everything else is negative: seasons, haze, undetected cloud and shadow, and real pairs without a disaster,
taken in both orders. No label of a real scene is read. Reflectances, scene medians and the changed ground's own
spectrum are varied at random in training, for the simulator's spectra are few.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ground.scenes.history import History, fly_history
from onboard.change.event import EventHead
from onboard.change.record import COARSE, FINE, FINE_PX, coarse_bands, fine_bands, present, unpack_valid
from onboard.change.rule import ScoreRule
from onboard.change.subcells import INPUT_STEP, INPUT_ZERO
from onboard.change.usual import fit_pair
from onboard.config import DetectConfig
from onboard.errors import InputError
from onboard.infer.bundle import Bundle
from onboard.infer.runtime import Encoder
from onboard.report.metrics import average_precision
from onboard.sense.grid import CELL, Window
from onboard.sense.simulated import SimulatedReader
from onboard.sense.stream import Stream, open_stream

F32 = NDArray[np.float32]

UNITS = 32
STEPS = 2500
BATCH = 8192
LEARNING_RATE = 1e-2
CHANGED, UNCHANGED = 0.3, 0.05
"""Share of a sub-cell that must have changed for a positive, and may have for a negative; between them neither."""
HIDDEN, CLEAR = 0.3, 0.05
"""Likewise of cloud and shadow: a change under cloud is left out."""
KEPT_CHANGED, KEPT_HIDDEN, KEPT_QUIET, KEPT_REAL = 0.5, 0.2, 0.08, 0.5
"""Share of the sub-cells of each kind that is drawn; weights undo it."""
REAL_WEIGHT = 0.3
"""Of all real pairs together, against all simulated ones."""
VARIED = 0.1
"""Spread of the random gain of each band's log contrast; half of it of medians and of the changed ground's spectrum."""
VARIANTS = 512
"""Different random gains and offsets in a batch."""
MAX_PAST = 4


class Rows(NamedTuple):
    """Sub-cells of pairs of passes, bands in the bundle's order, float32.

    now, past (n, B): log spectra less the scene's median; now_median, past_median (n, B); residual (n, 2 F) in usual
    sizes; changed, hidden (n,): shares; weight (n,).
    """

    now: F32
    past: F32
    now_median: F32
    past_median: F32
    residual: F32
    changed: F32
    hidden: F32
    weight: F32

    @classmethod
    def join(cls, parts: Sequence[Rows]) -> Rows:
        """One after the other."""
        return cls(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def simulated_rows(spec: str, model: Bundle, encoder: Encoder, rng: np.random.Generator) -> Rows | None:
    """The last pass of a `sim:` stream against the passes before it; None where too little could be seen."""
    stream = open_stream(spec)
    try:
        history = fly_history(stream, model, encoder, DetectConfig(bundle=model.name))
    except InputError:
        return None
    hidden = [_share(stream, time, clouds=True) for time in history.times]
    changed = _share(stream, history.times[-1], clouds=False)
    last = len(history.times) - 1
    parts = [
        _pair(history, last, past, model, changed, np.maximum(hidden[last], hidden[past]), rng, KEPT_QUIET)
        for past in range(max(last - MAX_PAST, 0), last)
    ]
    return Rows.join(found) if (found := [part for part in parts if part is not None]) else None


def real_rows(folder: Path, model: Bundle, encoder: Encoder, rng: np.random.Generator) -> Iterator[Rows]:
    """Both orders of the first two passes of a stream in which nothing is known to have happened."""
    history = fly_history(open_stream(str(folder)), model, encoder, DetectConfig(bundle=model.name))
    nothing = np.zeros((history.rows * history.cols, FINE * FINE), dtype=np.float32)
    for now, past in ((1, 0), (0, 1)):
        rows = _pair(history, now, past, model, nothing, nothing, rng, KEPT_REAL)
        if rows is not None:
            yield rows


def train_event(
    model: Bundle,
    encoder: Encoder,
    simulated: Sequence[str],
    kept_aside: Sequence[str],
    quiet: Sequence[Path],
    seed: int = 0,
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[EventHead, dict[str, Any]]:
    """Train a head.

    Args:
        model, encoder: whose records are seen.
        simulated: `sim:` streams to train on.
        kept_aside: `sim:` streams to measure on.
        quiet: folders of real pairs without a disaster; every fourth is kept aside.
        seed: of weights, batches and what is drawn.
        progress: called with each stream's name.

    Returns:
        The head and its figures on what it was not trained on.
    """
    rng = np.random.default_rng(seed)

    def flown(specs: Sequence[str]) -> list[Rows]:
        found = []
        for spec in specs:
            progress(spec)
            rows = simulated_rows(spec, model, encoder, rng)
            if rows is not None:
                found.append(rows)
        return found

    trained, kept = Rows.join(flown(simulated)), Rows.join(flown(kept_aside))
    real: tuple[list[Rows], list[Rows]] = ([], [])
    for number, folder in enumerate(quiet):
        progress(str(folder))
        real[number % 4 == 3].extend(real_rows(folder, model, encoder, rng))
    if real[0]:
        quiet_rows = Rows.join(real[0])
        scale = REAL_WEIGHT * trained.weight.sum() / quiet_rows.weight.sum()
        trained = Rows.join([trained, quiet_rows._replace(weight=quiet_rows.weight * np.float32(scale))])
    head = _fit(trained, seed)
    figures: dict[str, Any] = {"parameters": head.now.size * 4 + head.residual.size + 2 * len(head.bias) + 1}
    label = _labels(kept)
    odds = _log_odds(head, kept)
    floor = ScoreRule().event_floor
    figures["simulated_average_precision"] = average_precision(label[label >= 0] > 0, odds[label >= 0])
    figures["simulated_found"] = _weighted(odds > floor, kept.weight * (label == 1))
    figures["simulated_false_alarms"] = _weighted(odds > floor, kept.weight * (label == 0))
    if real[1]:
        aside = Rows.join(real[1])
        figures["real_false_alarms"] = _weighted(_log_odds(head, aside) > floor, aside.weight)
    return head, {key: round(float(value), 5) for key, value in figures.items()}


def _share(stream: Stream, time: Any, clouds: bool) -> F32:
    """Share of each fine sub-cell that is truly hidden, or changed, in the pass of a time: float32 (N, 64)."""
    acquisition = next(one for one in stream.acquisitions if one.sensing_time == time)
    rows, cols = acquisition.grid.rows, acquisition.grid.cols
    with acquisition.open(("B02",)) as reader:
        assert isinstance(reader, SimulatedReader)
        window = Window(0, 0, rows * CELL, cols * CELL)
        mask = reader.cloud_truth(window) if clouds else reader.truth(window)
    share = mask.reshape(rows, FINE, FINE_PX, cols, FINE, FINE_PX).mean(axis=(2, 5), dtype=np.float32)
    return np.asarray(share.transpose(0, 2, 1, 3).reshape(rows * cols, FINE * FINE))


def _pair(
    history: History, now: int, past: int, model: Bundle, changed: F32, hidden: F32, rng: np.random.Generator,
    keep: float,
) -> Rows | None:  # fmt: skip
    """Drawn sub-cells of two looks; changed, hidden: float32 (N, 64)."""
    bands, rule = model.bands, ScoreRule()
    clear = history.clear[now] & history.clear[past]
    a, b = history.records[now], history.records[past]
    s, t = history.statistics[now], history.statistics[past]
    fitted = fit_pair(a[clear], b[clear], rule, bands, s, t, None)
    if fitted is None:
        return None
    there = present(a) & present(b)
    valid = unpack_valid(np.ascontiguousarray(a["valid"] & b["valid"])) & there[:, None]
    share = np.where(changed > CHANGED, KEPT_CHANGED, np.where(hidden > HIDDEN, KEPT_HIDDEN, keep))
    drawn = valid & (rng.random(valid.shape) < share)
    x, y = _spectra(a, bands)[drawn], _spectra(b, bands)[drawn]
    spread, median = (
        [np.array([getattr(one, key) for one in side], dtype=np.float32) for side in (s, t)]
        for key in ("spread", "median")
    )
    pair = fitted[0]
    order = fine_bands(bands) + coarse_bands(bands)
    f, standard = pair.forward.shape[1], [one[:, order].astype(np.float64) for one in (x, y)]
    left = [
        standard[0][:, :f] - standard[1] @ pair.forward[:-1] - pair.forward[-1],
        standard[1][:, :f] - standard[0] @ pair.backward[:-1] - pair.backward[-1],
    ]
    residual = (np.concatenate(left, axis=1) / pair.residual_spread).astype(np.float32)
    count = len(x)
    medians = [np.broadcast_to(one, (count, len(bands))) for one in median]
    return Rows(
        x * spread[0], y * spread[1], medians[0], medians[1], residual, changed[drawn], hidden[drawn],
        (1 / share[drawn]).astype(np.float32),
    )  # fmt: skip


def _spectra(records: NDArray[np.void], bands: Sequence[str]) -> F32:
    """All bands on fine sub-cells, in the bundle's order, standardised: float32 (N, 64, B)."""
    n, fine, coarse = len(records), fine_bands(bands), coarse_bands(bands)
    out = np.empty((n, len(bands), FINE * FINE), dtype=np.float32)
    out[:, fine] = records["fine"]
    if coarse:
        blocks = records["coarse"].reshape(n, len(coarse), COARSE, COARSE)
        out[:, coarse] = (
            blocks.repeat(FINE // COARSE, axis=2).repeat(FINE // COARSE, axis=3).reshape(n, len(coarse), -1)
        )
    return np.asarray((out.transpose(0, 2, 1) - INPUT_ZERO) * np.float32(INPUT_STEP))


def _labels(rows: Rows) -> NDArray[np.int64]:
    """1 changed, 0 not, -1 neither."""
    label = np.full(len(rows.weight), -1)
    label[(rows.changed > CHANGED) & (rows.hidden < CLEAR)] = 1
    label[(rows.changed < UNCHANGED) & ((rows.hidden < CLEAR) | (rows.hidden > HIDDEN))] = 0
    return label


def _fit(rows: Rows, seed: int) -> EventHead:
    label = _labels(rows)
    columns = [torch.from_numpy(np.ascontiguousarray(column[label >= 0])) for column in rows]
    now, past, now_median, past_median, residual, changed, _, weight = columns
    y = torch.from_numpy(label[label >= 0].astype(np.float32))
    bands, torch_rng = now.shape[1], torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)

    def inputs(a: torch.Tensor, b: torch.Tensor, s: torch.Tensor, t: torch.Tensor, e: torch.Tensor) -> torch.Tensor:
        return torch.cat([a, b, a + s, b + t, e], dim=1)

    pick = torch.randint(0, len(y), (min(len(y), 200_000),), generator=torch_rng)
    some = inputs(*(one[pick] for one in columns[:5]))
    mean, spread = some.mean(dim=0), some.std(dim=0) + 1e-3
    network = nn.Sequential(nn.Linear(len(mean), UNITS), nn.ReLU(), nn.Linear(UNITS, 1))
    optimiser = torch.optim.Adam(network.parameters(), LEARNING_RATE, weight_decay=1e-5)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)

    def varied(columns: int, size: float) -> torch.Tensor:
        return size * torch.randn(VARIANTS, columns, generator=torch_rng)

    for _ in range(STEPS):
        pick = torch.randint(0, len(y), (BATCH,), generator=torch_rng)
        which = torch.randint(0, VARIANTS, (BATCH,), generator=torch_rng)
        gain = torch.exp(varied(bands, VARIED))[which]
        material = (varied(bands, VARIED / 2) + varied(1, VARIED / 2))[which] * changed[pick][:, None]
        level = varied(bands, VARIED / 2)[which]
        x = inputs(
            now[pick] * gain + material, past[pick] * gain, now_median[pick] + level, past_median[pick] + level,
            residual[pick],
        )  # fmt: skip
        logit = network((x - mean) / spread)[:, 0]
        each = nn.functional.binary_cross_entropy_with_logits(logit, y[pick], reduction="none")
        optimiser.zero_grad()
        (each * weight[pick]).mean().div(weight.mean()).backward()
        optimiser.step()
        schedule.step()
    first, last = network[0], network[2]
    raw = (first.weight.detach() / spread).numpy().astype(np.float64)
    relative_now, relative_past, absolute_now, absolute_past = np.split(raw[:, : 4 * bands], 4, axis=1)
    return EventHead(
        now=relative_now + absolute_now, past=relative_past + absolute_past, now_median=absolute_now,
        past_median=absolute_past, residual=raw[:, 4 * bands :],
        bias=first.bias.detach().numpy().astype(np.float64) - raw @ mean.numpy().astype(np.float64),
        out=last.weight.detach().numpy()[0].astype(np.float64), out_bias=float(last.bias.detach()),
    )  # fmt: skip


def _log_odds(head: EventHead, rows: Rows) -> NDArray[np.float64]:
    units = head.bias + rows.residual @ head.residual.T
    for values, weights in (
        (rows.now, head.now), (rows.past, head.past),
        (rows.now_median, head.now_median), (rows.past_median, head.past_median),
    ):  # fmt: skip
        units += values @ weights.T
    return np.asarray(np.maximum(units, 0) @ head.out + head.out_bias)


def _weighted(found: NDArray[np.bool_], weight: F32) -> float:
    return float((found * weight).sum() / max(float(weight.sum()), 1e-9))
