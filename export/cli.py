"""`onboard-export`: a checkpoint in, a bundle out; `keygen`, `bundle` and `verify` make of it what is uplinked."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core

from export import restorer_cli
from export.gates import GATES, failures
from onboard.change.rule import ScoreRule
from onboard.config import SCORE_RULES
from onboard.errors import OnboardError


class _Group(typer.core.TyperGroup):
    """`onboard-export CHECKPOINT ...` without the name of a command is `export`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        named = args and (args[0] in self.commands or args[0] == "--help")
        return super().parse_args(ctx, args if named or not args else ["export", *args])


app = typer.Typer(add_completion=False, cls=_Group, help="Checkpoint -> bundle -> signed package.")


@app.command()
def keygen(path: Annotated[Path, typer.Argument(help="Private key; PATH.pub beside it goes on board.")]) -> None:
    """Make a pair of Ed25519 keys. The private one stays on the ground and out of every repository."""
    from export import sign

    with _clear():
        for file in sign.keygen(path):
            typer.echo(file)


@app.command("bundle")
def bundle_command(
    folder: Annotated[Path, typer.Argument(help="Of a bundle.", exists=True, file_okay=False)],
    out: Annotated[Path, typer.Option(help="The package.")],
    key: Annotated[Path, typer.Option(help="Private key of `keygen`.")],
    version: Annotated[int, typer.Option(min=1, help="Counted up: no satellite takes an older one.")],
    target: Annotated[str, typer.Option(help="Name of the spacecraft.")] = "any",
    expires: Annotated[str | None, typer.Option(help="ISO 8601; without a time zone UTC. Never by default.")] = None,
    artefact: Annotated[list[str] | None, typer.Option(help="Send only this, e.g. onnx-int8; repeat.")] = None,
) -> None:
    """Pack the bundle of FOLDER into one signed file; the same inputs give the same bytes."""
    from export import sign

    with _clear():
        try:
            until = datetime.fromisoformat(expires) if expires else None
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--expires") from error
        if until is not None and until.tzinfo is None:
            until = until.replace(tzinfo=UTC)
        data = sign.build(folder, key, version, target, until, artefact or ())
        out.write_bytes(data)
    typer.echo(f"{out}: {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}")


@app.command("amend")
def amend_command(
    folder: Annotated[Path, typer.Argument(help="Of a bundle.", exists=True, file_okay=False)],
    score: Annotated[
        str, typer.Option(help="Name of a rule, or constants as JSON or @FILE; those it does not name stay.")
    ] = "",
    cloud: Annotated[str, typer.Option(help="Head of `ground train cloud`, as @FILE.")] = "",
    event: Annotated[str, typer.Option(help="Head of `ground train event`, as @FILE.")] = "",
    detection: Annotated[str, typer.Option(help="Detection figures instead of those there, as JSON or @FILE.")] = "",
    budgets: Annotated[str, typer.Option(help="Of `benchmarks export --budgets`, as @FILE.")] = "",
    version: Annotated[int | None, typer.Option(min=1, help="Of the bundle.")] = None,
) -> None:
    """Change what the bundle in FOLDER says beside its artefacts, which stay as they are, and seal it again."""
    from export.amend import amend
    from onboard.infer.bundle import load_bundle

    with _clear():
        constants = _constants(score) if score else None
        measured = _json(budgets, "--budgets") if budgets else None
        amend(
            folder,
            constants,
            cloud=_json(cloud, "--cloud") if cloud else None,
            event=_json(event, "--event") if event else None,
            detection=_json(detection, "--detection") if detection else None,
            budgets=measured and measured.get(load_bundle(str(folder.resolve())).name, measured),
            version=version,
        )


@app.command()
def verify(
    package: Annotated[Path, typer.Argument(exists=True, dir_okay=False)],
    trust: Annotated[Path, typer.Option(help="Folder of public keys (*.pub).", exists=True, file_okay=False)],
) -> None:
    """Check signature and hashes of PACKAGE as a satellite does; print what it holds."""
    from onboard.install.package import open_package
    from onboard.install.trust import verifier

    with _clear():
        found = open_package(package, verifier(trust))
        sizes = {name: len(data) for name, data in found.contents()}
    expires = found.expires.isoformat() if found.expires else None
    told = {"name": found.name, "version": found.version, "target": found.target, "expires": expires, "files": sizes}
    typer.echo(json.dumps(told, indent=2))


@contextlib.contextmanager
def _clear() -> Iterator[None]:
    """Expected faults end as one line and their exit code."""
    try:
        yield
    except OnboardError as error:
        typer.echo(f"onboard-export: {error}", err=True)
        raise typer.Exit(error.exit_code) from error
    except OSError as error:
        typer.echo(f"onboard-export: {error.filename}: {error.strerror}", err=True)
        raise typer.Exit(1) from error


@app.command(epilog="Exit codes: 0 packed, 1 not exportable, 2 wrong options, 3 imagery cannot be used.")
def export(
    checkpoint: Annotated[Path, typer.Argument(help="Of `ground train encoder`.", exists=True, dir_okay=False)],
    data: Annotated[list[Path], typer.Option(help="Folders of real imagery for calibration and parity; repeat.")],
    out: Annotated[Path, typer.Option(help="The bundle is written to OUT/NAME.")],
    name: Annotated[str | None, typer.Option(help="Of the bundle; the band set's by default.")] = None,
    score: Annotated[
        str, typer.Option(help="Score rule: surprise (default), cosine, euclidean, or its constants as JSON or @FILE.")
    ] = "",
    cloud: Annotated[str | None, typer.Option(help="Head of `ground train cloud`, as @FILE.")] = None,
    event: Annotated[str | None, typer.Option(help="Head of `ground train event`, as @FILE.")] = None,
    detection: Annotated[str | None, typer.Option(help="Detection figures to merge in, as JSON or @FILE.")] = None,
    calibrate: Annotated[
        str, typer.Option(help="search: every way of quantising, the best is kept; or minmax, percentile, entropy.")
    ] = "search",
    qat: Annotated[bool, typer.Option(help="Train on through the rounding where INT8 misses its gates.")] = True,
    like: Annotated[
        Path | None,
        typer.Option(help="Take score, heads, detection figures, version and budgets from this bundle."),
    ] = None,
    budgets: Annotated[str | None, typer.Option(help="Of `benchmarks export --budgets`, as @FILE.")] = None,
    tiles: Annotated[int, typer.Option(min=1, help="Tiles to calibrate on, and at most as many to compare.")] = 2048,
    version: Annotated[int | None, typer.Option(min=1, help="Of the bundle; 1 by default.")] = None,
    seed: Annotated[int, typer.Option(help="Which tiles are drawn.")] = 0,
    tflite: Annotated[bool, typer.Option(help="TFLite beside ONNX.")] = True,
    gates: Annotated[Path, typer.Option(help="Thresholds that fail the export.", exists=True, dir_okay=False)] = GATES,
) -> None:
    """Export CHECKPOINT to ONNX and TFLite, fp32 and INT8, check parity, pack a bundle; parity.json goes to stdout."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(name)s: %(message)s")
    log = logging.getLogger("onboard-export")
    earlier = _earlier(like) if like else {}
    rule = _rule(score) if score or "score" not in earlier else earlier["score"]
    figures = _json(detection, "--detection") if detection else earlier.get("detection")
    clouds = _json(cloud, "--cloud") if cloud else earlier.get("cloud")
    events = _json(event, "--event") if event else earlier.get("event")
    measured = _json(budgets, "--budgets") if budgets else {}

    import torch

    from export import bundle, convert, parity
    from export.calibration import CHOICES, METHODS, Choice
    from export.qat import STEPS
    from ground.scenes import pairs
    from ground.training.encoder import load_checkpoint

    if calibrate not in ("search", *METHODS):
        raise typer.BadParameter(f"{calibrate!r} is none of search, {', '.join(METHODS)}", param_hint="--calibrate")
    torch.set_num_threads(1)
    try:
        trained = load_checkpoint(checkpoint)
        recipe = trained.recipe
        scenes, left_out = pairs.load_scenes(pairs.find_folders(data), recipe.bands, recipe.rule)
        for line in left_out:
            log.warning("left out: %s", line)
        seen = [scene for scene in scenes if scene.place not in recipe.hold_out] or scenes
        unseen = [scene for scene in scenes if scene.place in recipe.hold_out] or scenes
        with tempfile.TemporaryDirectory() as folder:
            calibration = pairs.sample_cells(seen, tiles, seed)
            choices = CHOICES if calibrate == "search" else (Choice(calibrate),)
            converted = convert.all_artefacts(
                trained, Path(folder), calibration, choices, tflite, gates, STEPS if qat else 0
            )
            made = converted.made
            places = tuple(sorted({scene.place for scene in unseen}))
            real = pairs.sample_cells(unseen, tiles, seed)
            report = parity.report(trained, made, real, places, figures)
            missed = failures(report, gates)
            if missed:
                raise ValueError(f"no bundle written: {'; '.join(missed)}")
            report["calibration"] = {
                "tiles": len(calibration), "seed": seed, "search": converted.searched,
                "trained_on": converted.trained_on,
            }  # fmt: skip
            target = bundle.pack(
                out, name or recipe.name, trained, made, report, score=rule, cloud=clouds, event=events,
                version=version or earlier.get("version", 1),
                budgets=measured.get(name or recipe.name) or earlier.get("budgets"),
            )  # fmt: skip
    except OnboardError as error:
        log.error("%s", error)
        raise typer.Exit(error.exit_code) from error
    except (RuntimeError, ValueError) as error:
        log.error("%s", error)
        raise typer.Exit(1) from error
    log.info("%s", target)
    typer.echo((target / "parity.json").read_text(), nl=False)


app.command("restorer", epilog=restorer_cli.EPILOG)(restorer_cli.restorer)


def _earlier(folder: Path) -> dict[str, Any]:
    """What a bundle holds that an export of the same weights would not find out again."""
    from onboard.infer.bundle import CLOUD, EVENT, MANIFEST, load_bundle

    try:
        load_bundle(str(folder.resolve()))
        manifest, parity = (json.loads((folder / name).read_text()) for name in (MANIFEST, "parity.json"))
        found = {key: manifest[key] for key in ("score", "version", "budgets") if key in manifest}
        if "detection" in parity:
            found["detection"] = parity["detection"]
        for key, file in (("cloud", CLOUD), ("event", EVENT)):
            if (folder / file).exists():
                found[key] = json.loads((folder / file).read_text())
    except (OnboardError, OSError) as error:
        raise typer.BadParameter(str(error), param_hint="--like") from error
    return found


def _rule(text: str) -> dict[str, Any]:
    """The whole score rule for the manifest, with every constant written out; nothing is "surprise"."""
    try:
        return ScoreRule.from_dict(_constants(text or "surprise")).to_dict()
    except OnboardError as error:
        raise typer.BadParameter(str(error), param_hint="--score") from error


def _constants(text: str) -> dict[str, Any]:
    """What `--score` names: a rule alone, or constants."""
    return {"rule": text} if text in SCORE_RULES else _json(text, "--score")


def _json(text: str, option: str) -> dict[str, Any]:
    """A JSON object given as text, or as @FILE.

    Raises:
        typer.BadParameter: neither.
    """
    try:
        value = json.loads(Path(text[1:]).read_text() if text.startswith("@") else text)
    except (OSError, ValueError) as error:
        raise typer.BadParameter(str(error), param_hint=option) from error
    if not isinstance(value, dict):
        raise typer.BadParameter("not a JSON object", param_hint=option)
    return value
