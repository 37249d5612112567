"""The settings of a run, with units, frozen. Read from the command line; written into every summary."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

DEFAULT_HISTORY = 3
SCORE_RULES = ("surprise", "cosine", "euclidean")
PRODUCTS = ("raw", "enhanced")
BESIDE = (
    "pictures", "threads", "batch", "read_ahead", "keep_passes", "group_cells", "bundle", "budget_bytes", "products",
    "enhancer", "enhanced_cells", "storage_bytes", "deadline_s_per_row",
)  # fmt: skip
"""Settings that decide neither scores nor which cells are chosen: what is not finished goes on under others of them."""
DEFAULT_CHUNK_PX = 262_144
"""5.2 MB of 10-band uint16: 512 x 512 px."""


@dataclass(frozen=True)
class DetectConfig:
    """How `onboard-detect` looks, compares and chooses.

    Attributes:
        runtime, precision: which artefact of the bundle runs.
        history: k clear past looks that count in the score.
        lookback: passes searched for k clear looks at a cell; what is usual is learnt for each of them.
        keep_passes: passes of a place that stay in the memory.
        min_valid: smallest share of valid pixels (0..1) of a cell that is looked at.
        budget_bytes: size of the downlink queue.
        chunk_px: most pixels of a chunk; decides peak memory.
        group_cells: cells per transaction (more while the disk is slow).
        prescan_share: share of the cells (0..1) that per-scene statistics are taken from.
        prescan_all_cells: up to this many cells all of them are taken.
        fit_cells: most cells of the sample that what is usual between two passes is learnt from.
        threads: that look at chunks side by side, each with one thread of the runtime.
        batch: tiles per call of the runtime.
        read_ahead: chunks that are read and wait, or are chosen from, besides those that are looked at.
        storage_bytes: of the store; the least valuable leaves before a pass that would not fit. None: no limit.
        deadline_s_per_row: for a row of cells, see `governor`; None: the run does not depend on time.
        products: "raw", and "enhanced" for regions at twice the resolution besides, by the model `enhancer`.
        enhanced_cells: most cells that a run enhances.
        denoiser: model that takes the noise off what the encoder sees; None: nothing does. Products stay as measured.
        denoiser_snr: of the sensor, signal over standard deviation at the mean; None: what the model was trained for.
        pictures: detections that get before/after pictures in the report.
    """

    bundle: str = "s2-10"
    runtime: str = "onnx"
    precision: str = "int8"
    score: str | None = None
    history: int = DEFAULT_HISTORY
    lookback: int = 6
    keep_passes: int = 16
    min_valid: float = 0.5
    budget_bytes: int = 10_000_000
    chunk_px: int = DEFAULT_CHUNK_PX
    group_cells: int = 2_048
    prescan_share: float = 1 / 64
    prescan_all_cells: int = 4_096
    fit_cells: int = 2_048
    threads: int = 1
    batch: int = 64
    read_ahead: int = 1
    storage_bytes: int | None = None
    deadline_s_per_row: float | None = None
    pictures: int = 24
    products: tuple[str, ...] = ("raw",)
    enhancer: str = "sr-x2-s2"
    enhanced_cells: int = 512
    denoiser: str | None = None
    denoiser_snr: float | None = None

    @property
    def enhances(self) -> bool:
        """The one switch of the rung of estimates."""
        return "enhanced" in self.products

    def fingerprint(self) -> str:
        """The settings that decide scores and choice: an unfinished acquisition only continues under the same ones."""
        decisive: dict[str, Any] = {key: value for key, value in asdict(self).items() if key not in BESIDE}
        return json.dumps(decisive, sort_keys=True)
