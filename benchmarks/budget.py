"""Compares metrics with `budget.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

BUDGET = Path(__file__).with_name("budget.toml")


def failures(metrics: Mapping[str, Any], path: Path = BUDGET) -> list[str]:
    """One line for each metric that misses its budget."""
    budget = tomllib.loads(path.read_text(encoding="utf-8"))
    missed = []
    fast = metrics.get("side_px", budget["min_side_px"]) >= budget["min_side_px"]
    for name, limit in budget["at_least"].items():
        if fast and name in metrics and metrics[name] < limit:
            missed.append(f"{name} = {metrics[name]:g}, at least {limit:g} wanted")
    for name, limit in budget["at_most"].items():
        if name in metrics and metrics[name] > limit:
            missed.append(f"{name} = {metrics[name]:g}, at most {limit:g} wanted")
    return missed
