"""`make sim-image`: an arm64 root from Debian packages, Python wheels and a stream. Nothing in it is run to make it.

Wheels are installed across platforms by pip; this package's kernels are compiled across where such a compiler is, else
NumPy does their work in the root. Writes out/sim/root and out/sim/stream; the kernel is `kernel.py`'s.
"""

from __future__ import annotations

import compileall
import os
import py_compile
import shutil
import sys

import debian
import stream
from host import HERE, OUT, REPOSITORY, ROOT, STREAM, apt_line, command, find, need, run, say
from versions import report

PYTHON = (3, 11)
"""Of Debian bookworm."""
PACKAGES = ("python3", "busybox-static", "libstdc++6")
COMPILER = "aarch64-linux-gnu-gcc"
PLATFORMS = ("linux_aarch64", *(f"manylinux_2_{minor}_aarch64" for minor in (28, 27, 17)), "manylinux2014_aarch64")
SITE = "opt/onboard"
UNUSED = (
    "boot", "dev", "usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "usr/share/bash-completion",
    "usr/share/perl*", "usr/lib/aarch64-linux-gnu/perl*", "usr/lib/aarch64-linux-gnu/gconv", "usr/lib/valgrind",
    "var/cache", "var/lib/apt",
)  # fmt: skip
"""Never opened; /dev is the kernel's."""
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


def install_wheels() -> list[str]:
    """This package and everything it needs, for aarch64, into the root; returns the latter as `name==version`."""
    wheels = OUT / "wheel"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    run([*pip, "wheel", "--no-deps", "--wheel-dir", wheels, REPOSITORY], "building the wheel", env=across())
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
    return sorted(line for line in pinned if line and not line.startswith("#"))


def across() -> dict[str, str]:
    """The environment in which a wheel is built for aarch64."""
    if find(COMPILER) is None:
        say(f"no {COMPILER}: the root gets no compiled kernels ({apt_line([COMPILER])})")
        return {**os.environ, "ONBOARD_KERNELS": "off"}
    here = {
        "CC": COMPILER,
        "LDSHARED": f"{COMPILER} -shared",
        "_PYTHON_HOST_PLATFORM": "linux-aarch64",
        "ARCHFLAGS": "",
    }
    return {**os.environ, **here}


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


def main() -> int:
    """Entry point."""
    need("mmdebstrap")
    for folder in (ROOT, STREAM, OUT / "wheel"):
        shutil.rmtree(folder, ignore_errors=True)
    OUT.mkdir(parents=True, exist_ok=True)
    stream.write(stream.SPEC, STREAM)
    versions = debian.unpack(PACKAGES, ROOT) + install_wheels()
    fill_root()
    compile_modules()
    report("root", versions)
    size = sum(path.lstat().st_size for path in ROOT.rglob("*")) >> 20
    say(f"{ROOT}: {size} MiB, {len(versions)} packages")
    return 0


if __name__ == "__main__":
    command(main)
