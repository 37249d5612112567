"""The model card that travels in a bundle (Mitchell et al. 2019, doi:10.1145/3287560.3287596).

Every figure in it comes from the checkpoint, the artefacts or a measurement; no timestamp, so that it repeats.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ground.models.ravaen import TILE
from ground.training.encoder import TrainedEncoder

LIMITS = """## Limits

- Trained on a few dozen mostly clear Sentinel-2 scenes, most of them of towns; snow, sea ice, open ocean and the polar
  regions are not among them. Clouds are not recognised by this network: mask them before.
- A latent compares with a latent of the same artefact only.
- 10 m pixels, top-of-atmosphere or surface reflectance, but the same level for all passes of a place.
"""

DATA = """## Data and licence

Contains modified Copernicus Sentinel data 2015-2025, processed by ESA; use of the imagery is governed by the Copernicus
data terms (free, full and open; credit as above). The scenes are those of OSCD (Daudt et al. 2018; its labels,
CC BY-NC-SA, were not read in training) and, for the band set `fire`, medians before and after five Californian
wildfires (the perimeters were not read). The weights are Apache-2.0 like the rest of this distribution.
"""


def command(trained: TrainedEncoder, data: str = "DATA...") -> str:
    """The command line that trains these weights again."""
    recipe, rule = trained.recipe, trained.recipe.rule
    objective = "" if recipe.objective == "vae" else f" --objective {recipe.objective}"
    parts = [
        f"ground train encoder {data} --out DIR --bands {recipe.name} --size {recipe.model.size}{objective}",
        f"--latent {recipe.model.latent} --activation {recipe.model.activation} --steps {recipe.steps}",
        f"--epoch-steps {recipe.epoch_steps} --batch {recipe.batch} --lr {recipe.learning_rate:g}",
        f"--kl-weight {recipe.kl_weight:g}",
        f"--jitter-gain {recipe.jitter.gain:g} --jitter-offset {recipe.jitter.offset:g}",
        f"--shift {rule.shift!r} --limit {rule.limit!r} --seed {recipe.seed}",
        " ".join(f"--hold-out {place}" for place in recipe.hold_out),
    ]
    return " \\\n  ".join(part for part in parts if part)


def render(manifest: Mapping[str, Any], trained: TrainedEncoder, parity: Mapping[str, Any]) -> str:
    """Markdown, the same text for the same inputs."""
    model, artefacts = manifest["model"], manifest["artefacts"]
    places = sorted({name.split("/")[-2] for name in trained.files})
    about = "" if trained.recipe.objective == "vae" else f"\nTrained for: {trained.recipe.objective}."
    network = "encoder" if about else "variational autoencoder"
    rows = []
    for kind in sorted(artefacts):
        one = parity[kind]
        rows.append(
            f"| {kind} | {artefacts[kind]['bytes']:,} | {one['max_abs_error']:.2g} of {one['max_abs_latent']:.2g} "
            f"| {one['cosine_min']:.5f} | {one['cosine_median']:.5f} |"
        )
    text = f"""# {manifest["name"]}, version {manifest["version"]}

RaVAEn {network}, {model["size"]}, the encoder's mean only ({model["parameters"]:,} parameters fly):
a {TILE}x{TILE} px tile of {" ".join(manifest["bands"])} -> {model["latent"]} numbers.
{scored_by(manifest["score"])}
After Ruzicka et al., Scientific Reports 12:16939 (2022), doi:10.1038/s41598-022-19437-5.

## Training

{len(trained.files)} GeoTIFF files of {len(places)} places: {", ".join(places)}.
Held out: {", ".join(trained.recipe.hold_out) or "none"}. Training read no label.{about}
Training hash `{model["training_hash"]}`.

```
{command(trained)}
```

## Parity with the checkpoint

{parity["tiles"]} tiles of {", ".join(parity["places"])}; latents against torch float32.

| artefact | bytes | largest error | cosine, minimum | cosine, median |
| --- | --- | --- | --- | --- |
{chr(10).join(rows)}
"""
    text += _calibration(parity.get("calibration", {}))
    if manifest.get("budgets"):
        text += "\n## Budgets\n\n" + "\n".join(listed(manifest["budgets"])) + "\n"
    if "detection" in parity:
        text += "\n## Detection\n\n" + "\n".join(listed(parity["detection"])) + "\n"
    return f"{text}\n{LIMITS}\n{DATA}"


def _calibration(found: Mapping[str, Any]) -> str:
    """The search's table, best first, and whether the weights were trained on."""
    if "search" not in found:
        return ""
    text = f"""
## Calibration of INT8

Chosen on {found["tiles"]} tiles of the training places by signal-to-noise ratio of the latents; the one kept is marked.

| runtime | method | weights | activations | SNR, dB | cosine, median | cosine, minimum |
| --- | --- | --- | --- | --- | --- | --- |
"""
    for runtime, rows in found["search"].items():
        for row in rows:
            mark = " *" if row.get("kept") else ""
            begin = f"| {runtime} | {row['method']} | {row['weights']} | {row['activations']}{mark} "
            if "refused" in row:
                text += f"{begin}| {row['refused']} | | |\n"
            else:
                text += f"{begin}| {row['snr_db']:.2f} | {row['cosine_median']:.5f} | {row['cosine_min']:.5f} |\n"
    if found.get("trained_on"):
        text += f"\nTrained on through the rounding (export/qat.py): {', '.join(found['trained_on'])}.\n"
    return text


def scored_by(score: Mapping[str, Any]) -> str:
    """The card's line about the score rule."""
    return f'Change is scored by the rule "{score["rule"]}" (onboard/change/rule.py has its constants).'


def listed(values: Mapping[str, Any], before: str = "") -> list[str]:
    """A nested mapping of figures as a flat list."""
    lines = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            lines += listed(value, f"{before}{key}, ")
        else:
            lines.append(f"- {before}{key}: {value:.4g}" if isinstance(value, float) else f"- {before}{key}: {value}")
    return lines
