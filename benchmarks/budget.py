"""A pass under the budgets of a profile: memory, deadlines, energy, storage; and what every benchmark must reach.

`failures` compares metrics with `budget.toml`: the assertions of all benchmarks.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import granule
from benchmarks.command import Measured, detect
from onboard.budget import load_budget

BUDGET = Path(__file__).with_name("budget.toml")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", default="pi4", metavar="NAME|FILE", help="default: %(default)s")
    parser.add_argument("--side", type=int, default=granule.FULL_SIDE, help="px (default: %(default)s)")
    parser.add_argument("--layout", choices=granule.LAYOUTS, default="tiled", help="default: %(default)s")


def run(args: argparse.Namespace) -> dict[str, Any]:
    first, second = granule.prepare(args.side, args.layout, 2)
    options = ["--profile", args.profile]
    with tempfile.TemporaryDirectory(prefix="onboard-budget-") as name:
        out, store = Path(name) / "out", Path(name) / "store"
        detect([first], out, store, None, [*options, "--deadline", "off"])
        one = detect([second], out, store, None, options)
        told = json.loads((out / "summary.json").read_text(encoding="utf-8"))
        stored = sum(file.stat().st_size for file in store.iterdir()) / 1e6
    budgets, governor = told["budgets"], told["strips"]["governor"] or {}
    used = {
        "memory_mb": one.peak_rss_mb,
        "storage_mb": stored,
        "energy_j_per_row": budgets["energy_j_per_row_used"],
        "pass_mb": told["budget"]["used_bytes"] / 1e6,
    }
    metrics: dict[str, Any] = {f"profile_{key}": round(value, 3) for key, value in used.items()}
    for key, value in used.items():
        if key in budgets:
            metrics[f"over_{key}"] = round(max(value - budgets[key], 0.0), 3)
    if governor:
        metrics |= {"strips": governor["strips"], "strips_skipped": governor["skipped"]}
        metrics["strips_late"] = len(governor["missed"])
    return {"metrics": metrics, "runs": {"pass": [vars(one)], "budgets": budgets}}


def add_profile(parser: argparse.ArgumentParser) -> None:
    """The option `--profile` of the other benchmarks."""
    parser.add_argument("--profile", metavar="NAME|FILE", help="run under its budgets, which become assertions")


def options(profile: str | None, deadline: str = "off") -> list[str]:
    """Of onboard-detect; without a deadline unless it is what is measured."""
    return ["--profile", profile, *(["--deadline", deadline] if deadline else [])] if profile else []


def over(profile: str | None, runs: Sequence[Measured], rows: int) -> dict[str, float]:
    """By how much the worst of some runs went over a profile's memory, and the median over its pace (0 rows: none)."""
    if profile is None:
        return {}
    told = load_budget(profile)
    found = {}
    if told.memory_mb is not None:
        found["over_memory_mb"] = round(max(0.0, max(one.peak_rss_mb for one in runs) - told.memory_mb), 3)
    if told.deadline_ms_per_row is not None and rows:
        taken = statistics.median(one.scored_s for one in runs) / rows * 1e3
        found["over_deadline_ms_per_row"] = round(max(0.0, taken - told.deadline_ms_per_row), 3)
    return found


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
