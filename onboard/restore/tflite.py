"""A restoring network in LiteRT: what `onboard.restore.model.Network` asks of a runtime, for blocks of any size.

Channels last and int8 end here, as in `onboard.infer.tflite`. An interpreter is laid out anew whenever the size of the
blocks changes, which is at the borders of an image.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard.infer.bundle import Artefact
from onboard.infer.tflite import SIGN, open_interpreter


class TflitePlanes:
    """Not for several threads at once.

    Args:
        artefact: the file to run, checked by its model.
        threads: of one call.

    Raises:
        BundleError: no package runs it, or its tensors are not what the manifest promises.
    """

    def __init__(self, artefact: Artefact, threads: int = 1) -> None:
        self._interpreter, source, target = open_interpreter(artefact, threads)
        self._source, self._target = int(source["index"]), int(target["index"])
        self._integer = source["dtype"] == np.int8
        self._shape: tuple[int, ...] = ()

    def run(self, planes: NDArray[Any]) -> NDArray[Any]:
        """(1, P, h, w), uint8 or float32 -> (1, C, h, w) of the same type."""
        last = planes.transpose(0, 2, 3, 1)
        if last.shape != self._shape:
            self._interpreter.resize_tensor_input(self._source, list(last.shape), strict=False)
            self._interpreter.allocate_tensors()
            self._shape = last.shape
        fed = np.ascontiguousarray(last)
        self._interpreter.set_tensor(self._source, (fed ^ SIGN).view(np.int8) if self._integer else fed)
        self._interpreter.invoke()
        found = self._interpreter.get_tensor(self._target).transpose(0, 3, 1, 2)
        return np.ascontiguousarray(found).view(np.uint8) ^ SIGN if self._integer else np.ascontiguousarray(found)
