"""Parity gates: thresholds from `gates.toml`, and the lines that say which of them a report misses."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

GATES = Path(__file__).with_name("gates.toml")


def failures(report: Mapping[str, Any], path: Path = GATES) -> list[str]:
    """One line for each figure of `parity.report` that misses its gate; empty where the bundle may be packed.

    A figure that is gated but not there, or not a number, is a miss.

    Raises:
        ValueError: the file is no TOML.
    """
    gates = tomllib.loads(path.read_text(encoding="utf-8"))
    missed = []
    for kind, figures in report.items():
        precision = kind.rpartition("-")[2]
        if kind != precision and precision in gates and isinstance(figures, Mapping):
            for name, limit in gates[precision].get("at_least", {}).items():
                if not figures.get(name, float("nan")) >= limit:
                    missed.append(f"{kind}: {name} is {figures.get(name)}, at least {limit:g} wanted")
            for name, limit in gates[precision].get("at_most", {}).items():
                if not figures.get(name, float("nan")) <= limit:
                    missed.append(f"{kind}: {name} is {figures.get(name)}, at most {limit:g} wanted")
    limit = gates.get("detection", {}).get("at_most", {}).get("lost")
    for name, value in _numbers(report.get("detection", {})):
        if limit is not None and "lost by" in name and not value <= limit:
            missed.append(f"detection: {name} is {value:g}, at most {limit:g} wanted")
    return missed


def _numbers(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, float]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{before}{key}, ")
        elif isinstance(value, (int, float)):
            yield before + key, float(value)
