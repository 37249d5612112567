"""`onboard-export restorer CHECKPOINT`: a checkpoint of `ground train sr|denoise` -> a model of `onboard-enhance`."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from onboard.errors import OnboardError

EPILOG = "Exit codes: 0 packed, 1 not exportable, 2 wrong options, 3 imagery cannot be used."


def restorer(
    checkpoint: Annotated[Path, typer.Argument(help="Of `ground train sr` or `denoise`.", exists=True, dir_okay=False)],
    data: Annotated[list[Path], typer.Option(help="Folders of pictures for calibration and parity; repeat.")],
    out: Annotated[Path, typer.Option(help="The model is written to OUT/NAME.")],
    name: Annotated[str, typer.Option(help="Of the model.")],
    hold_out: Annotated[list[str] | None, typer.Option(help="A place (folder) of scenes not to use; repeat.")] = None,
    version: Annotated[int, typer.Option(min=1, help="Of the model.")] = 1,
    tflite: Annotated[bool, typer.Option(help="Pack TFLite too: needs the converter of [export].")] = True,
    note: Annotated[str, typer.Option(help="What the card should say of the training besides.")] = "",
) -> None:
    """Export CHECKPOINT to ONNX, fp32 and INT8, measure what 8 bits cost, pack a model; fp32 alone above 0.1 dB."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(name)s: %(message)s")
    log = logging.getLogger("onboard-export")
    import torch

    from export.restorer import pack
    from export.restorer_card import render
    from ground.cli.restore import SIZES
    from ground.scenes.noise import model_of
    from ground.scenes.pictures import load_natural, load_scenes
    from ground.training.crops import enlarged_pairs, noisy_pairs
    from ground.training.restoration import load_checkpoint

    torch.set_num_threads(1)
    try:
        trained = load_checkpoint(checkpoint)
        recipe = trained.recipe
        scenes = recipe.imagery == "sentinel2"
        held, sizes = hold_out or recipe.hold_out, (1.0,) if scenes else SIZES
        pictures = load_scenes(data, held, recipe.bands) if scenes else load_natural(data, ())[0]
        if recipe.scale == 1:
            pairs = noisy_pairs(pictures, model_of(recipe.noise), recipe.seed + 1, sizes)
        else:
            pairs = enlarged_pairs(pictures, recipe.scale, scenes, sizes)
        target = pack(trained, pairs, out, name, render(name, trained, note), version, with_tflite=tflite)
    except OnboardError as error:
        log.error("%s", error)
        raise typer.Exit(error.exit_code) from error
    except (RuntimeError, ValueError) as error:
        log.error("%s", error)
        raise typer.Exit(1) from error
    typer.echo((target / "parity.json").read_text(), nl=False)
