"""Debian packages for arm64, unpacked and never configured: no ARM instruction is run, no root rights are needed."""

from __future__ import annotations

import tarfile
import urllib.parse
from collections.abc import Sequence
from pathlib import Path

from host import run, say

SUITE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
LISTED = "var/lib/dpkg/extracted"


def unpack(packages: Sequence[str], folder: Path) -> list[str]:
    """Unpack packages, with what they depend on, into a folder; returns all of them as `name version`, sorted."""
    archive = folder.with_suffix(".tar")
    say(f"unpacking Debian {SUITE} for arm64: {', '.join(packages)} and what they depend on")
    run(
        [
            "mmdebstrap", "--arch=arm64", "--variant=extract", f"--include={','.join(packages)}",
            "--components=main,non-free-firmware", f'--extract-hook=ls "$1/var/cache/apt/archives" > "$1/{LISTED}"',
            "--format=tar", SUITE, archive, MIRROR,
        ],
        "unpacking Debian packages",
    )  # fmt: skip
    folder.mkdir(parents=True)
    with tarfile.open(archive) as tar:
        members = [member for member in tar if not member.isdev() and not member.name.startswith("./dev/")]
        tar.extractall(folder, members=members, filter="tar")
    archive.unlink()
    names = [name[:-4].split("_") for name in (folder / LISTED).read_text().split() if name.endswith(".deb")]
    return sorted(f"{urllib.parse.unquote(name)} {urllib.parse.unquote(version)}" for name, version, _ in names)
