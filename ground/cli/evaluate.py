"""`ground evaluate change DIR`: tile average precision of the flight path beside baselines, as a table or JSON."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ground.cli import evaluate_restore
from onboard.errors import OnboardError

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Measure the flight software on labelled imagery.")

LABELS = {
    "ours": "ours (flight path)", "pixel_cosine": "pixel cosine", "pixel_l2": "pixel L2",
    "cva": "change-vector magnitude", "dnbr": "change of NBR",
}  # fmt: skip


FORECASTER = "weights of `ground train forecaster` to compare"
FIGURE_OF = "harmonic_16_confirmed"
"""The method whose finds the figure of `nrt` shows."""


@app.callback()
def _group() -> None:
    """Measure the flight software on labelled imagery."""


@app.command()
def change(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="labelled pairs: two passes and change.tif or mask.tif each")
    ],
    bundle: Annotated[str, typer.Option(help="model bundle: a name that ships or a folder")] = "s2-10",
    runtime: Annotated[str, typer.Option(help="runtime of the model")] = "onnx",
    precision: Annotated[str, typer.Option(help="int8 or fp32")] = "int8",
    score: Annotated[str | None, typer.Option(help="score rule (default: the bundle's own)")] = None,
    seed: Annotated[int, typer.Option(help="of the bootstrap")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object on stdout")] = False,
) -> None:
    """Tile average precision (a tile is positive when more than 5 % of it changed), pixel AUPRC and recall by bytes."""
    from ground.evaluation.change import evaluate_change

    def progress(name: str) -> None:
        if sys.stderr.isatty():
            typer.echo(f"... {name}", err=True)

    try:
        result = evaluate_change(folder, bundle, runtime, precision, score, seed, progress=progress)
    except OnboardError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from error
    if as_json:
        print(json.dumps(_finite(result.to_json()), indent=2))
        return
    _table(result)


@app.command()
def sim(
    seeds: Annotated[str, typer.Option(help="first-last, e.g. 100-109")] = "0-9",
    bundle: Annotated[str, typer.Option(help="model bundle: a name that ships or a folder")] = "s2-10",
    precision: Annotated[str, typer.Option(help="int8 or fp32")] = "int8",
    plain: Annotated[
        Path | None,
        typer.Option(help="OSCD folder to train the plain RaVAEn recipe on, or its saved .pt: compare with it"),
    ] = None,
    snr: Annotated[float, typer.Option(min=0, help="of a small sensor instead of Sentinel-2's noise")] = 0.0,
    denoiser: Annotated[str | None, typer.Option(help="restoring model that takes the noise off before")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object on stdout")] = False,
) -> None:
    """Simulated disasters: average precision of each kind, and false alarms on quiet passes."""
    from ground.evaluation.plain import PlainRavaen, train_plain
    from ground.evaluation.simulated import evaluate_simulated

    first, _, last = seeds.partition("-")
    chosen = range(int(first), int(last or first) + 1)
    recipe = None
    if plain is not None:
        recipe = PlainRavaen.load(plain) if plain.is_file() else train_plain(plain)
    result = evaluate_simulated(
        chosen, bundle, precision=precision, plain=recipe, progress=lambda name: typer.echo(f"... {name}", err=True),
        snr=snr, denoiser=denoiser,
    )  # fmt: skip
    if as_json:
        print(json.dumps(_finite(result), indent=2))
        return
    for method, values in result["metrics"].items():
        typer.echo(f"{method}:")
        for name, value in values.items():
            typer.echo(f"  {name:36} {100 * value:6.2f}")
    typer.echo(f"calibration fitted on these scenes: {result['calibration']}")


@app.command()
def ablation(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="folder with oscd/labelled and fires")],
    out: Annotated[Path | None, typer.Option(help="also write the figures here, as JSON")] = None,
) -> None:
    """What each part of the score adds: a Markdown table (some minutes)."""
    from ground.evaluation.ablation import run_ablation, table

    result = run_ablation(data / "oscd" / "labelled", data / "fires", lambda name: typer.echo(f"... {name}", err=True))
    if out is not None:
        out.write_text(json.dumps(result, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    typer.echo(table(result))


@app.command()
def nrt(
    cube: Annotated[
        Path | None, typer.Argument(metavar="[CUBE]", help="netCDF series with B8A and B11 (default: of package nrt)")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="folder for nrt.png and nrt.json")] = None,
    forecaster: Annotated[Path | None, typer.Option(help=FORECASTER)] = None,
    yearly: Annotated[
        int, typer.Option(min=0, help="train the forecaster further each year, beside this many simulated landscapes")
    ] = 0,
    bundle: Annotated[str, typer.Option(help="model bundle: a name that ships or a folder")] = "rgbn",
    precision: Annotated[str, typer.Option(help="int8 or fp32")] = "int8",
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object on stdout")] = False,
) -> None:
    """Logging in a Romanian forest, 140 dates of the package `nrt`: losses found and false alarms (minutes)."""
    from ground.evaluation.nrt import evaluate_nrt
    from ground.evaluation.nrt_figure import draw

    try:
        result = evaluate_nrt(
            cube, bundle, precision=precision, forecasters=_forecasters(forecaster, yearly, bundle),
            progress=lambda name: typer.echo(f"... {name}", err=True),
        )  # fmt: skip
    except OnboardError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from error
    described = _finite(result.to_json())
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "nrt.json").write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
        draw(result, FIGURE_OF, out / "nrt.png")
    if as_json:
        print(json.dumps(described, indent=2))
        return
    _forest_table(result)


@app.command()
def seasons(
    seeds: Annotated[str, typer.Option(help="first-last, e.g. 100-104")] = "100-104",
    forecaster: Annotated[Path | None, typer.Option(help=FORECASTER)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object on stdout")] = False,
) -> None:
    """Seasonal expectations on simulated histories of 24 passes, with and without a disaster at their end (minutes)."""
    from ground.evaluation.seasons import evaluate_seasons

    first, _, last = seeds.partition("-")
    if not (first.isdigit() and (last or first).isdigit() and int(first) <= int(last or first)):
        typer.echo(f"error: --seeds {seeds}: expected first-last, e.g. 100-104", err=True)
        raise typer.Exit(2)
    try:
        result = evaluate_seasons(
            range(int(first), int(last or first) + 1), forecasters=_forecasters(forecaster, 0, "rgbn"),
            progress=lambda name: typer.echo(f"... {name}", err=True),
        )  # fmt: skip
    except OnboardError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from error
    if as_json:
        print(json.dumps(_finite(result), indent=2))
        return
    for method, values in result["metrics"].items():
        typer.echo(f"{method}: " + ", ".join(f"{name} {100 * value:.1f}" for name, value in values.items()))


def _forecasters(path: Path | None, yearly: int, bundle: str) -> dict[str, Any]:
    """The trained forecaster by name: as it is, and trained further each year."""
    if path is None:
        return {}
    import torch

    from ground.evaluation.seasons import quiet_series
    from ground.training.forecaster import FIRST_SEED, Yearly, expectation, load

    torch.set_num_threads(1)
    network = load(path)
    found: dict[str, Any] = {"forecaster": expectation(network)}
    if yearly:
        found["forecaster_yearly"] = Yearly(network, quiet_series(range(FIRST_SEED, FIRST_SEED + yearly), bundle))
    return found


def _forest_table(result) -> None:  # type: ignore[no-untyped-def]
    from rich.console import Console
    from rich.table import Table

    dates = len(result.history.times) + result.history.refused
    table = Table(title=f"{dates} dates, {int(result.history.clear.sum())} clear looks at cells; false alarms")
    columns = ("method", "scored", "cell-year AP", "at 50 % found", "75 %", "90 %", "threshold", "found", "false")
    for column in columns:
        table.add_column(column, justify="left" if column == "method" else "right")
    for name, m in result.metrics.items():
        cells = [f"{m['scored']}", _pct(m["cell_year_ap"])]
        cells += [f"{m[key]}" if (key := f"false_alarms_at_{r}pct") in m else "-" for r in (50, 75, 90)]
        declared = "threshold" in m
        cells += [f"{m['threshold']:g}", f"{m['losses_found']} of {m['losses']}"] if declared else ["-", "-"]
        cells += [f"{m['false_alarms']} ({_pct(m['false_alarm_share'])} %)"] if declared else ["-"]
        table.add_row(name.replace("_", " "), *cells)
    Console(width=None if sys.stdout.isatty() else 160).print(table)


@app.command()
def family(
    data: Annotated[
        Path | None, typer.Argument(metavar="[DATA]", help="folder with oscd and fires; without it only the table")
    ] = None,
    out: Annotated[
        Path, typer.Option(help="results, kept after every run; what is there already is not run again")
    ] = Path("docs/results/family.json"),
    page: Annotated[Path | None, typer.Option(help="Markdown page to write the table into, between its marks")] = None,
    steps: Annotated[int, typer.Option(min=1, help="optimiser steps of every objective")] = 200,
    seeds: Annotated[int, typer.Option(min=1, help="runs of every objective")] = 1,
    objective: Annotated[list[str] | None, typer.Option(help="only this one (or random); repeat")] = None,
    fused: Annotated[bool, typer.Option(help="also fly each under the shipped score (half a minute each)")] = False,
) -> None:
    """What the encoder is best trained for: each objective trained alike and scored (half an hour)."""
    import logging
    import warnings

    import torch

    from ground.evaluation.family import RANDOM, FamilySettings, run_family
    from ground.evaluation.family_table import BEGIN, END, table
    from ground.evaluation.page import write_between
    from ground.training.objectives import OBJECTIVES

    names = objective or [RANDOM, *OBJECTIVES]
    if unknown := sorted(set(names) - {RANDOM, *OBJECTIVES}):
        raise typer.BadParameter(f"{' '.join(unknown)}; there are {', '.join([RANDOM, *OBJECTIVES])}")
    torch.set_num_threads(1)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning.*")

    def keep(result: dict[str, object]) -> None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(_finite(result), indent=2, sort_keys=True) + "\n", encoding="utf-8")

    result = json.loads(out.read_text(encoding="utf-8")) if out.is_file() else {"network": {}, "metrics": {}}
    if data is not None:
        settings = FamilySettings(steps=steps)
        try:
            result = run_family(
                data, names, range(seeds), settings, result, fused, keep,
                lambda text: typer.echo(f"... {text}", err=True),
            )  # fmt: skip
        except OnboardError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(error.exit_code) from error
    text = table(result, {name: one.text for name, one in OBJECTIVES.items()})
    if page is not None:
        write_between(page, BEGIN, END, text)
    typer.echo(text)


def _table(result) -> None:  # type: ignore[no-untyped-def]
    from rich.console import Console
    from rich.table import Table

    counted = f"mean over {len(result.scenes_counted)} scenes with >= 10 positive tiles"
    table = Table(title=f"{result.bundle} ({result.runtime}), x 100; {counted}")
    columns = ("method", "tile AP", "95 % interval", "all scenes", "pooled", "pixel AUPRC")
    for column in (*columns, "recall 1 %", "5 %", "10 %", "25 % of bytes"):
        table.add_column(column, justify="left" if column == "method" else "right")
    for name, m in result.metrics.items():
        cells = [_pct(m["tile_ap"]), f"{_pct(m['tile_ap_low'])}..{_pct(m['tile_ap_high'])}"]
        cells += [_pct(m[key]) for key in ("tile_ap_all", "tile_ap_pooled", "pixel_auprc")]
        cells += [_pct(m[f"recall_at_{p}pct"]) for p in (1, 5, 10, 25)]
        table.add_row(LABELS.get(name, name), *cells)
    scenes = Table(title="tile AP by scene, x 100")
    for column in ("scene", "tiles", "positive", *(LABELS.get(n, n) for n in result.metrics)):
        scenes.add_column(column, justify="left" if column == "scene" else "right")
    for name, item in result.scenes.items():
        values = (_pct(item[method]["tile_ap"]) for method in result.metrics)
        scenes.add_row(name, str(item["tiles"]), str(item["positive"]), *values)
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table)
    console.print(scenes)


def _pct(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.1f}"


def _finite(value):  # type: ignore[no-untyped-def]
    """JSON has no nan: what cannot be computed is null."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


app.command("sr")(evaluate_restore.sr)
app.command("denoise")(evaluate_restore.denoise)
app.command("restorers")(evaluate_restore.restorers)
app.command("stripes")(evaluate_restore.stripes)
