"""What the simulator's commands share: where things lie, which tools are needed, how they are run."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
OUT = REPOSITORY / "out" / "sim"
ROOT = OUT / "root"
"""The unpacked arm64 root: everything that a card or a disk holds, and what qemu-user runs in."""
BOOT = OUT / "boot"
"""Kernel, initramfs, device trees and firmware: the boot partition."""
STREAM = OUT / "stream"

PACKAGES = {
    "qemu-system-aarch64": "qemu-system-arm",
    "qemu-aarch64": "qemu-user",
    "mmdebstrap": "mmdebstrap",
    "mcopy": "mtools",
    "mkfs.vfat": "dosfstools",
    "sfdisk": "fdisk",
    "depmod": "kmod",
    "mke2fs": "e2fsprogs",
    "debugfs": "e2fsprogs",
    "cc": "gcc libc6-dev",
    "aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu libc6-dev-arm64-cross",
}
"""By tool: the Debian package that brings it."""


class SimulatorError(Exception):
    """Something a person can mend; one line."""


def missing(names: Sequence[str]) -> list[str]:
    """The tools among `names` that are not here."""
    return [name for name in names if find(name) is None]


def find(name: str) -> str | None:
    """The tool's path; Debian keeps some out of a user's PATH."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")


def apt_line(names: Sequence[str]) -> str:
    """What to type to get the tools."""
    packages = sorted({package for name in names for package in PACKAGES[name].split()})
    return "sudo apt-get install --no-install-recommends " + " ".join(packages)


def need(*names: str) -> None:
    """Raise unless all tools are here."""
    lacking = missing(names)
    if lacking:
        raise SimulatorError(f"{', '.join(lacking)} not found; {apt_line(lacking)}")


def run(command: Sequence[str | Path], what: str, **options: object) -> subprocess.CompletedProcess[str]:
    """Run a tool to its end and give back what it printed; its last lines are the error where it fails."""
    words = [find(str(command[0])) or str(command[0]), *map(str, command[1:])]
    done = subprocess.run(words, text=True, capture_output=True, **options)  # type: ignore[call-overload]
    if done.returncode:
        tail = " | ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
        raise SimulatorError(f"{what} failed ({command[0]} ended with {done.returncode}): {tail}")
    return done  # type: ignore[no-any-return]


def say(text: str) -> None:
    """A line for whoever waits."""
    print(f"sim: {text}", flush=True)


def command(main) -> None:  # type: ignore[no-untyped-def]
    """Run a command's main function; a SimulatorError becomes one line and exit code 1."""
    try:
        sys.exit(main())
    except SimulatorError as error:
        print(f"sim: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def main() -> int:
    """`python host.py TOOL...`: exit code 0 where all are here, else 1 and what to type."""
    lacking = missing(sys.argv[1:])
    if lacking:
        print(f"{', '.join(lacking)} not found; {apt_line(lacking)}")
    return 1 if lacking else 0


if __name__ == "__main__":
    command(main)
