"""`make boot PROFILE=...`: boots the image in qemu, streams its log, fetches the results and compares them with x86.

Kernel, initramfs and device tree are taken from the image's own boot partition. The guest limits its memory, runs
`onboard-detect`, and switches off; a panic, a hang or a run that failed ends this with an error. Writes
out/sim/PROFILE/: console.log, run.json, out/ (summary.json, report.html, the queue as GeoJSON and products), x86/.
"""

from __future__ import annotations

import argparse
import json
import re
import selectors
import shutil
import subprocess
import sys
import time
from pathlib import Path

import flash
from host import OUT, STREAM, SimulatorError, command, find, need, run, say
from inside.run import ARGUMENTS
from profiles import PROFILES, Profile

LIMIT_S = 600
SILENCE_S = 240
"""Nothing said for so long is a hang: a guest that runs says so every 20 s of its own time (inside/run.py)."""
BAD = re.compile(r"Kernel panic|Internal error: Oops|BUG: |soft lockup|SIM-FAIL|Out of memory: Killed")
END = re.compile(r"SIM-END (\d+)")


def qemu(profile: Profile, image: Path, boot: Path, runtime: str) -> list[str]:
    """The command line of the machine."""
    words = f"console={profile.console} panic=-1 onboard.limit={profile.limit_mb} onboard.runtime={runtime}"
    parts = [
        "-M",
        profile.machine,
        "-smp",
        str(profile.cores),
        "-m",
        str(profile.memory_mb),
        "-nographic",
        "-no-reboot",
    ]
    parts += [
        "-kernel",
        str(boot / "vmlinuz"),
        "-initrd",
        str(boot / "initrd.gz"),
        "-append",
        words,
        "-monitor",
        "none",
    ]
    drive = f"file={image},format=raw,cache=unsafe"
    if profile.virtual:
        parts += ["-cpu", profile.cpu, "-serial", "stdio", "-nic", "none", "-drive", f"{drive},if=virtio"]
    else:  # the second port of a Pi 3 is the one that its device tree speaks on
        parts += ["-dtb", str(boot / profile.dtb), "-serial", "null", "-serial", "stdio", "-drive", f"{drive},if=sd"]
    return [find("qemu-system-aarch64") or "", *parts]


def watch(machine: list[str], log: Path, limit_s: float) -> None:
    """Run the machine to its end and stream its console. Raises on a panic, a hang, a failed run."""
    start = said = time.monotonic()
    code: int | None = None
    process = subprocess.Popen(machine, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdout
    selector = selectors.DefaultSelector()
    selector.register(process.stdout, selectors.EVENT_READ)
    rest = b""
    try:
        with log.open("wb") as copy:
            while True:
                now = time.monotonic()
                if now - start > limit_s or now - said > SILENCE_S:
                    raise SimulatorError(
                        f"hangs: {now - said:.0f} s without a word, {now - start:.0f} s in all; see {log}"
                    )
                if not selector.select(timeout=1):
                    continue
                piece = process.stdout.read1(1 << 16)  # type: ignore[attr-defined]
                if not piece:
                    break
                said = now
                copy.write(piece)
                copy.flush()
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    text = line.decode(errors="replace").rstrip()
                    print(f"{now - start:6.1f} | {text}", flush=True)
                    if BAD.search(text):
                        raise SimulatorError(f"{text}; see {log}")
                    if found := END.search(text):
                        code = int(found[1])
    finally:
        process.kill()
        process.wait()
    if code is None:
        raise SimulatorError(f"the machine stopped before its run had ended; see {log}")
    if code:
        raise SimulatorError(f"onboard-detect ended with {code} in the guest; see {log}")


def fetch(image: Path, folder: Path) -> None:
    """Copy what the run left out of the image, as it lies on the disk."""
    disk = f"{image}?offset={flash.ROOT_START}"
    run(["debugfs", "-R", f"rdump /var/lib/onboard/out {folder}", disk], "fetching the results")
    run(["debugfs", "-R", f"dump /var/lib/onboard/run.json {folder / 'run.json'}", disk], "fetching the figures")
    if not (folder / "out" / "summary.json").is_file():
        raise SimulatorError(f"no summary.json came back from {image}")


def reference(folder: Path, runtime: str) -> Path:
    """The same run on this machine."""
    run(
        [sys.executable, "-m", "onboard.cli.detect", STREAM, "--out", folder, "--runtime", runtime, *ARGUMENTS],
        "the run on this machine",
    )
    return folder


def detections(folder: Path) -> list[tuple[str, float]]:
    """(id, score) of the queue, best first."""
    collection = json.loads((folder / "detections.geojson").read_text(encoding="utf-8"))
    return [(str(one["id"]), one["properties"]["score"]) for one in collection["features"]]


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("profile", choices=PROFILES)
    parser.add_argument("--runtime", choices=("onnx", "tflite"), default="onnx")
    parser.add_argument("--limit-s", type=float, default=LIMIT_S, help="a machine that runs longer hangs")
    args = parser.parse_args()
    need("qemu-system-aarch64", "mcopy", "debugfs")
    profile, image, folder = PROFILES[args.profile], OUT / f"{args.profile}.img", OUT / args.profile
    if not image.exists():
        raise SimulatorError(f"no {image.name} yet; make flash PROFILE={args.profile}")
    shutil.rmtree(folder, ignore_errors=True)
    boot = folder / "boot"
    boot.mkdir(parents=True)
    files = ["::/vmlinuz", "::/initrd.gz", *([f"::/{profile.dtb}"] if profile.dtb else [])]
    run(["mcopy", "-i", f"{image}@@{flash.FAT_START}", *files, boot], "reading the boot partition")
    start = time.monotonic()
    watch(qemu(profile, image, boot, args.runtime), folder / "console.log", args.limit_s)
    fetch(image, folder)
    shutil.rmtree(boot)
    here, there = detections(reference(folder / "x86", args.runtime)), detections(folder / "out")
    told = json.loads((folder / "run.json").read_text())
    say(f"{profile.board}: {len(there)} detections in {time.monotonic() - start:.0f} s from the power button on")
    say(
        f"peak memory in the guest: {told['peak_resident_kib'] / 1024:.0f} MiB resident, "
        f"{(told['cgroup_peak_bytes'] or 0) >> 20} MiB with what the kernel cached for it, of {profile.limit_mb} MiB "
        f"allowed on {profile.memory_mb} MB"
    )
    say(f"report: {folder / 'out' / 'report.html'}")
    if here != there:
        raise SimulatorError(f"the detections are not those of this machine: {len(here)} here, {len(there)} there")
    say("same ids and same scores as on this machine, to the last bit")
    return 0


if __name__ == "__main__":
    command(main)
