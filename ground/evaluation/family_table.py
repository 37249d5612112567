"""The table of `ground evaluate family`, from its stored results, and its place in a Markdown page."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import mean, stdev
from typing import Any

BEGIN = "<!-- ground evaluate family: begin -->"
END = "<!-- ground evaluate family: end -->"

REFERENCES = {
    "none": "no latents at all",
    "shipped": "the shipped weights (VAE; had seen the scored scenes, unlabelled)",
    "random": "random weights, untrained",
}
COLUMNS = (
    ("cities", "cosine_tile_ap"), ("cities", "euclidean_tile_ap"), ("cities", "cosine_tile_ap_all"),
    ("cities", "euclidean_tile_ap_all"), ("fires", "cosine_tile_ap"), ("fires", "euclidean_tile_ap"),
    ("cities", "fused_tile_ap"), ("fires", "fused_tile_ap"),
)  # fmt: skip


def table(result: Mapping[str, Any], texts: Mapping[str, str]) -> str:
    """Markdown, average precision x 100; several seeds as mean +- standard deviation.

    Args:
        result: of `run_family`.
        texts: objective -> phrase, in the order of the rows.
    """
    lines = [
        "| trained as | seeds | cities: cosine | L2 | all 8: cosine | L2 | fires: cosine | L2 | fused: cities | fires "
        "| heads | s |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, text in (REFERENCES | dict(texts)).items():
        runs = [run for key, run in result["metrics"].items() if key.rsplit("/", 1)[0] == name]
        if not runs:
            continue
        cells = [_figure([run[kind].get(key) for run in runs if kind in run]) for kind, key in COLUMNS]
        heads, seconds = _known(runs, "parameters_of_heads"), _known(runs, "training_cpu_seconds")
        cells += [f"{heads[0]:,.0f}" if heads else "", f"{mean(seconds):.0f}" if any(seconds) else ""]
        lines.append(f"| {text} | {len(runs) if name in texts or name == 'random' else ''} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n\n" + _network(result)


def _known(runs: list[Mapping[str, Any]], key: str) -> list[float]:
    return [float(run["cities"][key]) for run in runs if key in run.get("cities", {})]


def _figure(values: list[float | None]) -> str:
    known = [100 * value for value in values if value is not None]
    if not known:
        return ""
    return f"{mean(known):.1f}" + (f" ± {stdev(known):.1f}" if len(known) > 1 else "")


def _network(result: Mapping[str, Any]) -> str:
    parts = [
        f"{one['parameters']:,} parameters, {one['macs']:,} multiply-accumulates, {one['us_per_tile']:.0f} us "
        f"per tile ({kind})"
        for kind, one in result["network"].items()
    ]
    return f"The same encoder flies in every row: {'; '.join(parts)}; torch float32, one thread of a shared machine."
