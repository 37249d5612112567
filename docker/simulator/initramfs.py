"""Writes the initramfs: busybox, one init, and the few modules that stand between a kernel and its root."""

from __future__ import annotations

import gzip
from pathlib import Path

MODULES = ("crc32c_generic", "ext4", "virtio_pci", "virtio_blk", "bcm2835", "sdhci_iproc", "bcm2835_wdt")
"""File system, with the checksum that it asks for by name; disk of a virtual board; SD card of a Pi 3 and of a Pi 4;
the Pi's way to switch itself off."""
FILE, FOLDER, LINK, CHARACTER = 0o100000, 0o040000, 0o120000, 0o020000


def write(root: Path, release: str, init: Path, target: Path) -> None:
    """An initramfs (gzipped cpio, "newc") of a root's busybox and modules.

    Args:
        root: unpacked, with modules.dep of `release`.
        init: the script that becomes /init.
    """
    modules = in_order(root / "lib/modules" / release)
    entries = [(name, FOLDER | 0o755, b"", 0) for name in ("bin", "dev", "modules", "proc", "root", "sys")]
    entries += [("dev/console", CHARACTER | 0o600, b"", (5 << 8) | 1)]
    entries += [("init", FILE | 0o755, init.read_bytes(), 0)]
    entries += [("bin/busybox", FILE | 0o755, (root / "bin/busybox").read_bytes(), 0)]
    entries += [("bin/sh", LINK | 0o777, b"busybox", 0)]
    entries += [(f"modules/{path.name}", FILE | 0o644, path.read_bytes(), 0) for path in modules]
    entries += [("modules/order", FILE | 0o644, "".join(f"{path.name}\n" for path in modules).encode(), 0)]
    target.write_bytes(gzip.compress(cpio(entries), mtime=0))


def in_order(folder: Path) -> list[Path]:
    """The modules' files, each after those it depends on, by modules.dep."""
    needs = {}
    for line in (folder / "modules.dep").read_text().splitlines():
        name, _, rest = line.partition(":")
        needs[name] = rest.split()
    by_name = {Path(name).name.partition(".")[0].replace("-", "_"): name for name in needs}
    found: list[str] = []
    for module in MODULES:
        # modules.dep names what is needed most directly first
        for name in [*reversed(needs[by_name[module]]), by_name[module]]:
            if name not in found:
                found.append(name)
    return [folder / name for name in found]


def cpio(entries: list[tuple[str, int, bytes, int]]) -> bytes:
    """Files as a "newc" archive: (name, mode, content, device number)."""
    parts = []
    for number, (name, mode, content, device) in enumerate([*entries, ("TRAILER!!!", 0, b"", 0)], start=1):
        raw = name.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, device >> 8, device & 0xFF, len(raw), 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + raw
        parts += [head, bytes(-len(head) % 4), content, bytes(-len(content) % 4)]
    return b"".join(parts)
