"""Changes what a bundle says beside its artefacts (score, cloud, detection, budgets, version), and seals it again.

The artefacts stay as they are, byte for byte, and so do their tags and everything remembered with them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from export.bundle import seal, write_json
from export.card import listed
from onboard.infer.bundle import CLOUD, MANIFEST, load_bundle


def amend(
    folder: Path,
    score: Mapping[str, Any] | None = None,
    cloud: Mapping[str, Any] | None = None,
    detection: Mapping[str, Any] | None = None,
    budgets: Mapping[str, Any] | None = None,
    version: int | None = None,
) -> None:
    """Rewrite a bundle in place; None leaves a part as it is.

    Raises:
        BundleError: the bundle cannot be read before, or after.
    """
    load_bundle(str(folder.resolve()))
    manifest, parity = (json.loads((folder / name).read_text()) for name in (MANIFEST, "parity.json"))
    card = (folder / "card.md").read_text()
    if score is not None:
        manifest["score"] = dict(score)
    if version is not None:
        manifest["version"] = version
        card = re.sub(r"^# (\S+), version \d+", rf"# \1, version {version}", card)
    if budgets is not None:
        manifest["budgets"] = {key: dict(item) for key, item in budgets.items() if key in manifest["artefacts"]}
        card = _section(card, "Budgets", manifest["budgets"])
    if detection is not None:
        parity["detection"] = dict(detection)
        card = _section(card, "Detection", detection)
    write_json(folder / MANIFEST, manifest)
    write_json(folder / "parity.json", parity)
    if cloud is not None:
        write_json(folder / CLOUD, cloud)
    (folder / "card.md").write_text(card)
    seal(folder)
    load_bundle(str(folder.resolve()))


def _section(card: str, title: str, values: Mapping[str, Any]) -> str:
    """The card with this section replaced, or put before the limits."""
    text = f"## {title}\n\n" + "\n".join(listed(values)) + "\n\n"
    found = re.search(rf"^## {title}\n.*?(?=^## )", card, re.MULTILINE | re.DOTALL)
    if found:
        return card[: found.start()] + text + card[found.end() :]
    at = card.index("## Limits")
    return card[:at] + text + card[at:]
