"""LiteRT (TFLite) behind the face of `onnx.py`: tiles (N, B, 32, 32) in, latents on the artefact's uint8 scale out.

A TFLite file has a fixed batch, and its integers are int8. All of that ends here: uint8 becomes int8 by one bit
(u - 128) while tiles are copied in, the last batch is filled up, and an interpreter, which is not thread-safe, is lent
to one thread at a time.
"""

from __future__ import annotations

from collections import deque
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard.errors import BundleError
from onboard.infer.bundle import Artefact, Tensor
from onboard.infer.scale import stored
from onboard.sense.grid import CELL

PACKAGES = ("ai_edge_litert", "tflite_runtime")
"""In this order. tflite_runtime ended in 2023; with NumPy 2 it imports but cannot make an Interpreter. Its INT8 kernels
round 8 % of the latents by one step otherwise, and take five times as long: what it remembers has a tag of its own."""
SIGN = np.uint8(0x80)
"""int8 = uint8 - 128, which is one flipped bit."""


class TfliteEncoder:
    """An encoder in LiteRT.

    Args:
        artefact: the file to run, checked by its bundle.
        threads: of one call of an interpreter.

    Raises:
        BundleError: no package can make an Interpreter of it, or its tensors are not what the manifest promises.
    """

    def __init__(self, artefact: Artefact, threads: int = 1) -> None:
        self._threads = threads
        self.engine, first = _find_interpreter(artefact, threads)
        self._class = type(first)
        self.artefact = artefact.tagged(self.engine)
        source, target = _tensors(artefact, first)
        shape = tuple(map(int, source["shape"][1:]))
        if shape[1:] != (CELL, CELL):
            raise BundleError(f"{artefact.path}: takes tiles of shape {shape}, not bands first; export it anew")
        self._integer = source["dtype"] == np.int8
        self._source, self._target = int(source["index"]), int(target["index"])
        self.batch = int(source["shape"][0])
        self.input_dtype = np.dtype(np.uint8 if self._integer else np.float32)
        self.channels = 0
        self._idle: deque[Any] = deque([first])

    def encode(self, tiles: NDArray[Any], out: NDArray[np.uint8]) -> None:
        """Encode tiles in batches; any number of threads may call it at once.

        Args:
            tiles: (N, B, 32, 32) of `input_dtype`.
            out: uint8 (N, latent), overwritten; latent = (stored - zero_point) * scale of the artefact's output.
        """
        try:
            interpreter = self._idle.pop()
        except IndexError:
            interpreter = _make(self._class, self.artefact, self._threads)  # it made one of this file before
        for start in range(0, len(tiles), self.batch):
            stop = min(start + self.batch, len(tiles))
            self._run(interpreter, tiles[start:stop], out[start:stop])
        if self._integer:
            np.bitwise_xor(out, SIGN, out=out)
        self._idle.append(interpreter)

    def _run(self, interpreter: Any, tiles: NDArray[Any], out: NDArray[np.uint8]) -> None:
        """At most one batch, integers with their sign as they are. Rows that are not filled keep what they held: no row
        reads another."""
        count = len(tiles)
        held = interpreter.tensor(self._source)()[:count]  # a view into the interpreter, gone before it runs
        if self._integer:
            np.bitwise_xor(tiles, SIGN, out=held.view(np.uint8))
        else:
            held[...] = tiles
        del held
        interpreter.invoke()
        latent = interpreter.tensor(self._target)()[:count]
        out[...] = latent.view(np.uint8) if self._integer else stored(latent, self.artefact)


def open_interpreter(artefact: Artefact, threads: int = 1) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """An interpreter, its input and its output.

    Raises:
        BundleError: no package can make one of the file, or its tensors are not what the manifest promises.
    """
    _, found = _find_interpreter(artefact, threads)
    return (found, *_tensors(artefact, found))


def _find_interpreter(artefact: Artefact, threads: int) -> tuple[str, Any]:
    """The first package that really makes an Interpreter of this file, and it: an import proves nothing."""
    reasons = []
    for package in PACKAGES:
        try:
            found = import_module(f"{package}.interpreter").Interpreter
            return package, _make(found, artefact, threads)
        except ModuleNotFoundError:
            reasons.append(f"{package}: not installed")
        except Exception as error:  # a package may fail in any way: a wrong NumPy, a wrong libc, a damaged model
            text = str(error).strip().splitlines() or [type(error).__name__]
            reasons.append(f"{package}: {text[0][:160]}")
    raise BundleError(
        f"{artefact.path}: no TFLite runtime runs it ({'; '.join(reasons)}); "
        "pip install 'onboard-detect[tflite]', or --runtime onnx"
    )


def _make(found: Any, artefact: Artefact, threads: int) -> Any:
    interpreter = found(model_path=str(artefact.path), num_threads=threads)
    interpreter.allocate_tensors()
    return interpreter


def _tensors(artefact: Artefact, interpreter: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """(input, output) as the interpreter tells them, checked against the manifest."""
    signatures = [*interpreter.get_signature_list().values(), {"inputs": [], "outputs": []}]
    inputs, outputs = list(signatures[0]["inputs"]), list(signatures[0]["outputs"])
    if inputs != [artefact.input.name] or outputs != [artefact.output.name]:
        raise BundleError(
            f"{artefact.path}: inputs {inputs} and outputs {outputs}, the manifest promises "
            f"[{artefact.input.name}] and [{artefact.output.name}]"
        )
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    for promised, real in ((artefact.input, source), (artefact.output, target)):
        _check(artefact, promised, real)
    return source, target


def _check(artefact: Artefact, promised: Tensor, real: dict[str, Any]) -> None:
    """The file's own type and scale are those of the manifest, less the 128 between int8 and uint8."""
    if real["dtype"] == np.float32 and promised.dtype == "float32":
        return
    scale, zero = real["quantization"]
    if real["dtype"] != np.int8 or promised.dtype != "uint8":
        raise BundleError(
            f"{artefact.path}: {promised.name} is {np.dtype(real['dtype']).name}, "
            f"the manifest promises {promised.dtype}"
        )
    if abs(scale / promised.scale - 1) > 1e-6 or zero + 128 != promised.zero_point:
        raise BundleError(
            f"{artefact.path}: {promised.name} is on scale {scale:g}, zero point {zero + 128}; the manifest promises "
            f"{promised.scale:g}, {promised.zero_point}"
        )
