"""The root as an archive that is unpacked over a running JetPack: its own Python in a folder of its own, and a service.

JetPack 6 brings Python 3.10 and glibc 2.35; the overlay touches neither. It adds /opt/onboard-root (the root that the
simulator boots), a systemd unit that runs in it, and a note that no hardware has confirmed it.
"""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from host import HERE, ROOT

NOTE = "NOT-CONFIRMED-ON-HARDWARE.txt"
TEXT = """\
This overlay was made by `make flash PROFILE=orin` and has been on no Jetson. What it holds runs under
qemu-user as a Cortex-A76 (`make sim-quick`), without a GPU. See docs/hardware.md.
"""
TIME = 1_700_000_000


def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Root's, and of one time: the same root gives the same archive."""
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    member.mtime = TIME
    return member


def write(target: Path) -> None:
    """Write the archive, gzipped lightly."""
    with tarfile.open(target, "w:gz", compresslevel=1) as tar:
        note = plain(tarfile.TarInfo(f"opt/onboard-root/{NOTE}"))
        note.size = len(TEXT.encode())
        tar.addfile(note, io.BytesIO(TEXT.encode()))
        for path in sorted(ROOT.iterdir()):
            tar.add(path, f"opt/onboard-root/{path.name}", filter=plain)
        tar.add(HERE / "inside" / "onboard-detect.service", "etc/systemd/system/onboard-detect.service", filter=plain)
