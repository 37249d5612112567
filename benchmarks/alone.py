"""The stages of the real loop one after the other in one thread, each by its own processor time, with nothing beside.

    python -m benchmarks.alone STREAM STORE [KEY=VALUE ...]     settings of `DetectConfig`; prints seconds by stage

What the loop would take if nothing had to wait for anything; `throughput` divides it by what the run on all cores took.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from time import thread_time
from typing import Any
from unittest.mock import patch

from benchmarks.command import installed, on_cores
from onboard import group, loop
from onboard.ahead import Part
from onboard.clock import Stages
from onboard.config import DetectConfig
from onboard.errors import InputError
from onboard.sense.aligned import read_chunk, window_of
from onboard.sense.chunks import largest
from onboard.sense.grid import CELL
from onboard.sense.tiles import on_cache_lines

PER_TILE = ("read", "prepare", "encode", "remember", "recall", "score", "choose", "store")
"""Stages whose time goes with the number of tiles."""


class OwnTime(Stages):
    """Counts each second once: by the innermost stage, but all of the pre-scan as such."""

    def __init__(self) -> None:
        super().__init__(thread_time)
        self._inner = [0.0]
        self._scanning = False

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        if self._scanning:
            yield
            return
        self._scanning = stage == "prescan"
        start = self.now()
        self._inner.append(0.0)
        try:
            yield
        finally:
            self._scanning = False
            spent = self.now() - start
            self.seconds[stage] = self.seconds.get(stage, 0.0) + spent - self._inner.pop()
            self._inner[-1] += spent


def stages(stream: Path, stores: Sequence[Path], settings: dict[str, Any] | None = None) -> list[dict[str, float]]:
    """Processor seconds by stage of one pass, into each store by a process of its own, at once, each on its own core.

    One store: with nothing beside. As many as there are cores: what the machine can do with all of them, if nobody
    waits for anybody.
    """
    words = [f"{key}={json.dumps(value)}" for key, value in (settings or {}).items()]
    started = []
    for core, store in enumerate(stores):
        command = [sys.executable, "-m", "benchmarks.alone", str(stream), str(store), *words]
        with on_cores(1, core):
            started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=installed()))
    told = [process.communicate()[0] for process in started]
    for process in started:
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, process.args)
    return [json.loads(one) for one in told]


def measure(stream: str, store: Path, config: DetectConfig) -> dict[str, float]:
    """Look at the passes of a stream, in this thread; coding products at the end is left out."""
    from onboard.infer.bundle import load_bundle
    from onboard.infer.runtime import load_encoder
    from onboard.sense.raster import DECODED_BYTES, set_cache
    from onboard.sense.stream import open_stream
    from onboard.store import Store

    timed = OwnTime()
    set_cache(DECODED_BYTES)
    with timed.time("open"):
        opened = open_stream(stream)
    with timed.time("load model"):
        bundle = load_bundle(config.bundle)
        encoder = load_encoder(bundle, config.runtime, config.precision, batch=config.batch)
    with (
        patch.object(loop, "look_ahead", _in_turn),
        patch.object(group, "ThreadPoolExecutor", _AtOnce),
        Store(store) as kept,
        timed.time("rest"),
    ):
        run = loop.Detector(config, bundle, encoder, kept, timed).detect([opened])
    assert not run.refused, run.refused
    timed.seconds.pop("code", None)
    return {"tiles": run.tiles, **timed.seconds}


def _in_turn(
    reader: Any, grid: Any, bands: int, chunks: Sequence[Any], displacement: Any, workers: Sequence[Any],
    stages: Stages, read_ahead: int = 1, skip: Any = None,
) -> Generator[Part, None, None]:  # fmt: skip
    """`look_ahead` without threads."""
    buffer = on_cache_lines(largest(chunks) * CELL * CELL * bands, "u2")
    looker, comparer = workers[0]
    reader.expect([window_of(chunk, grid, displacement.of_chunk(chunk)) for chunk in chunks])
    for chunk in chunks:
        if skip is not None and skip(chunk):
            yield Part(chunk, skipped=True)
            continue
        try:
            with stages.time("read"):
                pixels = read_chunk(reader, chunk, grid, bands, displacement.of_chunk(chunk), buffer)
        except InputError as error:
            yield Part(chunk, fault=error)
            continue
        seen = looker.look(pixels.dn, pixels.quality)
        yield Part(chunk, pixels, None, seen, comparer.compare(seen.records, chunk))


class _AtOnce:
    """An executor without a thread."""

    def __init__(self, *_: object) -> None: ...

    def submit(self, call: Callable[..., Any], *args: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(call(*args))
        return done

    def shutdown(self) -> None: ...


if __name__ == "__main__":
    given = {key: json.loads(value) for key, _, value in (word.partition("=") for word in sys.argv[3:])}
    print(json.dumps(measure(sys.argv[1], Path(sys.argv[2]), DetectConfig(**given))))
