"""`make sim-image`: an arm64 root from Debian packages, Python wheels and a stream, and what boots it. Nothing is run.

Debian packages are unpacked and never configured (`mmdebstrap --variant=extract`), wheels are installed across
platforms by pip, modules are chosen with depmod: no ARM instruction is executed and no root rights are needed. Writes
out/sim/root, boot, stream and versions.txt; the last one is compared with the list that was tested.
"""

from __future__ import annotations

import compileall
import gzip
import py_compile
import shutil
import subprocess
import sys
import tarfile
import urllib.parse

import initramfs
import stream
from host import BOOT, HERE, OUT, REPOSITORY, ROOT, STREAM, SimulatorError, command, need, run, say

SUITE = "bookworm"
PYTHON = (3, 11)
"""Of the suite."""
MIRROR = "http://deb.debian.org/debian"
PACKAGES = ("python3", "busybox-static", "libstdc++6", "linux-image-arm64", "raspi-firmware")
PLATFORMS = (*(f"manylinux_2_{minor}_aarch64" for minor in (28, 27, 17)), "manylinux2014_aarch64")
SITE = "opt/onboard"
LISTED = "var/lib/dpkg/extracted"
VERSIONS = OUT / "versions.txt"
TESTED = HERE / "versions.txt"
UNUSED = (
    "boot", "dev", "lib/modules", "usr/lib/linux-image-*", "usr/lib/raspi-firmware", "usr/share/doc", "usr/share/man",
    "usr/share/locale", "usr/share/info", "usr/share/initramfs-tools", "usr/share/bash-completion", "usr/share/perl*",
    "usr/lib/aarch64-linux-gnu/perl*", "usr/lib/aarch64-linux-gnu/gconv", "usr/lib/valgrind", "usr/lib/klibc*",
    "lib/klibc*", "var/cache", "var/lib/apt",
)  # fmt: skip
"""Kernel parts go to the boot partition; the rest is never opened. /dev is the kernel's."""
DEVICE_TREES = ("bcm2837-rpi-3-b.dtb", "bcm2837-rpi-3-b-plus.dtb", "bcm2837-rpi-zero-2-w.dtb", "bcm2711-rpi-4-b.dtb")
FIRMWARE = ("bootcode.bin", "start.elf", "fixup.dat", "start4.elf", "fixup4.dat")
CPUINFO = """\
processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3
"""
"""ONNX Runtime reads /proc/cpuinfo, and qemu-user before 8.1 shows it the host's. A booted kernel mounts over it."""


def unpack_debian() -> list[str]:
    """Debian's part of the root; returns its packages as `name version`, sorted."""
    archive = OUT / "debian.tar"
    say(f"unpacking {SUITE} for arm64: {', '.join(PACKAGES)} and what they depend on")
    run(
        [
            "mmdebstrap", "--arch=arm64", "--variant=extract", f"--include={','.join(PACKAGES)}",
            "--components=main,non-free-firmware", f'--extract-hook=ls "$1/var/cache/apt/archives" > "$1/{LISTED}"',
            "--format=tar", SUITE, archive, MIRROR,
        ],
        "unpacking Debian packages",
    )  # fmt: skip
    with tarfile.open(archive) as tar:
        members = [member for member in tar if not member.isdev() and not member.name.startswith("./dev/")]
        tar.extractall(ROOT, members=members, filter="tar")
    archive.unlink()
    names = [name[:-4].split("_") for name in (ROOT / LISTED).read_text().split() if name.endswith(".deb")]
    return sorted(f"{urllib.parse.unquote(name)} {urllib.parse.unquote(version)}" for name, version, _ in names)


def fill_boot() -> None:
    """Kernel, initramfs, device trees, firmware and the two texts that a Raspberry Pi reads."""
    (kernel,) = sorted((ROOT / "boot").glob("vmlinuz-*"))
    release = kernel.name.removeprefix("vmlinuz-")
    image = kernel.read_bytes()
    # a Pi's firmware and qemu want the plain image
    (BOOT / "vmlinuz").write_bytes(gzip.decompress(image) if image[:2] == b"\x1f\x8b" else image)
    run(["depmod", "-b", ROOT, release], "listing modules")
    initramfs.write(ROOT, release, HERE / "inside" / "init", BOOT / "initrd.gz")
    for name in DEVICE_TREES:
        shutil.copy(ROOT / "usr/lib" / f"linux-image-{release}" / "broadcom" / name, BOOT / name)
    for name in FIRMWARE:
        shutil.copy(ROOT / "usr/lib/raspi-firmware" / name, BOOT / name)
    shutil.copy(HERE / "inside" / "config.txt", BOOT / "config.txt")
    shutil.copy(HERE / "inside" / "cmdline.txt", BOOT / "cmdline.txt")


def install_wheels() -> list[str]:
    """This package and everything it needs, for aarch64, into the root; returns `name==version`, sorted."""
    wheels = OUT / "wheel"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    run([*pip, "wheel", "--no-deps", "--wheel-dir", wheels, REPOSITORY], "building the wheel")
    (own,) = wheels.glob("onboard_detect-*.whl")
    say("installing aarch64 wheels")
    platforms = [word for name in PLATFORMS for word in ("--platform", name)]
    run(
        [
            *pip, "install", "--target", ROOT / SITE, "--no-deps", "--only-binary=:all:", "--no-compile", *platforms,
            "--python-version", ".".join(map(str, PYTHON)), "--implementation", "cp", "-r", HERE / "wheels.txt", own,
        ],
        "installing wheels",
    )  # fmt: skip
    for name in ("ground", "export"):  # of the wheel; they stay on the ground
        shutil.rmtree(ROOT / SITE / name)
    pinned = [line.strip() for line in (HERE / "wheels.txt").read_text().splitlines()]
    return [*sorted(line for line in pinned if line and not line.startswith("#")), own.name.split("-py3")[0]]


def compile_modules() -> None:
    """Byte code for the whole root: without it every start in the guest would compile the standard library."""
    if sys.version_info[:2] != PYTHON:
        say(f"this is no Python {'.'.join(map(str, PYTHON))}: no byte code, the guest starts slower")
        return
    for folder in (ROOT / "usr/lib/python3.11", ROOT / SITE):
        compileall.compile_dir(
            folder, quiet=2, stripdir=str(ROOT), prependdir="/",
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )  # fmt: skip


def fill_root() -> None:
    """Init, the program that runs the stream, the stream, and the folders that the kernel's file systems want."""
    for pattern in UNUSED:
        for path in ROOT.glob(pattern):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    for name in ("dev", "proc", "sys", "run", "tmp", "root", "var/lib/onboard", "opt/sim"):
        (ROOT / name).mkdir(parents=True, exist_ok=True)
    (ROOT / "proc/cpuinfo").write_text(CPUINFO)
    (ROOT / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nonboard:x:1000:1000::/var/lib/onboard:/bin/sh\n")
    shutil.copy(HERE / "inside" / "onboard-init", ROOT / "sbin" / "onboard-init")
    (ROOT / "sbin" / "onboard-init").chmod(0o755)
    for script in (HERE / "inside").glob("*.py"):
        shutil.copy(script, ROOT / "opt/sim" / script.name)
    shutil.copytree(STREAM, ROOT / "opt/stream")


def report_versions(lines: list[str]) -> None:
    """Write the list, and say where it is not the one that was tested: Debian's security updates move it."""
    VERSIONS.write_text("\n".join(lines) + "\n")
    tested = TESTED.read_text().splitlines() if TESTED.exists() else []
    moved = sorted(set(lines) ^ set(tested))
    if moved:
        say(f"{len(moved)} lines differ from docker/simulator/versions.txt, e.g. {moved[0]}; what was tested is there")


def main() -> int:
    """Entry point."""
    need("mmdebstrap", "depmod")
    shutil.rmtree(OUT, ignore_errors=True)
    for folder in (ROOT, BOOT):
        folder.mkdir(parents=True)
    if subprocess.run([sys.executable, "-c", "import onboard"], capture_output=True).returncode:
        raise SimulatorError("this Python has no onboard package; call `make sim-image`")
    stream.write(stream.SPEC, STREAM)
    versions = unpack_debian()
    fill_boot()
    versions += install_wheels()
    fill_root()
    compile_modules()
    report_versions(versions)
    size = sum(path.lstat().st_size for path in ROOT.rglob("*")) >> 20
    say(f"{ROOT}: {size} MiB, {len(versions)} packages, see {VERSIONS}")
    return 0


if __name__ == "__main__":
    command(main)
