"""`ground train cloud`: the head that tells hidden sub-cells, trained on the simulator and on cloud-free imagery.

Positive and negative sub-cells come from the simulator's exact masks of cloud and shadow; the passes of OSCD and of the
fires, chosen by their makers for being clear, are negatives (bright deserts, roofs and smoke are not cloud); half of
them are kept to set the threshold. A stream with a quality layer of its own (SCL) brings its labels along.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from onboard.change.cloud import CloudHead
from onboard.change.record import COARSE_PX
from onboard.change.subcells import INPUT_STEP, INPUT_ZERO
from onboard.errors import InputError
from onboard.sense.acquisition import Acquisition
from onboard.sense.grid import CELL, Window
from onboard.sense.normalise import DN_VALUES, NormaliseRule, band_statistics, input_table, quantised_table
from onboard.sense.simulated import SimulatedReader
from onboard.sense.stream import open_stream
from onboard.sense.tiles import apply_table, sub_cell_means, sub_cell_share, valid_pixels

UNITS = 16
STEPS = 3000
BATCH = 8192
HIDDEN_SHARE = 0.5
UNSURE = (0.05, 0.5)
"""Sub-cells hidden by this share are left out: a thin edge is neither."""
CLEAR_ALARM = 0.005
"""Share of clear sub-cells, real and simulated (floods look like shadow), that may be called hidden: the threshold."""

Sample = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
"""(log spectra less the scene's median (n, B), log spectra (n, B), hidden 0/1 (n,))."""


def samples_of(acquisition: Acquisition, bands: Sequence[str], rule: NormaliseRule) -> Sample:
    """Every valid coarse sub-cell of a pass with its label; passes without truth or quality layer are clear."""
    height, width = acquisition.grid.rows * CELL, acquisition.grid.cols * CELL
    dn = np.empty((len(bands), height, width), dtype=np.uint16)
    window = Window(0, 0, height, width)
    with acquisition.open(tuple(bands)) as reader:
        quality = reader.read(window, dn)
        truth = reader.cloud_truth(window) if isinstance(reader, SimulatedReader) else None
    valid = valid_pixels(dn, None)
    if truth is None:
        truth = np.zeros_like(valid) if quality is None else ~quality
    infos = [acquisition.band(name) for name in bands]
    statistics = [
        band_statistics(np.bincount(plane[valid], minlength=DN_VALUES), info, rule)
        for plane, info in zip(dn, infos, strict=True)
    ]
    pairs = zip(infos, statistics, strict=True)
    tables = np.stack([quantised_table(input_table(i, s, rule), INPUT_STEP, INPUT_ZERO) for i, s in pairs])
    x = np.empty(dn.shape, dtype=np.uint8)
    for plane, table, out in zip(dn, tables, x, strict=True):
        apply_table(plane, table, out)
    means = sub_cell_means(x, COARSE_PX).transpose(0, 2, 1).reshape(-1, len(bands))
    hidden = sub_cell_share(truth, COARSE_PX).reshape(-1)
    usable = sub_cell_share(valid, COARSE_PX).reshape(-1) == 1
    usable &= (hidden <= UNSURE[0]) | (hidden >= UNSURE[1])
    standard = ((means[usable].astype(np.float32) - INPUT_ZERO) * INPUT_STEP).astype(np.float32)
    spread, median = (np.array([getattr(s, key) for s in statistics], dtype=np.float32) for key in ("spread", "median"))
    return standard * spread, standard * spread + median, (hidden[usable] >= HIDDEN_SHARE).astype(np.float32)


def passes_below(folders: Sequence[Path], bands: Sequence[str]) -> Iterator[Acquisition]:
    """Every acquisition with these bands in any folder below, one after the other."""
    for folder in sorted({path.parent for root in folders for path in root.rglob("*.tif")}):
        try:
            stream = open_stream(str(folder))
        except InputError:
            continue
        yield from (a for a in stream.acquisitions if set(bands) <= {band.name for band in a.bands})


def train_cloud(
    bands: Sequence[str], rule: NormaliseRule, simulated: Sequence[str], clear: Sequence[Path], seed: int = 0
) -> tuple[CloudHead, dict[str, Any]]:
    """Train a head.

    Args:
        bands: of the bundle.
        simulated: `sim:` streams; odd places in the list are kept for measuring.
        clear: folders of cloud-free imagery.
        seed: of weights and batches.

    Returns:
        The head and its figures on what it was not trained on.
    """
    torch.manual_seed(seed)
    parts = [
        [samples_of(a, bands, rule) for spec in simulated[first::2] for a in open_stream(spec).acquisitions]
        for first in (0, 1)
    ]
    places = [samples_of(a, bands, rule) for a in passes_below(clear, bands)]
    trained, kept = _join(parts[0] + places[0::2]), _join(parts[1])
    clear_kept = _join(places[1::2])
    network = nn.Sequential(nn.Linear(2 * len(bands), UNITS), nn.ReLU(), nn.Linear(UNITS, 1))
    x, y = torch.from_numpy(np.concatenate(trained[:2], axis=1)), torch.from_numpy(trained[2])
    optimiser = torch.optim.Adam(network.parameters(), 1e-2, weight_decay=1e-5)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    generator = torch.Generator().manual_seed(seed)
    share = y.mean()
    weight = torch.where(y > 0, 0.5 / share, 0.5 / (1 - share))
    for _ in range(STEPS):
        pick = torch.randint(0, len(y), (BATCH,), generator=generator)
        logit = network(x[pick])[:, 0]
        optimiser.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(logit, y[pick], weight[pick]).backward()
        optimiser.step()
        schedule.step()
    first, last = network[0], network[2]
    weights = first.weight.detach().numpy().astype(np.float64)
    head = CloudHead(
        relative=weights[:, : len(bands)],
        absolute=weights[:, len(bands) :],
        bias=first.bias.detach().numpy().astype(np.float64),
        out=last.weight.detach().numpy()[0].astype(np.float64),
        out_bias=float(last.bias.detach()),
        threshold=0.5,
    )

    def probability(sample: Sample) -> NDArray[np.float64]:
        units = np.maximum(sample[0] @ head.relative.T + sample[1] @ head.absolute.T + head.bias, 0)
        return np.asarray(1 / (1 + np.exp(-(units @ head.out + head.out_bias))))

    on_clear = probability(clear_kept)
    found = probability(kept)
    limits = [np.quantile(part, 1 - CLEAR_ALARM) for part in (on_clear, found[kept[2] == 0]) if len(part)]
    threshold = float(np.clip(max(limits), 0.5, 0.99))
    figures = {
        "parameters": sum(p.numel() for p in network.parameters()),
        "threshold": round(threshold, 4),
        "simulated_recall": float((found[kept[2] > 0] > threshold).mean()),
        "simulated_false_alarms": float((found[kept[2] == 0] > threshold).mean()),
        "clear_real_false_alarms": float((on_clear > threshold).mean()) if len(on_clear) else float("nan"),
    }
    return CloudHead(**{**vars(head), "threshold": round(threshold, 4)}), figures


def _join(samples: Sequence[Sample]) -> Sample:
    return tuple(np.concatenate([sample[i] for sample in samples]) for i in range(3))  # type: ignore[return-value]
