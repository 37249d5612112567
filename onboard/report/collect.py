"""Rebuilds a run's `Outcome` from the store, so that an interrupted and continued run reports like an unbroken one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard import __version__
from onboard.budget import Budget
from onboard.change.classify import Classifier
from onboard.change.rule import ScoreRule
from onboard.config import DetectConfig
from onboard.downlink.ladder import Rung
from onboard.infer.bundle import Bundle
from onboard.infer.runtime import Encoder
from onboard.report.outcome import CellStatus, Detection, Outcome, PassResult
from onboard.report.pictures import Painter
from onboard.run import Run
from onboard.sense.grid import CELL, Grid
from onboard.sense.stream import Stream
from onboard.store import Store
from onboard.store.rows import AcquisitionRow, QueueRow


def product_name(grid_id: int, product_id: str, row: int, col: int) -> str:
    """File name of a product below `products/`: stable between runs, safe on any file system."""
    safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in product_id)[:80]
    return f"g{grid_id}_{safe}_r{row:04d}c{col:04d}.obp"


def _other_name(row: AcquisitionRow, item: QueueRow) -> str:
    return f"{product_name(row.grid_id, row.product_id, item.row, item.col)[:-4]}_{item.rung.name.lower()}.obp"


def collect(
    store: Store,
    run: Run,
    streams: Sequence[Stream],
    config: DetectConfig,
    bundle: Bundle,
    encoder: Encoder,
    stage_seconds: Mapping[str, float],
    wall_seconds: float,
    classifier: Classifier | None = None,
    budget: Budget | None = None,
) -> Outcome:
    """Everything the writers need, from the store and the streams."""
    rows = {row.id: row for row in store.state.acquisitions(encoder.artefact.sha256)}
    rows |= {one: store.state.acquisition(one) for one in run.looked_at if one not in rows}  # of the model before
    looked_at = [rows[identity] for identity in dict.fromkeys(run.looked_at)]
    grids = dict(store.state.grids())
    passes, truths = [], {}
    for row in looked_at:
        result = _pass(store, row, grids[row.grid_id])
        passes.append(result)
        truths[row.id] = result.truth
    wanted = {row.id for row in looked_at}
    # a cell whose lossless coding was put off is in a region that goes down all the same
    ready = [item for item in store.queue.fitting(config.budget_bytes) if item.coded or item.chip]
    fitting = [item for item in ready if item.acquisition in wanted]
    queue = [item for item in fitting if item.rung is Rung.LOSSLESS]
    others = [item for item in fitting if item.rung is not Rung.LOSSLESS]
    painter = Painter(store, run, rows, bundle, encoder, config.history)
    detections = []
    for rank, item in enumerate(queue, start=1):
        row = rows[item.acquisition]
        pictures = painter.paint(item) if rank <= config.pictures else None
        found = _detection(rank, item, row, grids[row.grid_id], truths[row.id], pictures)
        detections.append(found if classifier is None else _labelled(found, classifier))
    counters = store.state.counters(wanted)
    for error in run.refused:
        if error.kind not in counters:
            counters[error.kind] = sum(1 for other in run.refused if other.kind == error.kind)
    if run.skipped:
        counters["already_done"] = run.skipped
    if run.both:
        counters["looked_at_by_two_models"] = run.both
    if run.enhanced:
        counters["cells_enhanced"] = run.enhanced
    if run.damaged_products:
        counters["product_crc"] = run.damaged_products
    if store.memory.reset:
        counters["memory_reset"] = 1
    return Outcome(
        streams=tuple(stream.spec for stream in streams),
        bundle={
            "name": bundle.name, "version": bundle.version, "bands": list(bundle.bands),
            "artefact": encoder.artefact.key, "sha256": encoder.artefact.sha256, "model": dict(bundle.model),
        },
        passes=tuple(passes),
        detections=tuple(detections),
        budget_bytes=config.budget_bytes,
        used_bytes=sum(item.size for item in fitting),
        others=tuple((item.id, _other_name(rows[item.acquisition], item)) for item in others),
        wall_seconds=wall_seconds,
        tiles=run.tiles,
        stage_seconds=dict(stage_seconds),
        counters=counters,
        refused=tuple((e.where, e.reason, e.kind) for e in run.refused),
        settings=_settings(config, bundle),
        timing=run.timing,
        budgets={} if budget is None else _budgets(budget, wall_seconds, stage_seconds, looked_at),
    )  # fmt: skip


def _budgets(budget: Budget, wall_s: float, seconds: Mapping[str, float], rows: Sequence[AcquisitionRow]) -> Any:
    """The profile, and the energy that it projects for this run."""
    energy, lines = budget.energy_j(wall_s, seconds), sum(row.rows for row in rows)
    used = {"energy_j": energy, "energy_j_per_row_used": energy / lines if lines else None}
    return {"profile": budget.name, **{k: v for k, v in vars(budget).items() if v is not None and k != "name"}, **used}


def _labelled(found: Detection, classifier: Classifier) -> Detection:
    label = classifier.label(found.grid, found.sensing_time, found.product_id, found.row, found.col)
    return found if label is None else replace(found, label=label.name, label_score=label.score)


def _settings(config: DetectConfig, bundle: Bundle) -> dict[str, Any]:
    rule = ScoreRule.from_dict(bundle.score)
    rule = replace(rule, rule=config.score) if config.score else rule
    cleaned = {"denoiser": config.denoiser, "denoiser_snr": config.denoiser_snr} if config.denoiser else {}
    return cleaned | {
        "software": __version__,
        "score": rule.rule,
        "prior": rule.prior if rule.rule == "surprise" else None,
        "history": config.history,
        "min_valid": config.min_valid,
        "runtime": config.runtime,
        "precision": config.precision,
        "budget_bytes": config.budget_bytes,
        "threads": config.threads,
        "batch": config.batch,
        "deadline_s_per_row": config.deadline_s_per_row,
        "chunk_px": config.chunk_px,
    }


def _pass(store: Store, row: AcquisitionRow, grid: Grid) -> PassResult:
    shape = (row.rows, row.cols)
    status = np.full(shape, CellStatus.NOT_LOOKED_AT, dtype=np.uint8)
    score = np.full(shape, np.nan, dtype=np.float32)
    truth: NDArray[np.float32] | None = None
    for part in store.state.chunks(row.id):
        c = part.chunk
        where = np.s_[c.row : c.row + c.rows, c.col : c.col + c.cols]
        status[where], score[where] = part.status, part.score
        if part.truth is not None:
            truth = np.zeros(shape, dtype=np.float32) if truth is None else truth
            truth[where] = part.truth
    cropped = Grid(grid.crs, grid.transform, row.cols * CELL, row.rows * CELL)
    decided = tuple(store.state.decisions(row.id))
    return PassResult(row.product_id, row.sensing_time, cropped, status, score, truth, decided)


def _detection(
    rank: int, item: QueueRow, row: AcquisitionRow, grid: Grid, truth: NDArray[np.float32] | None, pictures: Any
) -> Detection:
    return Detection(
        rank=rank,
        product_id=row.product_id,
        sensing_time=row.sensing_time,
        reference_times=row.reference_times,
        grid=grid,
        row=item.row,
        col=item.col,
        score=item.score,
        value=item.value,
        size=item.size,
        product=product_name(row.grid_id, row.product_id, item.row, item.col),
        truth=None if truth is None else float(truth[item.row, item.col]),
        pictures=pictures,
        queue_id=item.id,
    )
