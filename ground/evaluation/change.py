"""`ground evaluate change`: what the flight software finds on labelled pairs, beside plain baselines.

`ours` runs the flight path itself: pass 1 into a store, the store closed and opened again, pass 2 scored from what is
remembered. The scores compared are those that `score.tif` holds.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ground.evaluation.baselines import baselines_for, read_pair
from ground.evaluation.metrics import Ranked, mean_metrics, rank_unknown_last, scene_metrics
from ground.scenes.labelled import LabelledScene, find_scenes, read_pass
from onboard.clock import Stages
from onboard.config import DetectConfig
from onboard.downlink.product import Product, encode
from onboard.infer.bundle import Bundle, load_bundle
from onboard.infer.runtime import Encoder, load_encoder
from onboard.loop import Detector
from onboard.report.collect import collect
from onboard.report.outcome import Outcome
from onboard.sense.grid import CELL
from onboard.sense.stream import Stream
from onboard.store import Store

MIN_POSITIVES = 10
"""Scenes with fewer positive tiles are too small to weigh: they stay out of the headline."""


@dataclass(frozen=True)
class Evaluation:
    """Result of an evaluation; `to_json` is what `--json` prints."""

    metrics: dict[str, dict[str, float]]
    scenes: dict[str, dict[str, Any]]
    scenes_counted: list[str]
    bundle: str
    runtime: str
    settings: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Plain values; average precision is 0..1."""
        return {
            "metrics": self.metrics, "scenes": self.scenes, "scenes_counted": self.scenes_counted,
            "bundle": self.bundle, "runtime": self.runtime, "settings": self.settings,
        }  # fmt: skip


def evaluate_change(
    folder: Path,
    bundle: str | Bundle,
    runtime: str = "onnx",
    precision: str = "int8",
    score: str | None = None,
    seed: int = 0,
    quick: bool = False,
    progress: Callable[[str], None] = lambda _: None,
    encoder: Encoder | None = None,
) -> Evaluation:
    """Score every labelled pair below a folder.

    Args:
        folder: labelled pairs in or below it.
        bundle: name or folder of one, or one that is loaded.
        runtime, precision: which artefact runs.
        score: rule that replaces the bundle's own.
        seed: of the bootstrap.
        quick: no baselines, and every product counts as one byte (recalls are then by share of the tiles).
        progress: called with each scene's name.
        encoder: runs in the place of the bundle's artefact.

    Raises:
        InputError: no pair there, or one of them cannot be read.
        BundleError: the bundle cannot be used.
    """
    model = bundle if isinstance(bundle, Bundle) else load_bundle(bundle)
    config = DetectConfig(bundle=model.name, runtime=runtime, precision=precision, score=score)
    encoder = encoder or load_encoder(model, runtime, precision)
    scenes = find_scenes(folder, model.bands)
    methods: dict[str, list[Ranked]] = {}
    described: dict[str, dict[str, Any]] = {}
    for scene in scenes:
        progress(scene.name)
        template = _template(scene, model.bands, quick)
        scores: dict[str, NDArray[Any]] = {"ours": fly(scene, config, model, encoder)}
        if not quick:
            pair = read_pair(scene, model.bands)
            for name, baseline in baselines_for(model.bands).items():
                scores[name] = baseline(*pair, model.bands, scene.shape)
        ranked = {name: replace(template, score=rank_unknown_last(value)) for name, value in scores.items()}
        for name, item in ranked.items():
            methods.setdefault(name, []).append(item)
        described[scene.name] = {
            "tiles": len(template.positive),
            "positive": int(template.positive.sum()),
            **{name: scene_metrics(item) for name, item in ranked.items()},
        }
    counted = [int(described[scene.name]["positive"]) >= MIN_POSITIVES for scene in scenes]
    return Evaluation(
        metrics={name: mean_metrics(items, counted, seed) for name, items in methods.items()},
        scenes=described,
        scenes_counted=[scene.name for scene, c in zip(scenes, counted, strict=True) if c],
        bundle=model.name,
        runtime=f"{runtime}-{precision}",
        settings={"score": score or dict(model.score), "history": config.history, "seed": seed},
    )


def fly(scene: LabelledScene, config: DetectConfig, bundle: Bundle, encoder: Encoder) -> NDArray[np.float32]:
    """Scores of the second pass by the flight path, float32 (rows, cols) of the scene's cells; nan = unknown."""
    with tempfile.TemporaryDirectory() as folder:
        outcome: Outcome | None = None
        for count in (1, 2):
            stream = Stream(scene.stream.spec, scene.stream.acquisitions[:count], ())
            outcome = fly_stream([stream], replace(config, budget_bytes=0, pictures=0), bundle, encoder, Path(folder))
        assert outcome is not None
        rows, cols = scene.shape
        return outcome.passes[-1].score[:rows, :cols]


def fly_stream(
    streams: Sequence[Stream], config: DetectConfig, bundle: Bundle, encoder: Encoder, store_folder: Path
) -> Outcome:
    """One run of the flight loop into a store that is closed again.

    Raises:
        InputError: any acquisition was refused; an evaluation of what is left would be about something else.
    """
    stages = Stages()
    with Store(store_folder) as store:
        run = Detector(config, bundle, encoder, store, stages).detect(streams)
        if run.refused:
            raise run.refused[0]
        return collect(store, run, streams, config, bundle, encoder, stages.seconds, 0.0)


def _template(scene: LabelledScene, bands: Sequence[str], quick: bool) -> Ranked:
    """Everything of a scene that does not depend on the method."""
    changed, valid = scene.counts()
    return Ranked(
        score=np.zeros(changed.size),
        positive=scene.positives().reshape(-1),
        changed=changed.reshape(-1),
        valid=valid.reshape(-1),
        size=np.ones(changed.size, dtype=np.int64) if quick else _product_sizes(scene, bands).reshape(-1),
    )


def _product_sizes(scene: LabelledScene, bands: Sequence[str]) -> NDArray[np.int64]:
    """Bytes of every tile's lossless product, int64 (rows, cols)."""
    after = scene.passes[1]
    rows, cols = scene.shape
    dn, _ = read_pass(after, bands, rows * CELL, cols * CELL)
    infos = tuple(after.band(name) for name in bands)
    sizes = np.zeros((rows, cols), dtype=np.int64)
    for row in range(rows):
        for col in range(cols):
            tile = np.ascontiguousarray(dn[:, row * CELL : (row + 1) * CELL, col * CELL : (col + 1) * CELL])
            product = Product(after.grid, row, col, after.product_id, after.sensing_time, infos, tile, "0" * 64, 0.0)
            sizes[row, col] = len(encode(product))
    return sizes
