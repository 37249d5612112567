"""litert-torch and what it writes: one way for every kind of network. Slow to import, and talkative."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from export.artefact import Affine


def write(net: nn.Module, sample: Mapping[str, Tensor], path: Path) -> None:
    """Write a network as an fp32 TFLite file of the sample's shape, its inputs named as in the sample.

    Raises:
        RuntimeError: litert-torch is not installed.
    """
    with quietly():
        try:
            import litert_torch
        except ImportError as error:
            raise RuntimeError(
                f"litert-torch cannot be imported ({error}): pip install 'onboard-detect[export]', or leave TFLite out "
                "with --no-tflite"
            ) from error
        litert_torch.convert(net.eval(), sample_kwargs=dict(sample)).export(str(path))


def integer_ends(path: Path, pinned: Affine) -> tuple[Affine, Affine]:
    """uint8 scale of the input and of the output of an integer file, whose integers are int8.

    Raises:
        RuntimeError: part of it would run in float, or its input is on another scale than the pinned one.
    """
    with quietly():
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(str(path), num_threads=1)
    islands = [one for one in interpreter.get_tensor_details() if one["dtype"] == np.float32]
    if islands:
        raise RuntimeError(f"{path.name}: runs partly in float: {', '.join(one['name'] for one in islands[:4])}")
    ends = (*interpreter.get_input_details(), *interpreter.get_output_details())
    inside, outside = (Affine(float(np.float32(e["quantization"][0])), int(e["quantization"][1]) + 128) for e in ends)
    if (round(inside.scale / pinned.scale, 5), inside.zero_point) != (1.0, pinned.zero_point):
        raise RuntimeError(f"{path.name}: its input came out on another scale than the pinned one")
    return inside, outside


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """The converter and the quantiser narrate on stdout and stderr; errors still raise."""
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield
