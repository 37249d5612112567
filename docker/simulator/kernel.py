"""`make sim-kernel`: what boots the root: out/sim/boot with kernel, initramfs, device trees and a Pi's firmware."""

from __future__ import annotations

import gzip
import shutil

import debian
import initramfs
from host import BOOT, HERE, OUT, command, need, run, say
from versions import report

PACKAGES = ("busybox-static", "linux-image-arm64", "raspi-firmware")
DEVICE_TREES = ("bcm2837-rpi-3-b.dtb", "bcm2837-rpi-3-b-plus.dtb", "bcm2837-rpi-zero-2-w.dtb", "bcm2711-rpi-4-b.dtb")
FIRMWARE = ("bootcode.bin", "start.elf", "fixup.dat", "start4.elf", "fixup4.dat")


def main() -> int:
    """Entry point."""
    need("mmdebstrap", "depmod")
    tree = OUT / "kernel"
    for folder in (tree, BOOT):
        shutil.rmtree(folder, ignore_errors=True)
    BOOT.mkdir(parents=True)
    versions = debian.unpack(PACKAGES, tree)
    (kernel,) = sorted((tree / "boot").glob("vmlinuz-*"))
    release = kernel.name.removeprefix("vmlinuz-")
    image = kernel.read_bytes()
    # a Pi's firmware and qemu want the plain image
    (BOOT / "vmlinuz").write_bytes(gzip.decompress(image) if image[:2] == b"\x1f\x8b" else image)
    run(["depmod", "-b", tree, release], "listing modules")
    initramfs.write(tree, release, HERE / "inside" / "init", BOOT / "initrd.gz")
    for name in DEVICE_TREES:
        shutil.copy(tree / "usr/lib" / f"linux-image-{release}" / "broadcom" / name, BOOT / name)
    for name in FIRMWARE:
        shutil.copy(tree / "usr/lib/raspi-firmware" / name, BOOT / name)
    for name in ("config.txt", "cmdline.txt"):
        shutil.copy(HERE / "inside" / name, BOOT / name)
    shutil.rmtree(tree)
    report("kernel", versions)
    say(f"{BOOT}: Linux {release}")
    return 0


if __name__ == "__main__":
    command(main)
