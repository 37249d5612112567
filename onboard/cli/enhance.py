"""`onboard-enhance IN OUT`: a GeoTIFF of any size, sharper or cleaner, block by block in bounded memory."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from onboard import __version__
from onboard.cli.console import ProgressBar, above_zero, positive, run_command
from onboard.errors import EXIT_OK, UsageError

log = logging.getLogger("onboard.enhance")

EXIT_CODES = """exit codes:
  0    written
  1    internal error (a bug: please report the log line)
  2    wrong usage
  3    IN cannot be used, or OUT not written; OUT is as it was before
  5    the model is damaged, or cannot run
  7    the disk is full; OUT is as it was before
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(
        prog="onboard-enhance",
        description="Enlarge a GeoTIFF of 8 or 16 bits, or remove its noise. What comes out is an estimate: a tag "
        "in it names the model. The same pixels come out whatever the size of the blocks.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("source", type=Path, metavar="IN", help="GeoTIFF, uint8 or uint16, any number of bands")
    p.add_argument("target", type=Path, metavar="OUT", help="GeoTIFF, written when it is whole")
    p.add_argument("--model", default="sr-x2-s2", metavar="NAME|DIR", help="default: %(default)s; --list names them")
    p.add_argument("--precision", choices=("auto", "int8", "fp32"), default="auto",
                   help="auto: int8 where the model has it (default)")  # fmt: skip
    p.add_argument("--runtime", choices=("onnx", "tflite"), default="onnx", help="default: %(default)s")
    p.add_argument("--snr", type=above_zero, metavar="X", help="of the image at its mean, for denoisers")
    p.add_argument("--destripe", action="store_true", help="take off what each detector adds to its column first; for "
                   "images in the sensor's own geometry")  # fmt: skip
    p.add_argument("--full-scale", type=above_zero, metavar="DN", help="DN that fill the network's 8 bits (default: "
                   "255 for 8-bit images, else the 99.9th percentile of a sample of lines)")  # fmt: skip
    p.add_argument("--block", type=_even, default=256, metavar="PX", help="side of a block (default: %(default)s)")
    p.add_argument("--compress", choices=("deflate", "lzw", "zstd", "none"), default="deflate", help="of OUT")
    p.add_argument("--threads", type=positive, default=1, metavar="N", help="of the network (default: %(default)s)")
    p.add_argument("--overwrite", action="store_true", help="replace OUT")
    p.add_argument("--json", action="store_true", help="print what was done as JSON on stdout")
    p.add_argument("--verbose", action="store_true", help="log more")
    p.add_argument("--list", action=_List, nargs=0, help="print the models that ship, and exit")
    p.add_argument("--version", action="version", version=f"onboard-enhance {__version__}")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run_command(parser().parse_args(argv), run, log)


def run(args: argparse.Namespace) -> int:
    """Everything between the command line and the exit code."""
    from onboard.restore.geotiff import Choices, enhance_file
    from onboard.restore.model import Network, load_model

    if args.target.exists() and not args.overwrite:
        raise UsageError(f"{args.target}: there already; --overwrite replaces it")
    if args.target.exists() and args.source.exists() and args.target.samefile(args.source):
        raise UsageError(f"{args.target}: is IN itself")
    if not args.target.parent.is_dir():
        raise UsageError(f"{args.target.parent}: no such folder")
    model = load_model(args.model)
    if args.snr is not None and model.noise is None:
        raise UsageError(f"--snr: model {model.name} takes no noise level")
    network = Network(model, args.precision, args.threads, args.runtime)
    choices = Choices(args.snr, args.full_scale, args.block, args.compress, args.destripe)
    bar = ProgressBar()
    start = perf_counter()
    done = enhance_file(
        args.source, args.target, network, choices, lambda block, blocks: bar(args.source.name, block, blocks)
    )
    seconds = perf_counter() - start
    log.info("%s: %d x %d px, %d bands, %.1f s", args.target, done.width, done.height, done.bands, seconds)
    if args.json:
        megapixels = done.width * done.height * done.bands / model.scale**2 / 1e6
        print(json.dumps({
            "model": model.name, "task": model.task, "scale": model.scale, "artefact": network.artefact.key,
            "sha256": network.artefact.sha256, "width": done.width, "height": done.height, "bands": done.bands,
            "blocks": done.blocks, "full_scale": done.full_scale, "seconds": round(seconds, 3),
            "seconds_per_megapixel": round(seconds / megapixels, 4),
            "mean_deviation_dn": round(done.mean_deviation, 4), "worst_deviation_dn": round(done.worst_deviation, 2),
        }))  # fmt: skip
    return EXIT_OK


class _List(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from onboard.restore.model import load_model, shipped_models

        for name in shipped_models():
            model = load_model(name)
            print(f"{name:16} {model.task}, scale {model.scale}, {model.about.get('imagery', '')}")
        parser.exit()


def _even(text: str) -> int:
    value = positive(text)
    if value % 2 or value < 16:
        raise argparse.ArgumentTypeError("must be even and at least 16")
    return value


if __name__ == "__main__":
    sys.exit(main())
