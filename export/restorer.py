"""`onboard-export restorer`: a checkpoint of `ground train sr|denoise` -> a model folder of `onboard/restore/models`.

NAME/manifest.json        what the model is and how to feed it; read by onboard/restore/model.py
     restorer-int8.onnx   where 8 bits cost less than `LOST_DB`
     restorer-fp32.onnx
     restorer-int8.tflite, restorer-fp32.tflite   the same, where asked for
     parity.json          what 8 bits cost, in dB against the same pictures
     card.md  SHA256SUMS
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pixel_unshuffle

from export import restorer_onnx, restorer_tflite
from export.bundle import SUMS, write_json
from export.restorer_rounding import Calibration, nearest_onnx, nearest_tflite
from export.restorer_stripes import columns_told
from ground.models.anchored import UNSHUFFLE, Anchored
from ground.scenes.noise import Sensor
from ground.scenes.pictures import FINE_BANDS
from ground.scenes.resample import sensor_taps
from ground.training.crops import Crops, Pair
from ground.training.denoisers.base import MAP_GAIN
from ground.training.restoration import TrainedRestorer
from onboard.restore.model import FORMAT, MIXED_FORMAT, Network, load_model

F32 = NDArray[np.float32]
CALIBRATION = 192
"""Crops that the ranges are taken from, and as many that parity is measured on."""
SIDE = 64
LOST_DB = 0.1
LOST = {"onnx-int8": "", "tflite-int8": "tflite_"}
"""What precedes `lost_db` in the parity report."""
CHOSEN = {"onnx-int8": ("rounding", "ranges"), "tflite-int8": ("tflite_rounding", "tflite_ranges")}
"""What the manifest tells of how each was made."""
ROUNDS = 8
"""Of holding the output to the input: on towns 2 DN are left after two, half a DN after eight."""


def pack(
    trained: TrainedRestorer,
    pairs: Sequence[Pair],
    out: Path,
    name: str,
    card: str,
    version: int = 1,
    most_lost_db: float = LOST_DB,
    with_tflite: bool = False,
) -> Path:
    """Export, compare, and write `out/name`, replacing what is there only once everything is written.

    Args:
        pairs: pictures to calibrate on; even ones for that, odd ones to compare on.
        card: what a person should know, Markdown; figures of parity are appended.
        most_lost_db: more than this lost by INT8 against the checkpoint, and only fp32 is packed.
        with_tflite: pack TFLite too, which needs its converter.

    Raises:
        ValueError: the network is not one that flies.
        RuntimeError: TFLite cannot be written.
    """
    net, recipe = trained.net, trained.recipe
    if not isinstance(net, Anchored):
        raise ValueError(f"network {recipe.network} is for comparison on the ground; `anchored` flies")
    target, staging = out / name, out / f".{name}.new"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    try:
        with tempfile.TemporaryDirectory() as folder:
            fp32, int8 = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
            restorer_onnx.export_restorer(net, fp32, trained.training_hash)
            given, wanted = _crops(pairs[0::2] or pairs, net)
            on = Calibration(net, given, wanted, _planes(given, net))
            scales, chosen = nearest_onnx(on, fp32, int8)
            entries = {
                "onnx-int8": _entry(int8, staging / "restorer-int8.onnx", [one.to_dict() for one in scales]),
                "onnx-fp32": _entry(fp32, staging / "restorer-fp32.onnx", [{"dtype": "float32"}] * 2),
            }
            if with_tflite:
                more, how = _tflite(on, Path(folder), staging)
                entries, chosen = entries | more, chosen | how
        noise = _noise(recipe.noise, net)
        write_json(staging / "manifest.json", _manifest(trained, net, name, version, noise, entries, chosen))
        (staging / "card.md").write_text(card)
        _sums(staging)
        parity = _parity(staging, pairs[1::2] or pairs, net)
        lost = {key: parity[f"{name}lost_db"] for key, name in LOST.items() if f"{name}lost_db" in parity}
        too_much = [key for key, value in lost.items() if not value <= most_lost_db]
        for key in too_much:  # eight bits are not enough for this one: it flies in float
            (staging / entries.pop(key)["file"]).unlink()
            chosen = {name: how for name, how in chosen.items() if name not in CHOSEN[key]}
        write_json(staging / "manifest.json", _manifest(trained, net, name, version, noise, entries, chosen))
        _sums(staging)
        noise |= _columns(staging, trained, pairs)
        write_json(staging / "manifest.json", _manifest(trained, net, name, version, noise, entries, chosen))
        write_json(staging / "parity.json", parity)
        (staging / "card.md").write_text(f"{card}\n## Parity\n\n{_parity_text(parity)}\n")
        _sums(staging)
        shutil.rmtree(target, ignore_errors=True)
        staging.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return target


def _tflite(on: Calibration, folder: Path, staging: Path) -> tuple[dict[str, Any], dict[str, str]]:
    fp32, int8 = folder / "fp32.tflite", folder / "int8.tflite"
    restorer_tflite.export_restorer(on.net, fp32)
    scales, chosen = nearest_tflite(on, fp32, int8)
    return {
        "tflite-int8": _entry(int8, staging / "restorer-int8.tflite", [one.to_dict() for one in scales]),
        "tflite-fp32": _entry(fp32, staging / "restorer-fp32.tflite", [{"dtype": "float32"}] * 2),
    }, chosen


def _noise(noise: dict[str, Any], net: Anchored) -> dict[str, Any]:
    """What the flight software should know of the noise that a network was trained on; entries of the manifest."""
    if not net.noise_map:
        return {"noise": None}
    sensor = _sensor(noise)
    return {
        "noise": {"snr": sensor.snr, "read_share": sensor.read_share} if sensor else {"snr": 20.0, "read_share": 1.0}
    }


def _sensor(noise: dict[str, Any]) -> Sensor | None:
    """Of a recipe's noise, if it is a sensor's."""
    if noise.get("kind") != "sensor":
        return None
    return Sensor(**{key: value for key, value in noise.items() if key != "kind"})


def _columns(folder: Path, trained: TrainedRestorer, pairs: Sequence[Pair]) -> dict[str, Any]:
    """What columns tell a denoiser of its sensor's stripes; entries of the manifest."""
    recipe, sensor = trained.recipe, _sensor(trained.recipe.noise)
    if sensor is None or not trained.net.noise_map:
        return {}
    coarse = recipe.bands - FINE_BANDS if pairs[0].grid > 1 else 0
    network = Network(load_model(str(folder)))
    return {"columns": columns_told(network, [one.wanted for one in pairs], coarse, sensor, recipe.seed + 2)}


def _manifest(
    trained: TrainedRestorer, net: Anchored, name: str, version: int, noise: dict[str, Any],
    entries: dict[str, Any], chosen: dict[str, str],
) -> dict[str, Any]:  # fmt: skip
    recipe = trained.recipe
    held = None
    if recipe.imagery == "sentinel2" and recipe.scale > 1:
        held = {"taps": sensor_taps(recipe.scale), "rounds": ROUNDS}
    mix = {name: getattr(net, name).tolist() for name in ("mean", "into", "back")} if net.mixed else None
    return {
        "kind": "restore",
        "format": MIXED_FORMAT if mix else FORMAT,
        "name": name,
        "version": version,
        "task": "denoising" if recipe.scale == 1 else "super-resolution",
        "scale": recipe.scale,
        "bands": recipe.bands,
        "reach": net.reach,
        **noise,
        "consistency": held,
        **({"mix": mix} if mix else {}),
        "artefacts": entries,
        "about": {
            "network": recipe.network,
            "imagery": recipe.imagery,
            "parameters": sum(p.numel() for p in net.folded().parameters()),
            "training_hash": trained.training_hash,
            **chosen,
        },
    }


def _entry(source: Path, target: Path, tensors: list[dict[str, Any]]) -> dict[str, Any]:
    data = source.read_bytes()
    target.write_bytes(data)
    names = (restorer_onnx.INPUT, restorer_onnx.OUTPUT)
    inside, outside = ({"name": name} | tensor for name, tensor in zip(names, tensors, strict=True))
    digest = hashlib.sha256(data).hexdigest()
    return {"file": target.name, "bytes": len(data), "sha256": digest, "input": inside, "output": outside}


def _sums(folder: Path) -> None:
    files = sorted(path for path in folder.iterdir() if path.name != SUMS)
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    (folder / SUMS).write_text("".join(lines))


def _crops(pairs: Sequence[Pair], net: Anchored) -> tuple[Tensor, Tensor]:
    """Images with their maps (n, P, SIDE, SIDE), and what they should give (n, B, scale SIDE, scale SIDE)."""
    crops = Crops(pairs, SIDE, net.scale, CALIBRATION, (0, 99))
    given, wanted, sigma = (torch.stack(part) for part in zip(*(crops[i] for i in range(CALIBRATION)), strict=True))
    return torch.cat([given, MAP_GAIN * sigma.mean(1, keepdim=True)], 1) if net.noise_map else given, wanted


@torch.no_grad()
def _planes(given: Tensor, net: Anchored) -> F32:
    """What enters the convolutions, float32 (n, 4 P, SIDE / 2, SIDE / 2)."""
    return np.asarray(pixel_unshuffle(net.fed(given), UNSHUFFLE).numpy())


@torch.no_grad()
def _parity(folder: Path, pairs: Sequence[Pair], net: Anchored) -> dict[str, float]:
    """PSNR of both artefacts and of the checkpoint over the middle of crops; the artefacts are fed 8 bits."""
    model = load_model(str(folder))
    given, wanted = _crops(pairs, net)
    base = net.anchor(given[:, : net.bands])
    planes = np.rint(net.fed(given).numpy() * 127 + 128).astype(np.uint8)
    found = {"anchor": base, "checkpoint": net(given)}
    for key in model.artefacts:
        runtime, precision = key.split("-")
        network = Network(model, precision, runtime=runtime)
        name = precision if runtime == "onnx" else f"{runtime}_{precision}"
        found[name] = base + net.unmixed(torch.from_numpy(np.stack([network.correct(one) for one in planes])))
    edge = net.scale * (SIDE // 4)
    inside = (slice(None), slice(None), slice(edge, -edge), slice(edge, -edge))
    psnr = {key: float(-10 * torch.log10((one - wanted)[inside].square().mean())) for key, one in found.items()}
    report = {f"{key}_psnr": value for key, value in psnr.items()}
    report |= {"crops": float(len(given)), "lost_db": psnr["checkpoint"] - psnr["int8"]}
    if "tflite_int8" in psnr:
        report["tflite_lost_db"] = psnr["checkpoint"] - psnr["tflite_int8"]
    return report


def _parity_text(parity: dict[str, float]) -> str:
    return (
        f"{parity['crops']:.0f} crops not calibrated on, PSNR of full scale: anchor {parity['anchor_psnr']:.2f}, "
        f"checkpoint {parity['checkpoint_psnr']:.2f}, fp32 {parity['fp32_psnr']:.2f}, "
        f"INT8 {parity['int8_psnr']:.2f} dB ({parity['lost_db']:.3f} lost; more than {LOST_DB}, and only fp32 ships)."
        + (f" INT8 as TFLite: {parity['tflite_lost_db']:.3f} dB lost." if "tflite_lost_db" in parity else "")
    )
