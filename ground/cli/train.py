"""`ground train encoder`: GeoTIFF folders in, a checkpoint out."""

from __future__ import annotations

import logging
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer

from ground.cli import restore
from ground.cli.head import EPILOG, head
from onboard.errors import OnboardError
from onboard.sense.bands import BAND_SETS, canonical_band
from onboard.sense.normalise import NormaliseRule

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Train the networks that fly.")
DEFAULT = NormaliseRule()
OBJECTIVE_NAMES = (
    "vae", "autoencoder", "sparse", "denoising", "stacked", "relative-location", "jigsaw", "colourisation",
    "contrastive", "triplet",
)  # fmt: skip
"""The keys of `ground.training.objectives.OBJECTIVES`, here without importing torch."""


@app.callback()
def _group() -> None:
    """Train the networks that fly."""


def parse_bands(text: str) -> tuple[str, tuple[str, ...]]:
    """A set's name or a comma-separated list -> (name, canonical bands).

    Raises:
        typer.BadParameter: neither.
    """
    if text in BAND_SETS:
        return text, BAND_SETS[text]
    bands = [canonical_band(name) for name in text.split(",")]
    if not bands or None in bands:
        raise typer.BadParameter(f"{text!r} is no band set ({', '.join(BAND_SETS)}) and no list like B02,B03,B04")
    return "-".join(map(str, bands)).lower(), tuple(map(str, bands))


@app.command(epilog="Exit codes: 0 trained, 2 wrong options, 3 a folder or file cannot be used.")
def encoder(
    data: Annotated[list[Path], typer.Argument(help="Folders searched for GeoTIFFs; one folder = one place.")],
    out: Annotated[Path, typer.Option(help="Folder for encoder.ckpt, metrics.csv and checkpoints.")],
    bands: Annotated[str, typer.Option(help="Band set (s2-10, rgbn, fire) or a list like B02,B03,B04.")] = "s2-10",
    objective: Annotated[str, typer.Option(help=f"What it is trained for: {', '.join(OBJECTIVE_NAMES)}.")] = "vae",
    size: Annotated[str, typer.Option(help="small (16/32/64) or medium (32/64/128).")] = "small",
    latent: Annotated[int, typer.Option(help="Length of the latent.")] = 128,
    activation: Annotated[str, typer.Option(help="leaky_relu or relu.")] = "leaky_relu",
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps in all.")] = 600,
    epoch_steps: Annotated[int, typer.Option(min=1, help="Steps between validations.")] = 50,
    batch: Annotated[int, typer.Option(min=1, help="Tiles per step and device.")] = 256,
    lr: Annotated[float, typer.Option(help="Peak learning rate.")] = 3e-3,
    kl_weight: Annotated[float, typer.Option(help="Weight of the KL divergence, nats per tile.")] = 1e-3,
    jitter_gain: Annotated[float, typer.Option(help="Radiometric jitter: standard deviation of the gain.")] = 0.05,
    jitter_offset: Annotated[float, typer.Option(help="... and of the offset, in scene standard deviations.")] = 0.10,
    shift: Annotated[float, typer.Option(help="Normalisation: reflectance added before the log.")] = DEFAULT.shift,
    limit: Annotated[float, typer.Option(help="Normalisation: clip, in scene standard deviations.")] = DEFAULT.limit,
    hold_out: Annotated[list[str] | None, typer.Option(help="A place (folder) kept for validation; repeat.")] = None,
    hold_out_fraction: Annotated[float, typer.Option(help="Share of places held out when none is named.")] = 0.1,
    seed: Annotated[int, typer.Option(help="Of weights, tiles and noise.")] = 0,
    resume: Annotated[Path | None, typer.Option(help="Go on from this checkpoint (same options).")] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes that cut tiles.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="Torch threads; on a shared CPU one is often fastest.")] = 1,
    accelerator: Annotated[str, typer.Option(help="Lightning: cpu, gpu, auto ...")] = "cpu",
    devices: Annotated[str, typer.Option(help="Lightning: how many, or which.")] = "1",
    strategy: Annotated[str, typer.Option(help="Lightning: auto, ddp ...")] = "auto",
    precision: Annotated[str, typer.Option(help="Lightning: 32-true, bf16-mixed ...")] = "32-true",
) -> None:
    """Train the RaVAEn encoder on every acquisition below DATA that has the bands. Labels are never opened."""
    name, names = parse_bands(bands)
    if objective not in OBJECTIVE_NAMES:
        raise typer.BadParameter(f"{objective!r} is none of {', '.join(OBJECTIVE_NAMES)}", param_hint="--objective")
    import torch

    from ground.models.ravaen import RavaenConfig
    from ground.scenes import pairs
    from ground.training.encoder import EncoderRecipe, fit

    torch.set_num_threads(threads)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning.*")
    log = logging.getLogger("ground.train")
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(name)s: %(message)s")
    try:
        folders = pairs.find_folders(data)
        model = RavaenConfig(len(names), size, latent, activation)
        rule = NormaliseRule(shift=shift, limit=limit)
        scenes, left_out = pairs.load_scenes(folders, names, rule)
        training, held_out = pairs.hold_out(scenes, hold_out or (), hold_out_fraction)
    except OnboardError as error:
        log.error("%s", error)
        raise typer.Exit(error.exit_code) from error
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    for line in left_out:
        log.info("left out: %s", line)
    places = sorted({scene.place for scene in held_out})
    log.info("%d scenes to train on, %d held out (%s)", len(training), len(held_out), " ".join(places))
    recipe = EncoderRecipe(
        name=name, bands=names, model=model, rule=rule, jitter=pairs.Jitter(jitter_gain, jitter_offset), steps=steps,
        epoch_steps=epoch_steps, batch=batch, learning_rate=lr, kl_weight=kl_weight, hold_out=tuple(places), seed=seed,
        objective=objective,
    )  # fmt: skip
    used = {scene.place for scene in training}
    hashes = pairs.file_hashes([folder for folder in folders if folder.name in used], names)
    final = fit(
        recipe, training, held_out, hashes, out, resume=resume, workers=workers, progress=sys.stderr.isatty(),
        accelerator=accelerator, devices=int(devices) if devices.isdigit() else devices, strategy=strategy,
        precision=precision,
    )  # fmt: skip
    typer.echo(str(final))


@app.command()
def cloud(
    clear: Annotated[list[Path], typer.Argument(help="Folders of cloud-free imagery.")],
    out: Annotated[Path, typer.Option(help="The head is written here, as JSON, for `onboard-export --cloud @FILE`.")],
    bands: Annotated[str, typer.Option(help="Band set or comma-separated bands.")] = "s2-10",
    seeds: Annotated[int, typer.Option(min=2, help="Simulated landscapes of each disaster; half are kept aside.")] = 3,
    seed: Annotated[int, typer.Option(help="Of weights and batches.")] = 0,
) -> None:
    """Train the head that tells cloud and shadow, on the simulator and on cloud-free imagery (minutes)."""
    import json

    from ground.training.cloud import train_cloud
    from onboard.sense.simulator.spec import DISASTERS

    _, names = parse_bands(bands)
    streams = [f"sim:{number}?disaster={kind}" for number in range(seeds) for kind in DISASTERS]
    try:
        head, figures = train_cloud(names, NormaliseRule(), streams, clear, seed)
    except OnboardError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from error
    out.write_text(json.dumps(head.to_dict(names) | {"figures": figures}, indent=1) + "\n", encoding="utf-8")
    typer.echo(json.dumps({"metrics": figures}))


@app.command()
def event(
    out: Annotated[Path, typer.Option(help="The head is written here, as JSON, for `onboard-export --event @FILE`.")],
    bundle: Annotated[str, typer.Option(help="Whose records are seen: a shipped bundle's name or a folder.")] = "s2-10",
    quiet: Annotated[
        list[Path] | None, typer.Option(help="Folder with real pairs without a disaster below it; repeat.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=2, help="Simulated landscapes of each kind; a fifth are kept aside.")] = 16,
    first: Annotated[int, typer.Option(min=0, help="The first of these seeds.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of weights, batches and what is drawn.")] = 0,
) -> None:
    """Train the head that tells events from seasons and weather, on simulated disasters (ten minutes)."""
    import json

    import torch

    from ground.training.event import train_event
    from onboard.infer.bundle import load_bundle
    from onboard.infer.runtime import load_encoder
    from onboard.sense.simulator.spec import DISASTERS

    torch.set_num_threads(1)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(name)s: %(message)s")
    log = logging.getLogger("ground")
    last_trained = first + seeds - max(1, seeds // 5)

    def streams(numbers: range) -> list[str]:
        return [f"sim:{number}?disaster={kind}" for number in numbers for kind in (*DISASTERS, "none")]

    pairs_below = sorted({path.parent for root in quiet or [] for path in root.rglob("*.tif")})
    try:
        model = load_bundle(bundle)
        head, figures = train_event(
            model, load_encoder(model, "onnx", "int8"), streams(range(first, last_trained)),
            streams(range(last_trained, first + seeds)), pairs_below, seed, progress=log.info,
        )  # fmt: skip
    except OnboardError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from error
    out.write_text(json.dumps(head.to_dict(model.bands) | {"figures": figures}, indent=1) + "\n", encoding="utf-8")
    typer.echo(json.dumps({"metrics": figures}))


@app.command()
def forecaster(
    out: Annotated[Path, typer.Option(help="The weights are written here.")],
    landscapes: Annotated[int, typer.Option(min=1, help="Simulated landscapes of quiet seasons.")] = 16,
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 1500,
    seed: Annotated[int, typer.Option(help="Of weights and batches.")] = 0,
) -> None:
    """Train the network that forecasts a sub-cell's next look, on simulated seasons (minutes). It does not fly."""
    import torch

    from ground.evaluation.seasons import quiet_series
    from ground.training.forecaster import FIRST_SEED, save, train_forecaster

    torch.set_num_threads(1)
    series = quiet_series(range(FIRST_SEED, FIRST_SEED + landscapes))
    network = train_forecaster(series, steps, seed)
    save(network, out)
    typer.echo(f"{out}: {sum(p.numel() for p in network.parameters())} parameters")


app.command("head", epilog=EPILOG)(head)
app.command("sr", epilog=restore.EPILOG)(restore.sr)
app.command("denoise", epilog=restore.EPILOG)(restore.denoise)
