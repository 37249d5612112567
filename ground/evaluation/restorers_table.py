"""`ground evaluate restorers`: every method on the same pictures, as one stored result, a table and a picture.

Enlarging on natural sets, removing white noise from clean pictures, and a small sensor's noise from Sentinel-2. What is
compared are shipped models, checkpoints and classical methods alike; bicubic and the noisy pictures are measured with
them and are rows of their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ground.evaluation.classical import CLASSICAL
from ground.evaluation.denoising import evaluate_denoise_natural, evaluate_denoise_scenes
from ground.evaluation.restoration import coarse_of, evaluate_sr_natural, open_restorer, scale_of, told_of
from onboard.restore.model import load_model

BEGIN = "<!-- ground evaluate restorers: begin -->"
END = "<!-- ground evaluate restorers: end -->"
SIGMA = 25.0
SNRS = (20.0, 10.0)
"""Signal over standard deviation; the second is 20 dB, as papers on noise removal count."""
PARTS = ("psnr_10m", "psnr_20m", "psnr")
BM3D = 29.97
"""Published, Set12 at sigma 25 (Zhang et al. 2017); the package `bm3d` is licensed for non-commercial use alone."""


@dataclass(frozen=True)
class Row:
    """A method: how it is called, and what `open_restorer` opens; `precision` of a model that ships."""

    label: str
    source: str
    precision: str = "auto"


def parse_row(text: str) -> Row:
    """LABEL=SOURCE or SOURCE, with an optional @fp32: `ours=sr-x2@fp32`, `fsrcnn=run/restorer.ckpt`, `tv`."""
    label, _, source = text.rpartition("=")
    source, _, precision = source.partition("@")
    return Row(label or source, source, precision or ("auto" if not source.endswith(".ckpt") else "float"))


def measure(
    data: Path, sr: Sequence[Row], denoise: Sequence[Row], sensor: Sequence[Row], places: Sequence[str],
    kept: dict[str, Any], keep: Callable[[dict[str, Any]], None], say: Callable[[str], None],
) -> dict[str, Any]:  # fmt: skip
    """Measure the rows and put them beside what was measured before; `keep` is called after each.

    Args:
        data: holds `natural/Set5/x2`, `natural/Set14/x2`, `natural/Set12` and `oscd`.
        places: Sentinel-2 scenes that no network was trained on.
        kept: result of an earlier call, or empty.
    """
    result: dict[str, Any] = {"sr": {}, "denoise": {}, "sensor": {}} | kept
    result |= {"sigma": SIGMA, "seed": 0, "places": list(places)}
    natural = data / "natural"
    for row in sr:
        say(f"sr: {row.label}")
        scale = scale_of(row.source)
        restorer = open_restorer(row.source, row.precision, scale)
        found = {
            name: evaluate_sr_natural(natural / name / f"x{scale}", scale, restorer)["metrics"]
            for name in ("Set5", "Set14")
        }
        result["sr"][row.label] = _about(row) | {"scale": scale} | found
        keep(result)
    for row in denoise:
        say(f"denoise: {row.label}")
        restorer = open_restorer(row.source, row.precision, 1)
        found = evaluate_denoise_natural(natural / "Set12", SIGMA, 0, restorer)["metrics"]
        result["denoise"][row.label] = _about(row) | found
        keep(result)
    for row in sensor:
        say(f"sensor: {row.label}")
        restorer = open_restorer(row.source, row.precision, 1)
        how: dict[str, Any] = {"coarse": coarse_of(row.source), "told": told_of(row.source)}
        at = {
            f"{snr:.0f}": evaluate_denoise_scenes(data / "oscd", snr, 0, restorer, places, **how)["metrics"]
            for snr in SNRS
        }
        result["sensor"][row.label] = _about(row) | {"snr": at}
        keep(result)
    return result


def _about(row: Row) -> dict[str, Any]:
    """What a method is, beside its figures; no paths."""
    if row.source in CLASSICAL:
        return {"kind": "classical"}
    if row.source.endswith(".ckpt"):
        from ground.training.restoration import load_checkpoint

        trained = load_checkpoint(Path(row.source))
        recipe = trained.recipe
        return {
            "kind": "float", "parameters": sum(p.numel() for p in trained.net.parameters()), "steps": recipe.steps,
            "network": recipe.network, "objective": recipe.objective, "start": recipe.start,
            "training_hash": trained.training_hash,
        }  # fmt: skip
    model = load_model(row.source)
    return {
        "kind": model.artefact(row.precision).key.partition("-")[2],
        "parameters": model.about["parameters"],
        "training_hash": model.about["training_hash"],
    }


def table(result: Mapping[str, Any]) -> str:
    """Markdown: three tables."""
    lines = ["| luma, dB | | parameters | Set5 | Set14 | s/Mpx |", "|---|---|---:|---:|---:|---:|"]
    for scale in sorted({one["scale"] for one in result["sr"].values()}):
        rows = [(label, one) for label, one in result["sr"].items() if one["scale"] == scale]
        plain = rows[0][1]
        lines.append(f"| x{scale}, bicubic | | | {_bicubic(plain, 'Set5')} | {_bicubic(plain, 'Set14')} | |")
        for label, one in rows:
            figures = " | ".join(f"{one[name]['psnr_y']:.2f}" for name in ("Set5", "Set14"))
            lines.append(f"| {label} | {_kind(one)} | {figures} | {one['Set14']['seconds_per_megapixel']:.2f} |")
    white = f"white noise, sigma {result['sigma']:.0f}, Set12, dB"
    lines += ["", f"| {white} | | parameters | PSNR | SSIM | whiteness | s/Mpx |", "|---|---|---:|---:|---:|---:|---:|"]
    rows = list(result["denoise"].items())
    if rows:
        lines.append(f"| noisy | | | {rows[0][1]['noisy_psnr']:.2f} | | | |")
    lines.append(f"| BM3D, published | classical | | {BM3D} | | | |")
    for label, one in rows:
        lines.append(
            f"| {label} | {_kind(one)} | {one['psnr']:.2f} | {one['ssim']:.3f} | {one['residual_whiteness']:.2f} "
            f"| {one['seconds_per_megapixel']:.2f} |"
        )
    return "\n".join([*lines, "", *_sensor_table(result["sensor"], result["places"])])


def _sensor_table(rows: Mapping[str, Any], places: Sequence[str]) -> list[str]:
    """Gain of the 10 m bands, of the 20 m bands and of all, for each signal-to-noise ratio."""
    where = " and ".join(name.capitalize() for name in places)
    names = [f"{snr:.0f}" for snr in SNRS]
    columns = " | ".join(f"SNR {name} ({20 * math.log10(float(name)):.0f} dB): 10 m | 20 m | all" for name in names)
    lines = [
        f"| sensor, {where}, dB gained | | parameters | {columns} | stripes | SAM, degrees | s/Mpx |",
        f"|---|---|---:|{'---:|' * (3 * len(names) + 3)}",
    ]
    whole = [one["snr"] for one in rows.values() if "psnr_20m" in one["snr"][names[0]]]
    if whole:
        seen = [f"{whole[0][name][key]:.2f}" for name in names for key in (f"noisy_{each}" for each in PARTS)]
        angle = whole[0][names[0]]["noisy_sam_degrees"]
        lines.append(f"| PSNR as it was seen | | | {' | '.join(seen)} | 0.0 | {angle:.2f} | |")
    for label, one in rows.items():
        gains = []
        for name in names:
            found = one["snr"][name]
            both = [f"{found[key] - found[f'noisy_{key}']:+.2f}" if key in found else "" for key in PARTS]
            gains += both if "psnr_20m" in found else [both[0], "", ""]
        first = one["snr"][names[0]]
        lines.append(
            f"| {label} | {_kind(one)} | {' | '.join(gains)} | {first['stripes_left_db']:+.1f} "
            f"| {first['sam_degrees']:.2f} | {first['seconds_per_megapixel']:.2f} |"
        )
    return lines


def _kind(one: Mapping[str, Any]) -> str:
    return f"{one['kind']} | {one['parameters']:,}" if "parameters" in one else f"{one['kind']} |"


def _bicubic(one: Mapping[str, Any], name: str) -> str:
    return f"{one[name]['bicubic_psnr_y']:.2f}"
