"""Pixels on disk -> committed scores and memory, in tiles/s: the real command, end to end.

A fresh store sees `--history` passes first; the pass after them is measured from its own copy of that store, as raw
tiles on two cores and on one, in the page cache ("warm") and dropped from it ("cold"), with the score that ships and
with the plain one (least cosine distance), as raw strips of 32 lines (what is remembered lies as the tiles did), a few
pixels off its place, as deflate GeoTIFF, and as a `.SAFE` product in lossless JPEG 2000. A tile counts from the start
of the command, once Python has its imports (model, pre-scan and registration included), to its committed score; coding
the products that stay comes after it (`..._with_products`), and the report is in `wall_s`.

`jp2_share_of_decoder` is the time that decoding every block once takes, on as many threads, over the time of the run,
one after the other. `work_share` is what the stages take one by one (`benchmarks/alone.py`, after each run) over what
all cores spent. `raw_tiles_per_s_apart` is what this machine can do with this code if nobody waits for anybody: two
processes that share nothing, each on its own core with its own granule, counted by their processor time right after
each run.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import alone, budget, decode, granule
from benchmarks.command import Measured, cool, copied, detect, warm

PLAIN = ("--score", "cosine")
OVERHEAD = ("rest",)
"""Of `alone`, what belongs to no stage."""


@dataclass(frozen=True)
class Case:
    """How a pass is measured: a layout of its file, cores, page cache, options; its name in the metrics."""

    layout: str
    name: str
    cores: int = 2
    cold: bool = False
    options: tuple[str, ...] = ()


CASES = (
    Case("tiled", "raw_two_cores"),
    Case("tiled", "raw_one_core", cores=1),
    Case("tiled", "raw_two_cores_cold", cold=True),
    Case("tiled", "plain_two_cores", options=PLAIN),
    Case("tiled", "plain_one_core", cores=1, options=PLAIN),
    Case("strips", "strips_two_cores"),
    Case("moved", "moved_two_cores"),
    Case("deflate", "deflate_two_cores"),
    Case("jp2", "jp2_two_cores"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    budget.add_profile(parser)
    parser.add_argument("--side", type=int, default=granule.FULL_SIDE, help="px (default: %(default)s)")
    parser.add_argument("--history", type=int, default=3, help="passes in the memory (default: %(default)s)")
    parser.add_argument("--repeat", type=int, default=3, help="medians of so many runs (default: %(default)s)")
    parser.add_argument("--jp2-repeat", type=int, default=1, help="of JPEG 2000, which is slow (default: %(default)s)")
    parser.add_argument("--only", choices=[case.name for case in CASES], action="append", help="default: all")
    parser.add_argument("--quick", action="store_true", help="2,560 px, one run of each")
    parser.add_argument("--bundle", default="s2-10", help="default: %(default)s")
    parser.add_argument("--score", help="default: the bundle's own")


def run(args: argparse.Namespace) -> dict[str, Any]:
    if args.quick:
        args.side, args.repeat, args.jp2_repeat = 2_560, 1, 1
    metrics: dict[str, Any] = {"history": args.history, "side_px": args.side}
    details: dict[str, list[Any]] = {}
    options = ["--bundle", args.bundle, *(["--score", args.score] if args.score else []), *budget.options(args.profile)]
    cases = [case for case in CASES if not args.only or case.name in args.only]
    with tempfile.TemporaryDirectory(prefix="onboard-throughput-") as name:
        seeded = _seed(Path(name), args, options)
        for case in cases:
            stream = granule.prepare_one(args.side, args.side, case.layout, args.history + 1)
            runs, decoded, stages, apart = [], [], [], []
            for _ in range(args.jp2_repeat if case.layout == "jp2" else args.repeat):
                one, left = _once(stream, seeded, case, [*options, *case.options])
                runs.append(one)
                if case.cold:
                    metrics["cold_share_still_cached"] = round(left, 3)
                if case.layout == "jp2":  # side by side: whatever disturbs the machine disturbs both
                    decoded.append(decode.alone(stream, case.cores))
                if case.name in ("raw_two_cores", "plain_two_cores"):  # likewise
                    stages += _alone(stream, seeded, args.bundle, case)
                if case.name == "raw_two_cores":
                    apart.append(_alone(stream, seeded, args.bundle, case, at_once=case.cores))
            details[case.name] = [vars(one) for one in runs]
            metrics |= _metrics(case.name, runs)
            if decoded:
                details["jp2_decoding_alone"] = decoded
                shares = [d["wall_s"] / one.scored_s for d, one in zip(decoded, runs, strict=True)]
                metrics["jp2_share_of_decoder"] = round(statistics.median(shares), 3)
            if stages:
                details[f"{case.name}_alone"] = stages
                label = "work_share" if case.name.startswith("raw") else "plain_work_share"
                shares = [work_share(alone, one) for alone, one in zip(stages, runs, strict=True)]
                metrics[label] = round(statistics.median(shares), 3)
            if apart:
                details[f"{case.name}_apart"] = apart
                metrics["raw_tiles_per_s_apart"] = round(statistics.median(map(tiles_per_s, apart)))
                shares = [one.tiles_per_s / tiles_per_s(two) for two, one in zip(apart, runs, strict=True)]
                metrics["raw_share_of_apart"] = round(statistics.median(shares), 3)
            if case.name == "raw_two_cores":
                metrics["granule_peak_rss_mb"] = round(max(one.peak_rss_mb for one in runs), 1)
                metrics |= budget.over(args.profile, runs, args.side // 32)
    return {"metrics": metrics, "runs": details}


def work_share(stages: dict[str, float], one: Measured, cores: int = 2) -> float:
    """Processor seconds of the stages measured alone, over all that the cores had until the last score."""
    work = sum(seconds for stage, seconds in stages.items() if stage not in ("tiles", *OVERHEAD))
    return work / (cores * one.scored_s)


def tiles_per_s(at_once: Sequence[dict[str, float]]) -> float:
    """Of processes beside each other, each by all the processor time it took."""
    return sum(one["tiles"] / sum(seconds for key, seconds in one.items() if key != "tiles") for one in at_once)


def _metrics(name: str, runs: Sequence[Measured]) -> dict[str, Any]:
    label, _, which = name.partition("_")
    return {
        f"{label}_tiles_per_s_{which}": round(statistics.median(one.tiles_per_s for one in runs)),
        f"{label}_tiles_per_s_{which}_with_products": round(statistics.median(r.tiles / r.coded_s for r in runs)),
        f"{label}_cpu_us_per_tile_{which}": round(statistics.median(r.cpu_s / r.tiles * 1e6 for r in runs), 1),
        f"{label}_peak_rss_mb_{which}": round(max(one.peak_rss_mb for one in runs), 1),
    }


def _seed(folder: Path, args: argparse.Namespace, options: list[str]) -> Path:
    """A store that remembers `--history` passes."""
    store = folder / "seeded"
    for past in granule.prepare(args.side, "tiled", args.history):
        detect([past], folder / "past", store, 2, options)
    return store


def _once(stream: Path, seeded: Path, case: Case, options: list[str]) -> tuple[Measured, float]:
    """The run, and the share of the pass that stayed in the page cache where it was to be cold."""
    work = Path(tempfile.mkdtemp(dir=seeded.parent))
    try:
        copied(seeded, work / "store")
        left = cool(stream) if case.cold else 0.0
        if not case.cold:
            warm(stream)
        return detect([stream], work / "out", work / "store", case.cores, options), left
    finally:
        shutil.rmtree(work)


def _alone(stream: Path, seeded: Path, bundle: str, case: Case, at_once: int = 1) -> list[dict[str, float]]:
    work = Path(tempfile.mkdtemp(dir=seeded.parent))
    try:
        stores = [copied(seeded, work / f"store{index}") for index in range(at_once)]
        score = case.options[-1] if case.options else None
        return alone.stages(stream, stores, {"bundle": bundle, "score": score})
    finally:
        shutil.rmtree(work)
