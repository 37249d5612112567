"""What an encoder can be trained for: one file per objective, all on the same `ground.models.ravaen` network.

Nothing here reads a label. `OBJECTIVES` is in the order in which the family is listed in docs/score.md.
"""

from __future__ import annotations

from ground.training.objectives.autoencoder import Autoencoder
from ground.training.objectives.base import Objective
from ground.training.objectives.colourisation import Colourisation
from ground.training.objectives.contrastive import Contrastive
from ground.training.objectives.denoising import Denoising
from ground.training.objectives.jigsaw import Jigsaw
from ground.training.objectives.relative_location import RelativeLocation
from ground.training.objectives.sparse import Sparse
from ground.training.objectives.stacked import Stacked
from ground.training.objectives.triplet import Triplet
from ground.training.objectives.vae import Variational

OBJECTIVES: dict[str, type[Objective]] = {
    "vae": Variational,
    "autoencoder": Autoencoder,
    "sparse": Sparse,
    "denoising": Denoising,
    "stacked": Stacked,
    "relative-location": RelativeLocation,
    "jigsaw": Jigsaw,
    "colourisation": Colourisation,
    "contrastive": Contrastive,
    "triplet": Triplet,
}
