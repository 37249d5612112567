"""summary.json: a run in numbers. Keys are stable: scripts read this file, so a key is added but never renamed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np

import onboard
from onboard.governor import LADDER
from onboard.report.geojson import finite, timestamp
from onboard.report.outcome import Outcome, PassResult
from onboard.report.tally import Cells, agree, chosen_hits, count, quantiles
from onboard.sense.grid import CELL


def render(outcome: Outcome, outputs: Sequence[str]) -> str:
    """The text of summary.json; `outputs` are the file names of this run, relative to it."""
    return json.dumps(summarise(outcome, outputs), indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def summarise(outcome: Outcome, outputs: Sequence[str] = ()) -> dict[str, Any]:
    """The run as plain JSON values. What does not apply is null; nan and infinity become null."""
    o = outcome
    cells = count(o.passes)
    hits, known = chosen_hits(o.detections)
    pooled = _agreement(o.passes)
    if pooled is not None:
        pooled["precision_at_chosen"] = hits / known if known else None
    return {
        "version": onboard.__version__,
        "streams": list(o.streams),
        "bundle": plain(o.bundle),
        "cells": _cells(cells),
        "tiles": o.tiles,
        "wall_seconds": finite(o.wall_seconds),
        "tiles_per_s": o.tiles / o.wall_seconds if o.wall_seconds > 0 else None,
        "passes": [_pass(result) for result in o.passes],
        "budget": {
            "budget_bytes": o.budget_bytes,
            "used_bytes": o.used_bytes,
            "used_share": o.used_bytes / o.budget_bytes if o.budget_bytes else None,
            "products": len(o.detections),
            "mean_bytes": sum(d.size for d in o.detections) / len(o.detections) if o.detections else None,
            "pixel_bytes": pixel_bytes(o, cells),
        },
        "truth": pooled,
        "strips": _strips(o),
        "budgets": plain(o.budgets),
        "timing": {stage: finite(seconds) for stage, seconds in o.stage_seconds.items()},
        "counters": {kind: int(n) for kind, n in sorted(o.counters.items())},
        "refused": [{"where": where, "reason": reason, "kind": kind} for where, reason, kind in o.refused],
        "settings": plain(o.settings),
        "outputs": list(outputs),
    }


def _strips(outcome: Outcome) -> dict[str, Any]:
    """Latency of the strips of this run in seconds, from read to score, commits apart; and what the governor did."""
    decided = [one for result in outcome.passes for one in result.decisions]
    looked = [one for one in decided if one.looked]
    return {
        "latency_s": _spread(outcome.timing.latency),
        "commit_s": _spread(outcome.timing.commit),
        "governor": {
            "strips": len(decided),
            "skipped": len(decided) - len(looked),
            "kept": sum(one.kept for one in looked),
            "missed": [
                {
                    "product_id": result.product_id,
                    "strip": one.strip,
                    "seconds": one.seconds,
                    "deadline_s": one.deadline_s,
                }
                for result in outcome.passes
                for one in result.decisions
                if one.looked and not one.kept
            ],
            "dropped": {step.words: sum(one.level >= step for one in decided) for step in LADDER[1:]},
        }
        if decided
        else None,
    }


def _spread(seconds: Sequence[float]) -> dict[str, float] | None:
    if not seconds:
        return None
    p50, p99 = np.quantile(seconds, (0.5, 0.99))
    return {"n": len(seconds), "p50": float(p50), "p99": float(p99), "max": max(seconds)}


def pixel_bytes(outcome: Outcome, cells: Cells) -> int | None:
    """Bytes of all pixels looked at, uncompressed: 32 x 32 px x 16 bit x bands a cell; None where no band is named."""
    bands = outcome.bundle.get("bands")
    if not isinstance(bands, Sequence) or isinstance(bands, str) or not bands:
        return None
    return cells.looked_at * CELL * CELL * 2 * len(bands)


def plain(value: Any) -> Any:
    """Any setting as JSON values: mappings, sequences, numbers and text; everything else by its `str`."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return timestamp(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return plain(value.item()) if hasattr(value, "item") else str(value)


def _pass(result: PassResult) -> dict[str, Any]:
    cells = _cells(count([result]))
    return {
        "product_id": result.product_id,
        "sensing_time": timestamp(result.sensing_time),
        "cells": cells.pop("total"),
        **cells,
        "score": quantiles(result) or None,
        "truth": _agreement([result]),
    }


def _cells(cells: Cells) -> dict[str, int]:
    return {
        "total": cells.total,
        "scored": cells.scored,
        "unknown": cells.unknown,
        "first_look": cells.first_look,
        "not_looked_at": cells.not_looked_at,
    }


def _agreement(passes: Sequence[PassResult]) -> dict[str, Any] | None:
    found = agree(passes)
    if found is None:
        return None
    return {
        "cells": found.cells,
        "positives": found.positives,
        "average_precision": finite(found.average_precision),
        **{f"recall_at_{share * 100:g}pct": finite(value) for share, value in found.recall.items()},
    }
