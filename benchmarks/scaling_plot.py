"""The picture of `scaling` and `roofline`: cost of a tile against swath, history, archive and batch, by runtime."""

from __future__ import annotations

from pathlib import Path

from benchmarks.scaling import last

KINDS = {"swath": "width of the swath", "history": "remembered passes", "archive": "places in the store"}


def draw(results: Path, target: Path) -> None:
    """From the last recorded runs of both; PNG or SVG by the name of the target."""
    from matplotlib.figure import Figure

    scaling, roofline = last(results, "scaling"), last(results, "roofline")
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for kind, words in KINDS.items():
        prefix = f"{kind}_us_per_tile_"
        cost = {int(k[len(prefix) : -1]): v for k, v in scaling["metrics"].items() if k.startswith(prefix)}
        left.plot(list(cost), list(cost.values()), marker="o", label=words)
    left.set_xscale("log", base=2)
    left.set(xlabel="times as large", ylabel="processor time, us a tile", title="Cost of a tile, one core")
    left.set_ylim(bottom=0)
    for artefact, sweep in sorted(roofline["runs"]["seconds_per_tile_by_batch"].items()):
        batches = {int(batch): seconds * 1e6 for batch, seconds in sweep.items()}
        right.plot(list(batches), list(batches.values()), marker="o", label=artefact)
    right.set_xscale("log", base=2)
    right.set(xlabel="batch", ylabel="us a tile", title="Encoding, one thread")
    right.set_ylim(bottom=0)
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=8)
    figure.savefig(target)
