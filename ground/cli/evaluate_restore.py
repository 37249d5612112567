"""`ground evaluate sr DIR` and `ground evaluate denoise DIR`: what restoring gains, as a table or JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from onboard.errors import OnboardError

Bundle = Annotated[str | None, typer.Option(help="Model that ships, its folder, a checkpoint (.ckpt); or nlm, tv ...")]
Precision = Annotated[
    str, typer.Option(help="auto (int8 where the model has it), int8 or fp32; a checkpoint runs in float.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
SCENES = "*_10m.tif"


def sr(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="*_HR.png with *_LR.png, or Sentinel-2 scenes.")],
    scale: Annotated[int, typer.Option(min=2, max=4)] = 2,
    bundle: Bundle = None,
    precision: Precision = "auto",
    place: Annotated[list[str] | None, typer.Option(help="Only this folder of scenes; repeat.")] = None,
    as_json: AsJson = False,
) -> None:
    """Super-resolution beside bicubic: luma with a border of `scale` px cut, or per band in reflectance."""
    from ground.evaluation.restoration import evaluate_sr_natural, evaluate_sr_scenes, open_restorer

    scenes = folder.is_dir() and any(folder.rglob(SCENES))
    name = bundle or (f"sr-x{scale}-s2" if scenes else f"sr-x{scale}")
    try:
        restorer = open_restorer(name, precision, scale)
        if scenes:
            found = evaluate_sr_scenes(folder, scale, restorer, place or ())
        else:
            found = evaluate_sr_natural(folder, scale, restorer)
    except OnboardError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from error
    _tell({"bundle": name, "precision": precision, "scale": scale} | found, as_json)


def denoise(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Clean images, or Sentinel-2 scenes with --snr.")],
    sigma: Annotated[float, typer.Option(help="Of white noise, grey levels of 255.")] = 25.0,
    snr: Annotated[
        float | None, typer.Option(help="The sensor model on Sentinel-2: signal over standard deviation; 10 is 20 dB.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the noise.")] = 0,
    bundle: Bundle = None,
    precision: Precision = "auto",
    place: Annotated[list[str] | None, typer.Option(help="Only this folder of scenes; repeat.")] = None,
    destripe: Annotated[bool, typer.Option(help="Take column offsets off the scenes before.")] = True,
    as_json: AsJson = False,
) -> None:
    """Noise removal: PSNR, SSIM, and how white what was removed is.

    Beside a model, --bundle takes a classical method: nlm, tv, wavelet; pca-wavelet, svd and svd-tv on scenes. On
    scenes, a model of four bands sees those of 10 m, any other those of 20 m too, each in its own pixels.
    """
    from ground.evaluation.denoising import evaluate_denoise_natural, evaluate_denoise_scenes
    from ground.evaluation.restoration import coarse_of, open_restorer, told_of

    name = bundle or ("denoise" if snr is None else "denoise-s2")
    try:
        restorer = open_restorer(name, precision, 1)
        if snr is None:
            found = evaluate_denoise_natural(folder, sigma, seed, restorer)
        else:
            how = coarse_of(name), told_of(name)
            found = evaluate_denoise_scenes(folder, snr, seed, restorer, place or (), destripe, *how)
    except OnboardError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from error
    _tell({"bundle": name, "precision": precision, "seed": seed} | found, as_json)


def stripes(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Sentinel-2 scenes, laid under each other.")],
    lines: Annotated[list[int] | None, typer.Option(min=16, help="Lines that offsets are taken from; repeat.")] = None,
    snr: Annotated[float, typer.Option(help="Of the sensor model.")] = 20.0,
    seed: Annotated[int, typer.Option(help="Of the noise.")] = 0,
    bundle: Annotated[
        str | None, typer.Option(help="A denoiser of all bands, which tells what medians leave; INT8.")
    ] = None,
) -> None:
    """What the destriper leaves of a sensor's stripes in B04, by the number of lines it sees, as JSON."""
    from ground.evaluation.striping import evaluate_stripes
    from onboard.restore.model import Network, load_model

    try:
        network = Network(load_model(bundle)) if bundle else None
        found = evaluate_stripes(folder, lines or (256, 512, 1024, 2048, 4096), snr, seed, network)
    except OnboardError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from error
    typer.echo(json.dumps(found, indent=2))


def restorers(
    data: Annotated[
        Path | None, typer.Argument(metavar="[DATA]", help="Holds natural and oscd; else the table.")
    ] = None,
    sr: Annotated[list[str] | None, typer.Option(help="[LABEL=]MODEL[@fp32] or CHECKPOINT; repeat.")] = None,
    denoise: Annotated[list[str] | None, typer.Option(help="The same, or a classical method; repeat.")] = None,
    sensor: Annotated[list[str] | None, typer.Option(help="The same, on Sentinel-2; repeat.")] = None,
    place: Annotated[list[str] | None, typer.Option(help="Scenes nothing was trained on; repeat.")] = None,
    out: Annotated[Path, typer.Option(help="Results; rows measured before stay.")] = Path("docs/results/restore.json"),
    page: Annotated[Path | None, typer.Option(help="Markdown page to write the table into, between its marks.")] = None,
    picture: Annotated[Path | None, typer.Option(help="PNG of one crop; of the first sr and all sensor rows.")] = None,
) -> None:
    """All methods side by side, measured, stored and shown as a table and a picture."""
    from ground.evaluation.page import write_between
    from ground.evaluation.restoration import coarse_of, open_restorer, told_of
    from ground.evaluation.restorers_table import BEGIN, END, measure, parse_row, table

    rows = [[parse_row(text) for text in part or ()] for part in (sr, denoise, sensor)]
    places = place or ["rennes", "montpellier"]
    result = json.loads(out.read_text(encoding="utf-8")) if out.is_file() else {}

    def keep(found: dict[str, Any]) -> None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")

    try:
        if data is not None:
            result = measure(data, *rows, places, result, keep, lambda text: typer.echo(f"... {text}", err=True))
        if data is not None and picture is not None:
            from ground.evaluation.restorers_picture import draw

            enlarger = open_restorer(rows[0][0].source if rows[0] else "sr-x2-s2", "auto", 2)
            shown = {
                r.label: (open_restorer(r.source, r.precision, 1), coarse_of(r.source), told_of(r.source))
                for r in rows[2]
            }
            draw(data, places[0], enlarger, shown, picture)
    except OnboardError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from error
    if not result:
        raise typer.BadParameter(f"nothing measured yet in {out}; name DATA and rows")
    if page is not None:
        write_between(page, BEGIN, END, table(result))
    typer.echo(table(result))


def _tell(result: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(result, indent=2))
        return
    typer.echo(f"{result['bundle']} ({result['precision']}), mean over {len(result['images'])} images:")
    for key, value in result["metrics"].items():
        typer.echo(f"  {key:32} {value:10.4f}")
    for name, band in result.get("bands", {}).items():
        typer.echo(f"  {name:8} " + "  ".join(f"{key} {value:.2f}" for key, value in band.items()))
