"""The card that travels with a restoring model (Mitchell et al. 2019, doi:10.1145/3287560.3287596)."""

from __future__ import annotations

import json

from ground.scenes.pictures import FINE_BANDS
from ground.training.restoration import TrainedRestorer

NATURAL = """Pictures, none of them of a test set (thumbnails are compared before training): photographs and
wallpapers of the Debian packages `gcompris-qt-data`, `gnome-backgrounds`, `lomiri-wallpapers-16.04`,
`lomiri-wallpapers-20.04`, `mate-backgrounds`, `plasma-workspace-wallpapers` and `ukui-wallpapers` (free licences,
which each package's copyright file names), and sample images of scikit-image 0.16.2 (without `camera`), SciPy 1.5.4,
scikit-learn and Matplotlib; larger ones reduced to 1,500 px, all learnt from at smaller sizes (`SIZES` in
`ground/cli/restore.py`). Luma of BT.601."""
SENTINEL2 = """Contains modified Copernicus Sentinel data 2015-2018: the {bands} bands of the OSCD scenes (Daudt et al.
2018; labels were not read)."""
MTF = """Reduced by a Gaussian of MTF 0.3 at the coarse Nyquist frequency together with the coarse pixel's area."""
LIMITS = """- What it adds is an estimate from what such images usually look like, no measurement. Detail that the input
  does not hold may be wrong; do not measure sizes or count objects on it.
- Trained for one blur: images that were resampled, sharpened or compressed before come out worse than they could.
- Clouds, snow, sea ice and night were hardly among the training images."""


def render(name: str, trained: TrainedRestorer, note: str = "") -> str:
    """Markdown, the same text for the same inputs; `note` stands at the end of what is said of the training."""
    recipe = trained.recipe
    task = "removes noise" if recipe.scale == 1 else f"enlarges {recipe.scale} times"
    seen = SENTINEL2.format(bands="10 m" if recipe.bands <= FINE_BANDS else "10 m and 20 m")
    data = seen if recipe.imagery == "sentinel2" else NATURAL
    data += f" {MTF}" if recipe.imagery == "sentinel2" and recipe.scale > 1 else ""
    start = f" It started from the weights of training hash `{recipe.start}`." if recipe.start else ""
    noise = f"\nNoise: `{json.dumps(recipe.noise, sort_keys=True)}`." if recipe.noise else ""
    noise += f" Drawn {recipe.draws} times for each scene." if recipe.draws > 1 else ""
    noise += f" In all but the first, the model `{recipe.told}` told of stripes." if recipe.told else ""
    kept = f", the mean over weights of decay {recipe.average:g} kept" if recipe.average else ""
    bands = "one band" if recipe.bands == 1 else f"{recipe.bands} bands"
    crops = f"{recipe.steps} steps of {recipe.batch} crops of {recipe.side} px"
    return f"""# {name}

A network of plain 3x3 convolutions that {task} ({recipe.imagery} imagery, {bands} at a time), correcting an
anchor that the flight software computes in whole numbers (`ground/models/anchored.py`, `onboard/restore`).

## Training

{data}
{len(trained.files)} files; held out: {", ".join(recipe.hold_out) or "the test sets"}.{start}{noise}
{crops}, objective {recipe.objective}, loss {recipe.loss},
{recipe.optimiser} (peak rate {recipe.learning_rate:g}){kept},
{"with" if recipe.rounded else "without"} the rounding of INT8, seed {recipe.seed}.{f" {note}" if note else ""}
Training hash `{trained.training_hash}`.

## Limits

{LIMITS}

The weights are Apache-2.0 like the rest of this distribution.
"""
