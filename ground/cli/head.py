"""`ground train head`: a few labelled cells and a store in, a head of a few hundred bytes out. No torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from onboard.errors import OnboardError

EPILOG = "Exit codes: 0 trained, 2 wrong options, 3 a file of cells, 4 nothing remembered, 5 bundle or head, 6 store."


def head(
    store: Annotated[Path, typer.Option(help="Store of onboard-detect that remembers the cells.")],
    positive: Annotated[Path, typer.Option(help="GeoJSON: more like these.")],
    name: Annotated[str, typer.Option(help="Class, e.g. flood.")],
    out: Annotated[Path, typer.Option(help="The head.")],
    negative: Annotated[Path | None, typer.Option(help="GeoJSON: not these.")] = None,
    features: Annotated[
        str, typer.Option(help="evidence (band means and their change), latent, or latent-change.")
    ] = "evidence",
    history: Annotated[int, typer.Option(min=1, help="Clear past looks that a look is compared with.")] = 3,
    bundle: Annotated[
        str, typer.Option(help="Bundle whose records are read: auto, a name that ships, a folder.")
    ] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Train a head from a handful of cells, and from unlabelled ones that say what is usual."""
    from onboard.change import examples, heads
    from onboard.change.remembered import pick_model
    from onboard.store.recall import Recall

    if features not in heads.FEATURES:
        raise typer.BadParameter(f"{features!r}: choose from {', '.join(heads.FEATURES)}", param_hint="--features")
    try:
        with Recall(store) as recall:
            model = pick_model(bundle, recall)
            passes = recall.passes(model.artefact.sha256, model.dtype)
            sides = []
            for path in (positive, negative):
                refs = [] if path is None else examples.read_cells(path, recall.grids())
                looks = examples.find_looks(refs, recall, passes, model, history)
                x, known = heads.extract(features, *examples.stack(looks, model.dtype, history))
                if known.sum() < len(refs):
                    typer.echo(f"{path}: {len(refs) - known.sum()} of {len(refs)} cells have no clear look", err=True)
                sides.append(x[known])
            usual, known = heads.extract(features, *examples.usual_looks(recall, passes, model, history))
        trained = heads.train(name, model.artefact.sha256, features, sides[0], sides[1], usual[known])
        data = trained.to_bytes()
        out.write_bytes(data)
    except OnboardError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from error
    except OSError as error:
        typer.echo(f"error: {out}: cannot be written ({error.strerror})", err=True)
        raise typer.Exit(2) from error
    said = {
        "head": str(out), "name": name, "bytes": len(data), "features": features, "artefact": model.artefact.sha256,
        "positive": len(sides[0]), "negative": len(sides[1]), "usual": int(known.sum()),
    }  # fmt: skip
    typer.echo(json.dumps(said) if as_json else f"{out}: {len(data)} bytes from {len(sides[0])}+{len(sides[1])} cells")
