"""`make flash PROFILE=...`: an image of a card or disk, out/sim/PROFILE.img. No root rights, no mounts.

MBR with two partitions: FAT with kernel, initramfs, device trees and a Raspberry Pi's firmware; ext4 with the root,
made by `mke2fs -d`. The same layout serves qemu's raspi3b, its virtio disks, and a card for a Raspberry Pi 3 or 4.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
from pathlib import Path

import overlay
from host import BOOT, OUT, ROOT, SimulatorError, command, find, need, run, say
from profiles import PROFILES

MIB = 1 << 20
SECTOR = 512
FAT_START, FAT_MIB = 1 * MIB, 127
ROOT_START = FAT_START + FAT_MIB * MIB
CARD_MIB = 1024
"""A power of two, as qemu's SD card wants it."""
FIXED = {
    "SOURCE_DATE_EPOCH": "1700000000",
    "E2FSPROGS_FAKE_TIME": "1700000000",
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
}
UUID = "0b5e55ed-0000-4000-8000-000000000001"


def flash(target: Path) -> None:
    """Write the image; sparse, so that it takes what is in it."""
    boot, root = target.with_suffix(".fat"), target.with_suffix(".ext4")
    for path, size in ((boot, FAT_MIB), (root, CARD_MIB - ROOT_START // MIB), (target, CARD_MIB)):
        path.unlink(missing_ok=True)
        with path.open("wb") as stream:
            stream.truncate(size * MIB)
    run(["mkfs.vfat", "-F", "32", "-n", "ONBOARD", "-i", "0b5e55ed", boot], "making the boot partition")
    run(["mcopy", "-i", boot, "-m", *sorted(BOOT.iterdir()), "::/"], "filling the boot partition")
    run(
        ["mke2fs", "-q", "-t", "ext4", "-L", "onboard-root", "-U", UUID, "-E", f"hash_seed={UUID},root_owner=0:0",
         "-m", "0", "-O", "^metadata_csum_seed", "-d", ROOT, root],
        "making the root partition", env=FIXED,
    )  # fmt: skip
    table = f"label: dos\nlabel-id: 0x0b5e55ed\nstart={FAT_START // SECTOR}, size={FAT_MIB * MIB // SECTOR}, type=c\n"
    table += f"start={ROOT_START // SECTOR}, type=83\n"
    run(["sfdisk", "--quiet", target], "partitioning", input=table)
    copy = find("dd")
    assert copy
    for path, start in ((boot, FAT_START), (root, ROOT_START)):
        subprocess.run(
            [copy, f"if={path}", f"of={target}", f"seek={start // MIB}", "bs=1M", "conv=notrunc,sparse", "status=none"],
            check=True,
        )
        path.unlink()


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("profile", choices=PROFILES)
    name = parser.parse_args().profile
    need("mkfs.vfat", "mcopy", "mke2fs", "sfdisk")
    if not (BOOT / "vmlinuz").exists() or not ROOT.is_dir():
        raise SimulatorError("no kernel and root yet; make sim-image sim-kernel")
    target = OUT / f"{name}.img"
    flash(target)
    say(f"{target}: {PROFILES[name].board}; {CARD_MIB} MiB, {target.stat().st_blocks * SECTOR // MIB} MiB of it used")
    if not PROFILES[name].virtual:
        say(f"onto a card: sudo dd if={target} of=/dev/sdX bs=4M conv=fsync status=progress  (see docs/hardware.md)")
    if name == "orin":
        archive = OUT / "orin-overlay.tar.gz"
        overlay.write(archive)
        say(f"{archive}: for a running JetPack 6; NOT CONFIRMED ON HARDWARE (see docs/hardware.md)")
    shutil.rmtree(OUT / name, ignore_errors=True)
    return 0


if __name__ == "__main__":
    command(main)
