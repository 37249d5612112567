"""`make sim-cost`: ARM instructions per tile by stage, counted exactly, against the stored figures.

Builds the plugin (count.c) with the host's compiler and runs inside/cost.py in the arm64 root under qemu-user, on
Cortex-A72 and Cortex-A76, with ONNX Runtime and LiteRT. Times under emulation mean nothing; instruction counts repeat.
Fails where encode + score take more than 2 % above docker/simulator/cost.json; `--record` writes that file anew.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

import stream
from host import HERE, OUT, REPOSITORY, ROOT, SimulatorError, apt_line, command, need, run, say
from image import COMPILER, SITE
from quick import PROCESSORS, RUNTIMES, arm_python

SPEC = "sim:7?size=512&passes=4&disaster=flood&cloud=0"
"""16 x 16 cells in one chunk, three past looks, as raw tiled GeoTIFF: a chunk of a granule in size and kind."""
STORED = HERE / "cost.json"
GROWTH = 0.02
LIMIT_S = 900
Figures = dict[str, dict[str, int]]
"""By "processor runtime", by stage: instructions per tile."""


def build() -> Path:
    """The plugin."""
    target = OUT / "count.so"
    run(["cc", "-shared", "-fPIC", "-O2", "-o", target, HERE / "count.c"], "building the plugin")
    return target


def count(plugin: Path, processor: str, runtime: str, passes: Path, store: Path) -> dict[str, int]:
    """Instructions per tile of each stage (per product for coding)."""
    log = OUT / "cost" / f"{processor}-{runtime}.log"
    words = ("-plugin", str(plugin), "-d", "plugin", "-D", str(log))
    python, environment = arm_python(processor, *words)
    environment["PYTHONHASHSEED"] = "0"
    work = store.with_name(f"{processor}-{runtime}")
    shutil.copytree(store, work)
    script = str(HERE / "inside" / "cost.py")
    done = subprocess.run(
        [*python, script, str(passes), str(work), runtime],
        env=environment,
        text=True,
        capture_output=True,
        timeout=LIMIT_S,
    )
    if done.returncode:
        raise SimulatorError(
            f"{processor} {runtime}: ended with {done.returncode}: {done.stderr.strip().splitlines()[-1:]}"
        )
    stages = json.loads(done.stdout.splitlines()[-1])["stages"]
    return per_tile(log.read_text(), stages)


def per_tile(log: str, stages: list[tuple[str, int]]) -> dict[str, int]:
    """From the plugin's marks; what a pair of marks itself costs ("nothing") is taken off."""
    marks = {int(number): int(total) for _, number, total in map(str.split, log.splitlines())}
    spent = {name: marks[2 * i + 1] - marks[2 * i] for i, (name, _) in enumerate(stages)}
    empty = spent.pop("nothing")
    return {name: round((spent[name] - empty) / cells) for name, cells in stages if name in spent}


def grown(stored: Figures, now: Figures) -> list[str]:
    """Where encode + score exceed what is stored by more than `GROWTH`."""
    found = []
    for key, stages in now.items():
        before, after = (one["encode"] + one["score"] for one in (stored[key], stages))
        if after > before * (1 + GROWTH):
            found.append(f"{key}: encode + score {after:,} instructions per tile, stored are {before:,}")
    return found


def table(figures: Figures) -> str:
    """For people."""
    keys = list(figures)
    rows = {stage: [one[stage] for one in figures.values()] for stage in figures[keys[0]]}
    for name in ("score, 1 past look", "score"):
        rows[f"**encode + {name}**"] = [a + b for a, b in zip(rows["encode"], rows[name], strict=True)]
    head = ["| instructions per tile | " + " | ".join(keys) + " |", "|---|" + "---:|" * len(keys)]
    return "\n".join(head + [f"| {name} | " + " | ".join(f"{n:,}" for n in row) + " |" for name, row in rows.items()])


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--record", action="store_true", help=f"write {STORED.relative_to(REPOSITORY)}")
    args = parser.parse_args()
    need("qemu-aarch64", "cc")
    if not ROOT.is_dir():
        raise SimulatorError("no root yet; make sim-image")
    if not list(ROOT.glob(f"{SITE}/onboard/native/libkernels.so*")):
        raise SimulatorError(f"the root has no compiled kernels; {apt_line([COMPILER])}, then make clean sim-image")
    work = OUT / "cost"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    passes, plugin = work / "stream", build()
    stream.write(SPEC, passes, compress="none")
    figures: Figures = {}
    for runtime in RUNTIMES:
        out = work / f"x86-{runtime}"
        words = [
            sys.executable,
            "-m",
            "onboard.cli.detect",
            passes,
            "--out",
            out,
            "--runtime",
            runtime,
            "--bundle",
            "s2-10",
        ]
        run([*words, "--budget-mb", "0.2"], "filling the store")
        for processor in PROCESSORS:
            figures[f"{processor} {runtime}"] = count(plugin, processor, runtime, passes, out / "store")
            say(f"{processor} {runtime}: {figures[f'{processor} {runtime}']}")
    print(table(figures))
    if args.record:
        STORED.write_text(json.dumps(figures, indent=2) + "\n")
        return 0
    worse = grown(json.loads(STORED.read_text()), figures)
    for line in worse:
        print(f"sim-cost: {line}", file=sys.stderr)
    return 1 if worse else 0


if __name__ == "__main__":
    command(main)
