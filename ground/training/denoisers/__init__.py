"""What a denoiser is trained from, one file each; all on the same networks."""

from collections.abc import Callable

from torch import Tensor

from ground.training.denoisers.base import DenoiseObjective
from ground.training.denoisers.neighbor2neighbor import Neighbor2Neighbor
from ground.training.denoisers.noise2void import Noise2Void
from ground.training.denoisers.noisier2noise import Noisier2Noise
from ground.training.denoisers.supervised import Supervised

DENOISERS: dict[str, DenoiseObjective] = {
    "supervised": Supervised(),
    "noise2void": Noise2Void(),
    "noisier2noise": Noisier2Noise(),
    "neighbor2neighbor": Neighbor2Neighbor(),
}
"""By name."""


def denoiser(name: str, distance: Callable[[Tensor, Tensor], Tensor]) -> DenoiseObjective:
    """An objective by name; `distance` is of the supervised one alone, the others have a loss of their own."""
    return Supervised(distance) if name == "supervised" else DENOISERS[name]
