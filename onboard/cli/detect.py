"""`onboard-detect STREAM... --out DIR`: look at every acquisition, score change, keep the best products, report."""

from __future__ import annotations

import argparse
import gc
import logging
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter, time

from onboard import __version__
from onboard.cli.console import ProgressBar, Stopper, above_zero, positive, run_command
from onboard.clock import Stages
from onboard.config import DEFAULT_HISTORY, PRODUCTS, SCORE_RULES, DetectConfig
from onboard.errors import (
    EXIT_CODES_HELP,
    EXIT_INTERRUPTED,
    EXIT_NO_INPUT,
    EXIT_OK,
    EXIT_PARTIAL,
    EmptyStreamError,
    InputError,
    UsageError,
)

log = logging.getLogger("onboard.detect")

DEFAULT_BUDGET_MB = 10.0

STREAM_HELP = """a place in time order: a folder of GeoTIFF/COG acquisitions (band names in the descriptions),
.SAFE products (folder or zip), a netCDF cube, or sim:SEED (a simulated landscape)"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(
        prog="onboard-detect",
        description="Stream Sentinel-2 acquisitions, score every 320 m cell by its distance to the memory of past "
        "passes, and keep the most changed cells as products under a byte budget.",
        epilog=EXIT_CODES_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("streams", nargs="+", metavar="STREAM", help=STREAM_HELP)
    p.add_argument("--out", required=True, type=Path, metavar="DIR", help="results go here")
    p.add_argument("--store", type=Path, metavar="DIR", help="memory and state (default: OUT/store)")
    p.add_argument(
        "--bundle", default="auto", metavar="NAME|DIR",
        help="model bundle: one that ships (s2-10, fire, rgbn), a folder, or auto: the one that is installed, else the "
        "richest that fits the bands",
    )  # fmt: skip
    slots = os.environ.get("ONBOARD_SLOTS")
    p.add_argument(
        "--slots", type=Path, metavar="DIR", default=Path(slots) if slots else None,
        help="slots of onboard-install (default: $ONBOARD_SLOTS)",
    )  # fmt: skip
    p.add_argument(
        "--runtime", choices=("onnx", "tflite", "auto"),
        help="auto: onnx where it runs, else tflite; neither reads what the other remembered (default: the profile's, "
        "else onnx)",
    )  # fmt: skip
    p.add_argument("--precision", default="int8", choices=("int8", "fp32"), help="default: %(default)s")
    p.add_argument("--score", choices=SCORE_RULES, help="distance of latents (default: the bundle's own rule)")
    p.add_argument(
        "--history", type=positive, default=DEFAULT_HISTORY, metavar="K",
        help="how many of the newest clear past looks a cell is compared with (default: %(default)s)",
    )  # fmt: skip
    p.add_argument(
        "--budget-mb", type=float, metavar="MB",
        help="bytes of products that are kept (default: a pass of the profile, else 10)",
    )  # fmt: skip
    p.add_argument(
        "--profile", metavar="NAME|FILE",
        help="budgets of a computer: pi4, pi5, jetson-orin-nano, smallsat-512mb, or a TOML file of that form. Chunks "
        "and queues are sized for its memory before start; one that cannot hold is refused",
    )  # fmt: skip
    p.add_argument(
        "--deadline", type=deadline, metavar="off|MS",
        help="milliseconds for a row of cells: where strips take longer, enhancing, lossless coding, history and every "
        "other strip are dropped in this order; what is skipped is not looked at. off: the run does not depend on time "
        "(default: the profile's, else off)",
    )  # fmt: skip
    p.add_argument(
        "--priority", type=Path, metavar="FILE",
        help="GeoJSON polygons (WGS84) with a number `weight` each: cells there count so many times",
    )  # fmt: skip
    p.add_argument(
        "--min-valid", type=float, default=0.5, metavar="SHARE",
        help="a cell with fewer valid pixels is unknown (0..1, default: %(default)s)",
    )  # fmt: skip
    p.add_argument(
        "--threads", type=positive, metavar="N", help="threads that look at pixels (default: the profile's, else 2)"
    )
    p.add_argument(
        "--group-cells", type=positive, default=2048, metavar="N", help="cells per commit (default: %(default)s)"
    )
    p.add_argument(
        "--head", action="append", default=[], type=Path, metavar="FILE", help="name the class of detections; repeat"
    )
    p.add_argument(
        "--products", type=_products, default=("raw",), metavar="KINDS",
        help="raw, or raw,enhanced: regions at twice the resolution besides, as estimates that say so (default: raw)",
    )  # fmt: skip
    p.add_argument(
        "--denoise", metavar="NAME|DIR", help="a denoiser (`onboard-enhance --list`) takes the noise off what the "
        "encoder sees; products stay as measured. From a place's first pass on, or not at all",
    )  # fmt: skip
    p.add_argument("--snr", type=above_zero, metavar="X",
                   help="of the sensor for --denoise: signal over standard deviation at the mean")  # fmt: skip
    p.add_argument("--geotiff", action="store_true", help="also write every product as a GeoTIFF, for QGIS")
    p.add_argument("--json", action="store_true", help="print summary.json on stdout")
    p.add_argument("--verbose", action="store_true", help="log more")
    p.add_argument("--version", action="version", version=f"onboard-detect {__version__}")
    return p


def deadline(text: str) -> float:
    """Seconds for a row of cells, for argparse; infinite: no deadline."""
    if text == "off":
        return math.inf
    milliseconds = float(text)
    if not 0 < milliseconds < math.inf:
        raise argparse.ArgumentTypeError("off, or milliseconds above 0")
    return milliseconds / 1e3


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run_command(parser().parse_args(argv), run, log)


def run(args: argparse.Namespace) -> int:
    """Everything between the command line and the exit code."""
    from onboard.budget import load_budget, size_up
    from onboard.change.classify import Classifier, load_head
    from onboard.change.record import record_dtype
    from onboard.downlink.areas import load_areas
    from onboard.infer.pick import pick_bundle
    from onboard.infer.runtime import load_encoder
    from onboard.keeper import Keeper
    from onboard.loop import Detector
    from onboard.resident import give_back, share_one_heap
    from onboard.sense.acquisition import Acquisition
    from onboard.sense.raster import DECODED_BYTES, set_cache
    from onboard.store import Store

    if args.snr is not None and args.denoise is None:
        raise UsageError("--snr: says how noisy a sensor is to --denoise, which is not given")
    share_one_heap()
    start, stages, bar, stopper = perf_counter(), Stages(), ProgressBar(), Stopper()
    areas = load_areas(args.priority) if args.priority else None
    budget = load_budget(args.profile) if args.profile else None
    runtime = args.runtime or (budget and budget.runtime) or "onnx"
    with stages.time("open"):
        streams, bad_streams = _open_streams(args.streams)
    present = [{band.name for band in one.bands} for stream in streams for one in stream.acquisitions]
    with stages.time("load model"):
        if budget is not None and budget.memory_mb is not None:
            give_back()  # what opening the streams needed
        keeper = Keeper(
            lambda bundle: load_encoder(bundle, runtime, args.precision, batch=DetectConfig.batch),
            lambda: pick_bundle(args.bundle, present),
            args.slots if args.bundle == "auto" else None,
        )
    gc.freeze()  # no collection has to look through what starting up made
    bundle, encoder = keeper.current.bundle, keeper.current.encoder
    kept_mb = (budget and budget.pass_mb) or DEFAULT_BUDGET_MB if args.budget_mb is None else args.budget_mb
    per_row = args.deadline
    if per_row is None and budget is not None and budget.deadline_ms_per_row is not None:
        per_row = budget.deadline_ms_per_row / 1e3
    config = DetectConfig(
        bundle=bundle.name, runtime=encoder.artefact.runtime, precision=args.precision, score=args.score,
        history=args.history, min_valid=args.min_valid, budget_bytes=round(kept_mb * 1e6),
        threads=args.threads or (budget and budget.threads) or 2, group_cells=args.group_cells, products=args.products,
        storage_bytes=round(budget.storage_mb * 1e6) if budget and budget.storage_mb else None,
        denoiser=args.denoise, denoiser_snr=args.snr,
        deadline_s_per_row=None if per_row is None or math.isinf(per_row) else per_row,
    )  # fmt: skip
    set_cache(DECODED_BYTES)  # a run before this one in the same process may have had less
    if budget is not None and budget.memory_mb is not None:
        acquisitions = [one for stream in streams for one in stream.acquisitions]
        plan = size_up(budget, config.runtime, bundle.bands, config.threads, acquisitions, config)
        set_cache(plan.cache_bytes)
        config = replace(config, chunk_px=plan.chunk_px, read_ahead=plan.read_ahead)
        log.info("budget %s: %s", budget.name, plan)

    def progress(acquisition: Acquisition, done: int, total: int) -> None:
        bar(acquisition.product_id, done, total)
        if done == total:
            log.info("looked at %s", acquisition.product_id, extra={"fields": {"cells": total}})

    heads = [load_head(path) for path in args.head]
    with Store(args.store or args.out / "store") as store:
        classifier = (
            Classifier(
                heads,
                store.memory,
                encoder.artefact.sha256,
                record_dtype(bundle.latent, bundle.bands),
                config.history,
                config.lookback,
            )
            if heads
            else None
        )  # a head of another model ends the run before it begins
        if store.memory.reset:
            log.warning("%s: began a new memory, every place is a first look", store.memory.reset)
        with stopper:
            queries = store.state.orders.queries(time())
            if queries:
                log.info("%d queries of operators are in force", len(queries))
            detector = Detector(
                config, bundle, encoder, store, stages, progress, stopper.asked, areas, queries, keeper
            )  # fmt: skip
            result = detector.detect(streams)
            wall_seconds = perf_counter() - start
        bundle, encoder = keeper.current.bundle, keeper.current.encoder
        result.refused[:0] = bad_streams + keeper.faults
        for fault in result.refused:
            log.warning("refused: %s", fault, extra={"fields": {"kind": fault.kind}})
        for source in result.sources.values():
            for note in source.notes:
                log.info("%s: %s", source.where, note)
        with stages.time("report"):
            from onboard.report.collect import collect  # here: no score waits for what only the report needs
            from onboard.report.governed import in_time
            from onboard.report.products import write_products
            from onboard.report.write import write_all

            outcome = collect(
                store,
                result,
                streams,
                config,
                bundle,
                encoder,
                stages.seconds,
                wall_seconds,
                classifier,
                budget,
            )
            written = write_products(store, outcome, args.out, args.geotiff)
            written += write_all(outcome, args.out)
    keeper.close(result.tiles)
    if args.json:
        print((args.out / "summary.json").read_text(encoding="utf-8"))
    if result.interrupted:
        log.warning("interrupted; run again to continue")
        return EXIT_INTERRUPTED
    log.info(
        "%d cells looked at, %d products of %d bytes queued; open %s",
        outcome.tiles, len(outcome.detections), outcome.used_bytes, args.out / "report.html",
    )  # fmt: skip
    if told := in_time(outcome):
        log.info("deadline: %s", told)
    if not result.looked_at:
        log.error("nothing usable in %s", " ".join(args.streams))
        return EXIT_NO_INPUT
    return EXIT_PARTIAL if result.refused else EXIT_OK


def _products(text: str) -> tuple[str, ...]:
    kinds = tuple(part.strip() for part in text.split(","))
    if "raw" not in kinds or len(set(kinds)) != len(kinds) or not set(kinds) <= set(PRODUCTS):
        raise argparse.ArgumentTypeError(f"{text!r} is neither raw nor raw,enhanced")
    return kinds


def _open_streams(specs: Sequence[str]):  # type: ignore[no-untyped-def]
    from onboard.sense.stream import Stream, open_stream

    streams: list[Stream] = []
    refused: list[InputError] = []
    for spec in specs:
        try:
            streams.append(open_stream(spec))
        except InputError as error:
            refused.append(error)
    if not streams:
        raise EmptyStreamError("; ".join(str(error) for error in refused))
    return streams, refused


if __name__ == "__main__":
    sys.exit(main())
