"""`ground train forecaster`: the network of `models/forecaster`, trained on histories; and its use as an expectation.

Nothing that is judged is trained on: the network learns simulated quiet seasons, and for a real series it goes on, at
the start of each logging year, with what was seen before it.

The loss is that of a Laplace distribution, |x - mean| / spread + ln(spread): a felled stand or a missed cloud in the
training series pulls the forecast less than under squares, and the spread says how uncertain a season is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
from numpy.typing import NDArray

from ground.evaluation.expectation import HORIZON, Forecast, Series
from ground.evaluation.expectation import Forecaster as Expectation
from ground.models.forecaster import LOOKS, Forecaster
from ground.scenes.forest import logging_year, year_end
from onboard.errors import InputError

FIRST_SEED = 200
"""Simulated landscapes from this seed on are trained on; evaluations use lower ones."""
STEPS = 1500
FURTHER_STEPS = 600
BATCH = 512
LEARNING_RATE = 5e-3
MIN_LOOKS = 3
"""Clear looks below which nothing is expected."""

Batch = tuple[torch.Tensor, torch.Tensor]


def history_of(series: Series, first: int, look: int, cells: NDArray[np.int64]) -> tuple[Batch, NDArray[np.bool_]]:
    """Network input for some sub-cells, and which of them have enough history.

    Args:
        series: all looks.
        first: the first that is not known.
        look: the one to forecast, >= first.
        cells: indices of sub-cells, (N,).
    """
    order = np.argsort(~series.valid[:first, cells][::-1], axis=0, kind="stable")[:LOOKS]  # newest clear looks first
    at = (first - 1 - order)[::-1]  # (<= LOOKS, N), oldest first
    there = series.valid[at, cells]
    values = np.where(there[:, :, None], series.x[at, cells], 0)
    angle = series.season[at] - series.season[look]
    gap = np.log1p(np.maximum(series.years[look] - series.years[at], 0))
    when = np.stack([np.sin(angle), np.cos(angle), gap, np.ones_like(gap)], axis=2) * there[:, :, None]
    missing = LOOKS - len(at)
    padded = [np.pad(a, ((missing, 0), (0, 0), (0, 0))).transpose(1, 2, 0).astype(np.float32) for a in (values, when)]
    return (torch.from_numpy(padded[0]), torch.from_numpy(padded[1])), there.sum(axis=0) >= MIN_LOOKS


def train_forecaster(
    series: Sequence[Series],
    steps: int = STEPS,
    seed: int = 0,
    start: Forecaster | None = None,
    until: Sequence[int | None] | None = None,
) -> Forecaster:
    """Train on random looks of random series.

    Args:
        series: undisturbed, or nearly so.
        steps: of the optimiser, each of `BATCH` sub-cells of one look.
        seed: of weights and draws.
        start: weights to go on from.
        until: for each series the first look that must not be seen, neither as history nor as target; None: all may.

    Raises:
        ValueError: no series is long enough.
    """
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    ends = [
        len(one.years) if end is None else end for one, end in zip(series, until or [None] * len(series), strict=True)
    ]
    usable = [(one, end) for one, end in zip(series, ends, strict=True) if end > MIN_LOOKS]
    if not usable:
        raise ValueError(f"no series of more than {MIN_LOOKS} looks to train on")
    network = Forecaster(series[0].x.shape[2]) if start is None else deepcopy(start)
    optimiser = torch.optim.Adam(network.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps)
    for _ in range(steps):
        one, end = usable[random.integers(len(usable))]
        first = int(random.integers(MIN_LOOKS, end))
        look = int(random.integers(first, min(first + HORIZON, end)))
        cells = random.integers(0, one.valid.shape[1], BATCH)
        inputs, known = history_of(one, first, look, cells)
        use = torch.from_numpy(known & one.valid[look, cells])
        mean, spread = network(*inputs)
        error = (torch.from_numpy(one.x[look, cells]) - mean).abs() * torch.exp(-spread) + spread
        loss = (error * use[:, None]).sum() / max(int(use.sum()), 1)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    return network.eval()


def save(network: Forecaster, path: Path) -> None:
    """Write the weights."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"bands": network.bands, "weights": network.state_dict()}, path)


def load(path: Path) -> Forecaster:
    """Read weights that `save` wrote.

    Raises:
        InputError: not such a file.
    """
    try:
        raw = torch.load(path, weights_only=True)
        network = Forecaster(int(raw["bands"]))
        network.load_state_dict(raw["weights"])
    except (OSError, RuntimeError, KeyError, TypeError, ValueError, UnpicklingError) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(str(path), f"is no forecaster ({type(error).__name__}: {reason})") from error
    return network.eval()


def expectation(network: Forecaster) -> Expectation:
    """A trained network as a forecaster of `ground.evaluation.expectation`."""

    def forecaster(series: Series, first: int) -> Callable[[int], list[Forecast]]:
        def forecast(look: int) -> list[Forecast]:
            inputs, known = history_of(series, first, look, np.arange(series.valid.shape[1]))
            with torch.no_grad():
                mean, spread = network(*inputs)
            return [Forecast(mean.numpy(), torch.exp(spread).numpy(), known)]

        return forecast

    return forecaster


class Yearly:
    """A forecaster that is trained further at the start of each logging year, half on simulation, half on the past.

    Args:
        start: trained on simulation.
        quiet: simulated series.
        steps: of each training.
    """

    def __init__(self, start: Forecaster, quiet: Sequence[Series], steps: int = FURTHER_STEPS) -> None:
        self._start, self._quiet, self._steps = start, list(quiet), steps
        self._known: dict[int, Forecaster] = {}

    def __call__(self, series: Series, first: int) -> Callable[[int], list[Forecast]]:
        """Forecasts by a network that saw nothing from the logging year of the first unknown look on."""
        year = logging_year(series.times[first])
        if year not in self._known:
            end = sum(time < year_end(year - 1) for time in series.times)
            self._known[year] = self._train(series, end) if end > MIN_LOOKS else self._start
        return expectation(self._known[year])(series, first)

    def _train(self, series: Series, end: int) -> Forecaster:
        times = max(1, len(self._quiet))
        until = [None] * len(self._quiet) + [end] * times
        return train_forecaster([*self._quiet, *[series] * times], self._steps, start=self._start, until=until)
