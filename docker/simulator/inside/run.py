"""Runs `onboard-detect` on the stream in the guest, in its own memory cgroup, and writes what it took to run.json.

python run.py STREAM FOLDER RUNTIME     results in FOLDER/out, figures in FOLDER/run.json and as a SIM-RUN line
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup/onboard")
ARGUMENTS = ("--budget-mb", "0.2", "--threads", "1")
"""The x86 run that it is compared with takes the same."""
ALIVE_S = 20
"""A line at least so often: who watches can tell a slow guest from a dead one."""


def main(argv: list[str]) -> int:
    """Entry point; the exit code is that of onboard-detect."""
    stream, folder, runtime = argv[0], Path(argv[1]), argv[2]
    command = [sys.executable, "-m", "onboard.cli.detect", stream, "--out", str(folder / "out"), "--runtime", runtime]

    def enter() -> None:
        if CGROUP.is_dir():
            (CGROUP / "cgroup.procs").write_text(str(os.getpid()))

    start = time.monotonic()
    process = subprocess.Popen([*command, *ARGUMENTS], preexec_fn=enter)
    while process.poll() is None:
        try:
            process.wait(ALIVE_S)
        except subprocess.TimeoutExpired:
            held = (read(CGROUP / "memory.current") or 0) >> 20
            print(f"SIM-ALIVE {time.monotonic() - start:.0f} s, {held} MiB", flush=True)
    told = {
        "exit_code": process.returncode,
        "runtime": runtime,
        "seconds_under_emulation": round(time.monotonic() - start, 1),
        "peak_resident_kib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss,
        "cgroup_peak_bytes": read(CGROUP / "memory.peak"),
        "cgroup_limit_bytes": read(CGROUP / "memory.max"),
        "oom_kills": read(CGROUP / "memory.events", "oom_kill"),
    }
    (folder / "run.json").write_text(json.dumps(told, indent=2) + "\n")
    print("SIM-RUN " + json.dumps(told), flush=True)
    return process.returncode


def read(path: Path, key: str = "") -> int | None:
    """A number of the cgroup; None where there is none ("max", no cgroup, an older kernel)."""
    try:
        text = path.read_text()
    except OSError:
        return None
    words = dict(line.split() for line in text.splitlines()).get(key, "") if key else text.strip()
    return int(words) if words.isdigit() else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
