"""Which versions an image was made of, and where they are not those that were tried (docker/simulator/versions.txt)."""

from __future__ import annotations

from collections.abc import Sequence

from host import HERE, OUT, say

TRIED = HERE / "versions.txt"


def report(part: str, lines: Sequence[str]) -> None:
    """Write out/sim/versions-PART.txt, and say what differs: Debian's security updates move its packages."""
    (OUT / f"versions-{part}.txt").write_text("\n".join(lines) + "\n")
    moved = sorted(set(lines) - set(TRIED.read_text().splitlines()))
    if moved:
        say(f"{part}: {len(moved)} of {len(lines)} packages are not those that were tried, e.g. {moved[0]}")
