"""`ground train sr` and `ground train denoise`: pictures or Sentinel-2 scenes in, a checkpoint out."""

from __future__ import annotations

import logging
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from onboard.errors import OnboardError

SR_NETWORKS = (
    "anchored", "anchored-wide", "anchored-rep", "srcnn", "vdsr-compact", "vdsr", "edsr-compact", "fsrcnn", "fsrcnn-s",
)  # fmt: skip
DENOISE_NETWORKS = ("anchored", "anchored-mixed", "dncnn-compact", "sscanet")
OPTIMISERS = ("adam", "muon")
LOSSES = ("l1", "mse", "psnr", "columns")
OBJECTIVES = ("supervised", "noise2void", "noisier2noise", "neighbor2neighbor")
"""Keys of the tables in `ground.models.restorers` and `ground.training.denoisers`, here without importing torch."""
SIZES = (0.5, 0.35, 0.25, 0.18)
"""At which photographs are learnt from: reduced until their edges are as sharp as those of the usual test sets."""
EPILOG = "Exit codes: 0 trained, 2 wrong options, 3 a folder or file cannot be used."

Data = Annotated[list[Path], typer.Argument(help="Folders of images, or of Sentinel-2 scenes (*_10m.tif).")]
Out = Annotated[Path, typer.Option(help="Folder for restorer.ckpt and metrics.csv.")]
Imagery = Annotated[str, typer.Option(help="natural or sentinel2.")]
KeepOut = Annotated[list[Path] | None, typer.Option(help="Images below this are never trained on; repeat.")]
HoldOut = Annotated[list[str] | None, typer.Option(help="A place (folder) of Sentinel-2 kept out; repeat.")]
Steps = Annotated[int, typer.Option(min=1, help="Optimiser steps.")]
Batch = Annotated[int, typer.Option(min=1, help="Crops a step.")]
Side = Annotated[int, typer.Option(min=16, help="Side of a crop, pixels of the given image; even.")]
Rate = Annotated[float, typer.Option(help="Peak learning rate.")]
Optimiser = Annotated[str, typer.Option(help="adam or muon.")]
Round = Annotated[bool, typer.Option("--rounded", help="Train with the rounding of INT8: with --start, shortly.")]
Average = Annotated[float, typer.Option(min=0, max=1, help="Keep a mean over weights of this decay, e.g. 0.999.")]
Loss = Annotated[str, typer.Option(help="l1, mse: of the error; psnr: what PSNR averages; columns: and stripes.")]
Start = Annotated[str | None, typer.Option(help="Begin with the weights of this checkpoint, or model that ships.")]
Resume = Annotated[Path | None, typer.Option(help="Go on from this checkpoint (same options).")]
Seed = Annotated[int, typer.Option(help="Of weights, crops and noise.")]


def sr(
    data: Data, out: Out, scale: Annotated[int, typer.Option(min=2, max=4)] = 2,
    network: Annotated[str, typer.Option(help=f"One of {', '.join(SR_NETWORKS)}.")] = "anchored",
    imagery: Imagery = "natural", keep_out: KeepOut = None, hold_out: HoldOut = None, steps: Steps = 4000,
    batch: Batch = 16, side: Side = 48, lr: Rate = 2e-3, optimiser: Optimiser = "adam",
    loss: Loss = "l1", average: Average = 0.0,
    rounded: Round = False, start: Start = None, resume: Resume = None, seed: Seed = 0,
) -> None:  # fmt: skip
    """Train a network that enlarges: natural images reduced by bicubic, Sentinel-2 by the sensor's MTF."""
    _choose(network, SR_NETWORKS, "--network")
    _choose(optimiser, OPTIMISERS, "--optimiser")
    _choose(loss, LOSSES, "--loss")
    from ground.training.crops import enlarged_pairs

    pictures = _pictures(data, imagery, keep_out, hold_out)
    sensor = imagery == "sentinel2"
    pairs = enlarged_pairs(pictures, scale, sensor, (1.0,) if sensor else SIZES)
    values = {"network": network, "scale": scale, "imagery": imagery, "steps": steps, "batch": batch, "side": side}
    values |= {"learning_rate": lr, "optimiser": optimiser, "rounded": rounded, "seed": seed, "loss": loss}
    values["average"] = average
    values["hold_out"] = tuple(hold_out or ())
    _train(values, pairs, pictures, out, start, resume)


def denoise(
    data: Data, out: Out,
    network: Annotated[str, typer.Option(help=f"One of {', '.join(DENOISE_NETWORKS)}.")] = "anchored",
    objective: Annotated[str, typer.Option(help=f"One of {', '.join(OBJECTIVES)}.")] = "supervised",
    sigma: Annotated[tuple[float, float], typer.Option(help="Range of the Gaussian's sigma, of 255.")] = (25.0, 25.0),
    snr: Annotated[float | None, typer.Option(help="The sensor model at this SNR instead of a Gaussian.")] = None,
    least_snr: Annotated[float, typer.Option(help="... or at one from this to --snr, for each scene.")] = 0.0,
    draws: Annotated[int, typer.Option(min=1, help="Of noise for each picture; supervised alone.")] = 1,
    told: Annotated[
        str | None, typer.Option(help="Model that tells of the sensor's stripes in all draws but the first.")
    ] = None,
    bands: Annotated[int, typer.Option(min=1, help="Of the network: 1; 4, the 10 m ones; 10, with the 20 m ones.")] = 1,
    imagery: Imagery = "natural", keep_out: KeepOut = None, hold_out: HoldOut = None, steps: Steps = 4000,
    batch: Batch = 16, side: Side = 64, lr: Rate = 2e-3, optimiser: Optimiser = "adam",
    loss: Loss = "l1", average: Average = 0.0,
    rounded: Round = False, start: Start = None, resume: Resume = None, seed: Seed = 0,
) -> None:  # fmt: skip
    """Train a network that removes noise, from clean pictures or from noisy ones alone."""
    _choose(network, DENOISE_NETWORKS, "--network")
    _choose(optimiser, OPTIMISERS, "--optimiser")
    _choose(objective, OBJECTIVES, "--objective")
    _choose(loss, LOSSES, "--loss")
    if draws > 1 and objective != "supervised":
        raise typer.BadParameter("is for --objective supervised", param_hint="--draws")
    if told is not None and (snr is None or draws < 2):
        raise typer.BadParameter("is for --snr and several --draws", param_hint="--told")
    from ground.scenes.noise import model_of
    from ground.training.crops import noisy_pairs, refined_pairs

    noise: dict[str, Any] = {"kind": "gaussian", "low": sigma[0], "high": sigma[1]}
    if snr is not None:
        noise = {"kind": "sensor", "snr": snr} | ({"least": least_snr} if least_snr else {})
    pictures = _pictures(data, imagery, keep_out, hold_out, bands)
    model, first = model_of(noise), draws if told is None else 1
    pairs = noisy_pairs(pictures, model, seed, (1.0,) if imagery == "sentinel2" else SIZES, first)
    teller = _teller(told) if told is not None else None
    if teller is not None:
        pairs += refined_pairs(pictures, model, seed, draws - first, teller)
    values = {
        "network": network,
        "scale": 1,
        "bands": bands,
        "imagery": imagery,
        "objective": objective,
        "noise": noise,
    }
    values |= {"steps": steps, "batch": batch, "side": side, "draws": draws}
    values["told"] = teller.model.about["training_hash"] if teller is not None else ""
    values |= {"learning_rate": lr, "optimiser": optimiser, "rounded": rounded, "loss": loss, "average": average}
    _train(values | {"hold_out": tuple(hold_out or ()), "seed": seed}, pairs, pictures, out, start, resume)


def _teller(name: str) -> Any:
    from onboard.restore.model import Network, load_model

    try:
        return Network(load_model(name))
    except OnboardError as error:
        logging.getLogger("ground.train").error("%s", error)
        raise typer.Exit(error.exit_code) from error


def _choose(value: str, names: tuple[str, ...], option: str) -> None:
    if value not in names:
        raise typer.BadParameter(f"{value!r} is none of {', '.join(names)}", param_hint=option)


def _pictures(
    data: list[Path], imagery: str, keep_out: list[Path] | None, hold_out: list[str] | None, bands: int = 1
) -> Any:
    _choose(imagery, ("natural", "sentinel2"), "--imagery")
    from ground.scenes.pictures import load_natural, load_scenes

    log = logging.getLogger("ground.train")
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(name)s: %(message)s")
    try:
        if imagery == "sentinel2":
            found = load_scenes(data, hold_out or (), bands)
            if bands > 1 and any(len(picture.values) != bands for picture in found):
                raise typer.BadParameter(f"not every scene has {bands} bands", param_hint="--bands")
        elif bands > 1:
            raise typer.BadParameter("natural images have one, luma", param_hint="--bands")
        else:
            found, left_out = load_natural(data, keep_out or ())
            for line in left_out:
                log.info("left out: %s", line)
    except OnboardError as error:
        log.error("%s", error)
        raise typer.Exit(error.exit_code) from error
    log.info("%d pictures, %.1f Mpx", len(found), sum(one.values.size for one in found) / 1e6)
    return found


def _train(
    values: dict[str, Any], pairs: Any, pictures: Any, out: Path, start: str | None, resume: Path | None
) -> None:
    import torch

    from ground.training.restoration import RestoreRecipe, fit
    from ground.training.shipped import load_start

    torch.set_num_threads(1)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning.*")
    files = {picture.name.split(":")[0]: picture.sha256 for picture in pictures}
    try:
        begun = load_start(start) if start else None
        recipe = RestoreRecipe(**values, start=begun.training_hash if begun else "")
        final = fit(
            recipe, pairs, files, out, start=begun, resume=resume, progress=sys.stderr.isatty(), accelerator="cpu",
            devices=1,
        )  # fmt: skip
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    typer.echo(str(final))
