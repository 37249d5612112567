"""Changes what a bundle says beside its artefacts (score, heads, detection, budgets, version), and seals it again.

The artefacts stay as they are, byte for byte, and so do their tags and everything remembered with them.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from export.bundle import seal, write_json
from export.card import listed, scored_by
from export.known import write_answers
from onboard.change.rule import ScoreRule
from onboard.infer.bundle import CLOUD, EVENT, MANIFEST, TILES, load_bundle

PARITY, CARD = "parity.json", "card.md"


def amend(
    folder: Path,
    score: Mapping[str, Any] | None = None,
    cloud: Mapping[str, Any] | None = None,
    event: Mapping[str, Any] | None = None,
    detection: Mapping[str, Any] | None = None,
    budgets: Mapping[str, Any] | None = None,
    version: int | None = None,
) -> None:
    """Rewrite a bundle; None leaves a part as it is. It is replaced once the new one is written and can be read.

    Args:
        score: constants to change; those it does not name stay.
        cloud, event: heads, for the bundle's bands; set or replaced.
        detection: figures for the card and parity.json, instead of those there.
        budgets: by artefact; those of artefacts that the bundle does not have are left out.
        version: of the bundle.

    Known answers are written where the bundle has none; they depend on the artefacts alone.

    Raises:
        BundleError: the bundle cannot be read before, or would not be after; it is then as it was.
    """
    folder = folder.resolve()
    load_bundle(str(folder))
    staging = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(staging, ignore_errors=True)
    try:
        shutil.copytree(folder, staging)
        manifest, parity = (json.loads((staging / name).read_text()) for name in (MANIFEST, PARITY))
        card = (staging / CARD).read_text()
        if score is not None:
            manifest["score"] = ScoreRule.from_dict({**manifest["score"], **score}).to_dict()
            card = re.sub(r"^Change is scored by .*$", scored_by(manifest["score"]), card, flags=re.MULTILINE)
        if version is not None:
            manifest["version"] = version
            card = re.sub(r"^# (\S+), version \d+", rf"# \1, version {version}", card)
        if budgets is not None:
            manifest["budgets"] = {key: dict(item) for key, item in budgets.items() if key in manifest["artefacts"]}
            card = _section(card, "Budgets", manifest["budgets"])
        if detection is not None:
            parity["detection"] = dict(detection)
            card = _section(card, "Detection", detection)
        write_json(staging / MANIFEST, manifest)
        write_json(staging / PARITY, parity)
        for file, head in ((CLOUD, cloud), (EVENT, event)):
            if head is not None:
                write_json(staging / file, head)
        (staging / CARD).write_text(card)
        seal(staging)
        if TILES not in load_bundle(str(staging)).known:
            write_answers(staging)
            seal(staging)
        load_bundle(str(staging))
        shutil.rmtree(folder)
        staging.rename(folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _section(card: str, title: str, values: Mapping[str, Any]) -> str:
    """The card with this section replaced, or put before the limits."""
    text = f"## {title}\n\n" + "\n".join(listed(values)) + "\n\n"
    found = re.search(rf"^## {title}\n.*?(?=^## )", card, re.MULTILINE | re.DOTALL)
    if found:
        return card[: found.start()] + text + card[found.end() :]
    at = card.index("## Limits")
    return card[:at] + text + card[at:]
