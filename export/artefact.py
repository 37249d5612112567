"""One runnable file on its way into a bundle: which runtime and precision, and on which scales its integers stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

INPUT, OUTPUT = "tile", "latent"
"""Names of the tensors, the same in every artefact."""


@dataclass(frozen=True)
class Affine:
    """real = scale * (integer - zero_point); uint8. (A TFLite file holds int8, which is the same integer less 128.)"""

    scale: float
    zero_point: int

    def to_dict(self) -> dict[str, Any]:
        """As it stands in the manifest."""
        return {"dtype": "uint8", "scale": self.scale, "zero_point": self.zero_point}


@dataclass(frozen=True)
class Made:
    """An artefact.

    Attributes:
        runtime: "onnx" or "tflite"; also the ending of the file.
        path: where the file lies now.
        scales: of input and output for an integer graph, None for a float one.
    """

    runtime: str
    path: Path
    scales: tuple[Affine, Affine] | None = None

    @property
    def precision(self) -> str:
        """ "int8" or "fp32"."""
        return "fp32" if self.scales is None else "int8"

    @property
    def kind(self) -> str:
        """Key in the manifest, e.g. "onnx-int8"."""
        return f"{self.runtime}-{self.precision}"

    @property
    def file(self) -> str:
        """Name in the bundle, e.g. "encoder-int8.onnx"."""
        return f"encoder-{self.precision}.{self.runtime}"


def latent_scale(made: Sequence[Made], runtime: str) -> Affine:
    """The uint8 scale that latents of this runtime's artefacts are stored on: the integer artefact's output."""
    return next(one.scales[1] for one in made if one.runtime == runtime and one.scales is not None)
