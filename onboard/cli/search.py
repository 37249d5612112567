"""`onboard-search --store DIR --cell ROW,COL`: where else does it look like this? GeoJSON of the most similar cells."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from onboard import __version__
from onboard.cli.console import run_command
from onboard.errors import EXIT_OK, EmptyStreamError, InputError, OnboardError, UsageError

if TYPE_CHECKING:
    from onboard.change.remembered import Model
    from onboard.change.similar import Question
    from onboard.store.recall import Recall, RememberedPass

log = logging.getLogger("onboard.search")

EXIT_CODES = """exit codes:
  0    searched
  1    internal error (a bug: please report the log line)
  2    wrong usage
  3    an IMAGE cannot be used
  4    nothing is remembered: of anything, or of the cell asked for
  5    the model bundle is damaged, or not the one that the memory was made with
  6    no store there, of another version, or damaged
  7    the disk is full (the latent archive needs 152 bytes a look)
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(
        prog="onboard-search",
        description="Find the remembered cells whose latents are nearest to those of an example: exact, over every "
        "cell in the store. Runs beside onboard-detect; the first search after a pass writes a compact archive.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--store", required=True, type=Path, metavar="DIR", help="the store of onboard-detect")
    example = p.add_mutually_exclusive_group(required=True)
    example.add_argument("--cell", type=_cell, metavar="ROW,COL", help="like this cell")
    example.add_argument("--like", nargs="+", type=Path, metavar="IMAGE", help="like any of these products (.obp)")
    p.add_argument("--grid", type=int, metavar="ID", help="grid of --cell, as in gID_..., where the store has several")
    p.add_argument("--product", metavar="ID", help="pass of --cell (default: its newest clear look)")
    p.add_argument("--top", type=_positive, default=20, metavar="N", help="how many (default: %(default)s)")
    p.add_argument("--metric", choices=("cosine", "euclidean"), default="cosine", help="default: %(default)s")
    p.add_argument("--all-passes", action="store_true", help="every look (default: the newest clear one of each cell)")
    p.add_argument("--bundle", default="auto", metavar="NAME|DIR", help="model whose latents are searched")
    p.add_argument("--rebuild", action="store_true", help="make the latent archive anew")
    p.add_argument("--out", type=Path, metavar="FILE", help="GeoJSON goes here (default: stdout)")
    p.add_argument("--json", action="store_true", help="print what was found as plain JSON on stdout")
    p.add_argument("--verbose", action="store_true", help="log more")
    p.add_argument("--version", action="version", version=f"onboard-search {__version__}")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run_command(parser().parse_args(argv), run, log)


def run(args: argparse.Namespace) -> int:
    """Everything between the command line and the exit code."""
    from onboard.change.remembered import pick_model
    from onboard.change.similar import find_similar
    from onboard.report.similar import properties, render
    from onboard.store.recall import Recall

    if args.like and (args.grid is not None or args.product):
        raise UsageError("--grid and --product go with --cell")
    with Recall(args.store) as recall:
        model = pick_model(args.bundle, recall)
        passes = recall.passes(model.artefact.sha256, model.dtype)
        if not any(one.cells for one in passes):
            raise EmptyStreamError(f"{args.store}: nothing is remembered with bundle {model.bundle.name}")
        ask = _by_cell if args.cell else _by_image
        question, names = ask(args, recall, passes, model)
        start = perf_counter()
        found, searched = find_similar(question, recall, passes, model, args.rebuild, log.warning)
        seconds = perf_counter() - start
    log.info("searched %d looks in %.2f s", searched, seconds)
    text = render(found, names)
    if args.out:
        try:
            args.out.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{args.out}: cannot be written ({error.strerror})") from error
    if args.json:
        cells = [properties(rank, one, names) for rank, one in enumerate(found, start=1)]
        print(json.dumps({"searched": searched, "seconds": round(seconds, 3), "metric": args.metric, "cells": cells}))
    elif not args.out:
        sys.stdout.write(text)
    return EXIT_OK


def _by_cell(
    args: argparse.Namespace, recall: Recall, passes: list[RememberedPass], model: Model
) -> tuple[Question, list[str]]:
    """The latent that is remembered of a cell."""
    from onboard.change.remembered import find_look, pick_grid
    from onboard.change.similar import Question

    grid, (row, col) = pick_grid(recall.grids(), args.grid), args.cell
    if not (row < grid.grid.rows and col < grid.grid.cols):
        raise UsageError(f"cell {row},{col}: grid {grid.id} has {grid.grid.rows} x {grid.grid.cols} cells")
    look = find_look(recall, passes, grid, (row, col), model.dtype, args.product)
    if look is None:
        seen = f"in product {args.product}" if args.product else "remembered"
        raise EmptyStreamError(f"cell {row},{col} of grid {grid.id}: no clear look {seen}")
    name = f"{row},{col} of {look.seen.product_id}"
    without = (grid.key, row, col)
    return Question(look.record["latent"], args.metric, args.top, args.all_passes, without), [name]


def _by_image(
    args: argparse.Namespace, recall: Recall, passes: list[RememberedPass], model: Model
) -> tuple[Question, list[str]]:
    """The latents of products, encoded like a look of this satellite."""
    import numpy as np

    from onboard.change.example import encode_product, scene_of
    from onboard.change.similar import Question
    from onboard.downlink.product import decode
    from onboard.infer.runtime import load_encoder

    encoder = load_encoder(model.bundle, *model.runtime)
    latents, names = [], []
    for path in args.like:
        try:
            product = decode(path.read_bytes())
        except OSError as error:
            raise InputError(str(path), f"cannot be read ({error.strerror})", "missing") from error
        except OnboardError as error:
            raise InputError(str(path), str(error), "product") from error
        statistics, own = scene_of(product, passes)
        if not own:
            log.warning("%s: its pass is not remembered; read with the usual statistics of those that are", path)
        found = encode_product(product, model, encoder, statistics, str(path))
        latents.append(found)
        names += [path.name] * len(found)
    return Question(np.concatenate(latents), args.metric, args.top, args.all_passes), names


def _cell(text: str) -> tuple[int, int]:
    row, _, col = text.partition(",")
    if not (row.isdecimal() and col.isdecimal()):
        raise argparse.ArgumentTypeError("must be ROW,COL, e.g. 12,40")
    return int(row), int(col)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


if __name__ == "__main__":
    sys.exit(main())
