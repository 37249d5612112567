"""`make sim-quick`: the arm64 root under qemu-user, on two processors, must give the bytes that this machine gives.

INT8 latents, scores and products of ONNX Runtime and of LiteRT, on Cortex-A72 and Cortex-A76, against the same Python
packages in the same versions on the host; and once without compiled kernels. Reads out/sim/root, works in
out/sim/quick; compares without any tolerance.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from host import HERE, OUT, ROOT, STREAM, SimulatorError, command, find, need, say

PROCESSORS = ("cortex-a72", "cortex-a76")
RUNTIMES = ("onnx", "tflite")
CHECK = HERE / "inside" / "check.py"
LIMIT_S = 600
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def arm_python(processor: str, *words: str) -> tuple[list[str], dict[str, str]]:
    """The command and environment that run the root's Python as a processor of qemu-user.

    Args:
        words: more for qemu, e.g. a plugin.
    """
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    environment |= {
        "QEMU_LD_PREFIX": str(ROOT), "PYTHONHOME": str(ROOT / "usr"), "PYTHONPATH": str(ROOT / "opt/onboard"),
        "PYTHONDONTWRITEBYTECODE": "1", **ONE_THREAD,
    }  # fmt: skip
    qemu = find("qemu-aarch64")
    assert qemu
    return [qemu, *words, "-cpu", processor, str(ROOT / "usr/bin/python3.11")], environment


def checked(python: list[str], environment: dict[str, str], work: Path, runtime: str) -> dict[str, object]:
    """What `inside/check.py` says with a Python."""
    work.mkdir(parents=True)
    command = [*python, str(CHECK), str(STREAM), str(work), runtime]
    try:
        done = subprocess.run(command, env=environment, text=True, capture_output=True, timeout=LIMIT_S)
    except subprocess.TimeoutExpired as error:
        raise SimulatorError(f"{work.name}: not done after {LIMIT_S} s") from error
    if done.returncode:
        raise SimulatorError(f"{work.name}: ended with {done.returncode}: {done.stderr.strip().splitlines()[-1:]}")
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])[runtime]
    return found


def differences(here: dict[str, object], there: dict[str, object]) -> list[str]:
    """What two checks do not agree on, as text."""
    found = []
    for kind in ("latents", "scores", "products"):
        a, b = here[kind], there[kind]
        assert isinstance(a, dict) and isinstance(b, dict)
        found += [f"{kind} {name}" for name in sorted(a.keys() | b.keys()) if a.get(name) != b.get(name)]
    return found


def extent(found: dict[str, object]) -> str:
    """How much was compared, for the log."""
    latents, scores, products = (found[kind] for kind in ("latents", "scores", "products"))
    assert isinstance(latents, dict) and isinstance(scores, dict) and isinstance(products, dict)
    cells = sum(len(one) // 8 for one in scores.values())
    return f"latents of {len(latents)} bundles, scores of {cells} cells, {len(products)} products"


def main() -> int:
    """Entry point."""
    need("qemu-aarch64")
    if not ROOT.is_dir():
        raise SimulatorError("no root yet; make sim-image")
    work = OUT / "quick"
    shutil.rmtree(work, ignore_errors=True)
    start = time.monotonic()
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        # the host first: a minute of emulation is not spent on a package that does not run
        here = {
            runtime: checked([sys.executable], {**os.environ, **ONE_THREAD}, work / f"host-{runtime}", runtime)
            for runtime in RUNTIMES
        }
        jobs = {
            (processor, runtime): pool.submit(checked, *arm_python(processor), work / f"{processor}-{runtime}", runtime)
            for processor in PROCESSORS
            for runtime in RUNTIMES
        }
        python, environment = arm_python(PROCESSORS[0])
        plain = {**environment, "ONBOARD_KERNELS": "off"}
        jobs[f"{PROCESSORS[0]} without kernels", RUNTIMES[0]] = pool.submit(
            checked, python, plain, work / "plain", RUNTIMES[0]
        )
        wrong = 0
        for (processor, runtime), job in jobs.items():
            there = job.result()
            differ = differences(here[runtime], there)
            wrong += len(differ)
            verdict = f"{', '.join(differ[:5])} DIFFER" if differ else f"equal to this machine: {extent(there)}"
            say(f"{processor} {runtime}: {verdict}")
    say(f"{'FAILED' if wrong else 'passed'} in {time.monotonic() - start:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    command(main)
