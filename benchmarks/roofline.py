"""What this machine can do at most on one core, and what share of it the stages reach: reading, copying, multiplying.

Block read: a pass's file in blocks of 5 MB from the page cache. Copy: an array larger than any cache. GEMM: 1024 x
1024, float32 in NumPy and uint8 x int8 (`MatMulInteger`) in ONNX Runtime. The encoder's share is its multiplications
over those of the INT8 GEMM; the reader's its bytes over those of the block read. Batches are swept on the way.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks import granule
from benchmarks.command import warm
from onboard.config import DEFAULT_CHUNK_PX
from onboard.infer.bundle import load_bundle
from onboard.infer.runtime import fastest, load_encoder
from onboard.sense.chunks import plan_chunks
from onboard.sense.grid import CELL
from onboard.sense.stream import open_stream

SIDE = 1024
BATCHES = (1, 8, 16, 32, 64, 128, 256)
WIDTHS = (16, 32, 64)
"""Of the three convolutions of RaVAEn-small, each of 3 x 3 and stride 2."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--side", type=int, default=2_560, help="px of the granule read (default: %(default)s)")
    parser.add_argument("--repeat", type=int, default=7, help="the best of so many counts (default: %(default)s)")
    parser.add_argument("--bundle", default="s2-10", help="default: %(default)s")


def run(args: argparse.Namespace) -> dict[str, Any]:
    (folder,) = granule.prepare(args.side, "tiled", 1)
    warm(folder)
    bundle = load_bundle(args.bundle)
    read_bytes, read_s = _blocks(folder, args.repeat)
    source = np.ones(64 << 20, np.uint8)
    copy_s = _best(lambda: source.copy(), args.repeat)
    a, b = np.ones((2, SIDE, SIDE), np.float32)
    sgemm_s = _best(lambda: a @ b, args.repeat)
    int8_s = _best(_int8_gemm(), args.repeat)
    chunk_bytes, chunk_s = _chunks(folder, bundle.bands, args.repeat)
    sweep = {key: _encode(bundle, *key.split("-"), args.repeat) for key in sorted(bundle.artefacts)}
    macs = macs_per_tile(len(bundle.bands), bundle.latent)
    per_tile = {key: min(found.values()) for key, found in sweep.items()}
    metrics = {
        "block_read_gb_s": round(read_bytes / read_s / 1e9, 2),
        "copy_gb_s": round(source.nbytes / copy_s / 1e9, 2),
        "sgemm_gmac_s": round(SIDE**3 / sgemm_s / 1e9, 1),
        "int8_gemm_gmac_s": round(SIDE**3 / int8_s / 1e9, 1),
        "read_share_of_block_read": round(chunk_bytes / chunk_s / (read_bytes / read_s), 2),
        "macs_per_tile": macs,
        "encode_share_of_int8_gemm": round(macs / per_tile["onnx-int8"] / (SIDE**3 / int8_s), 2),
        **{f"{key}_tiles_per_s": round(1 / seconds) for key, seconds in per_tile.items()},
        **{f"onnx-int8_us_per_tile_batch_{n}": round(s * 1e6, 1) for n, s in sweep["onnx-int8"].items()},
    }
    return {"metrics": metrics, "runs": {"seconds_per_tile_by_batch": sweep}}


def macs_per_tile(bands: int, latent: int) -> int:
    """Multiplications of RaVAEn-small on a tile; its first layer counts the bands it is given."""
    inside, side, macs = bands, CELL, 0
    for outside in WIDTHS:
        side //= 2
        macs += 9 * inside * outside * side * side
        inside = outside
    return macs + inside * side * side * latent


def _best(work: Callable[[], Any], repeat: int) -> float:
    times = []
    for _ in range(repeat):
        start = perf_counter()
        work()
        times.append(perf_counter() - start)
    return min(times)


def _blocks(folder: Path, repeat: int) -> tuple[int, float]:
    """(bytes, best seconds) of the files of a pass."""
    buffer, total = bytearray(5 << 20), sum(file.stat().st_size for file in folder.iterdir())

    def once() -> None:
        for file in folder.iterdir():
            with file.open("rb", buffering=0) as stream:
                while stream.readinto(buffer):
                    pass

    return total, _best(once, repeat)


def _chunks(folder: Path, bands: tuple[str, ...], repeat: int) -> tuple[int, float]:
    """(bytes, best seconds) of a pass read as the loop reads it."""
    (acquisition,) = open_stream(str(folder)).acquisitions
    grid = acquisition.grid
    chunks = plan_chunks(grid.rows, grid.cols, acquisition.block_shape, DEFAULT_CHUNK_PX)
    buffer = np.empty(len(bands) * max(chunk.cells for chunk in chunks) * CELL * CELL, np.uint16)
    with acquisition.open(bands) as reader:

        def once() -> None:
            for chunk in chunks:
                window = chunk.window
                size = len(bands) * window.height * window.width
                reader.read(window, buffer[:size].reshape(len(bands), window.height, window.width))

        return sum(chunk.cells for chunk in chunks) * CELL * CELL * 2 * len(bands), _best(once, repeat)


def _int8_gemm() -> Callable[[], Any]:
    import onnxruntime as ort
    from onnx import TensorProto, helper

    node = helper.make_node("MatMulInteger", ["a", "b"], ["c"])
    inputs = [
        helper.make_tensor_value_info("a", TensorProto.UINT8, [SIDE, SIDE]),
        helper.make_tensor_value_info("b", TensorProto.INT8, [SIDE, SIDE]),
    ]
    output = helper.make_tensor_value_info("c", TensorProto.INT32, [SIDE, SIDE])
    model = helper.make_model(
        helper.make_graph([node], "gemm", inputs, [output]), opset_imports=[helper.make_opsetid("", 13)], ir_version=8
    )
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    fed = {"a": np.ones((SIDE, SIDE), np.uint8), "b": np.ones((SIDE, SIDE), np.int8)}
    return lambda: session.run(None, fed)


def _encode(bundle: Any, runtime: str, precision: str, repeat: int) -> dict[int, float]:
    """Best seconds a tile by batch; a TFLite file has its own."""
    tiles = np.random.default_rng(0).integers(0, 256, (256, len(bundle.bands), CELL, CELL)).astype(np.uint8)
    found = {}
    for batch in BATCHES if runtime == "onnx" else (0,):
        encoder = load_encoder(bundle, runtime, precision, batch=batch or 1)
        fed = fastest(encoder, tiles) if encoder.input_dtype == np.uint8 else (tiles.astype(np.float32) - 128) / 24
        out = np.empty((len(tiles), bundle.latent), np.uint8)
        found[encoder.batch] = _best(lambda e=encoder, f=fed, o=out: e.encode(f, o), repeat) / len(tiles)
    return found
