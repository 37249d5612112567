"""Chunks read, looked at and compared ahead of the loop: stages on threads of their own, in order, in bounded buffers.

While the loop chooses from one chunk and stores it, the next ones are looked at and compared with the memory, each by
whichever thread is free, and the one after them is read; by the thread that looks at it, where any thread may read.
Kernels, numpy, GDAL, SQLite and the runtime let go of the interpreter while they work, so all cores are busy in one
process.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial

from onboard.abreast import lending
from onboard.change.look import Look, Looker
from onboard.change.registration import Displacement
from onboard.clock import Stages
from onboard.compare import Compared, Comparer
from onboard.errors import InputError
from onboard.sense.acquisition import Mask, Reader
from onboard.sense.aligned import Pixels, read_chunk, room, window_of
from onboard.sense.chunks import Chunk
from onboard.sense.grid import Grid
from onboard.sense.tiles import on_cache_lines


@dataclass(frozen=True)
class Part:
    """One chunk: its pixels, what was seen of it and what that is against the memory; or the fault that hit it; or
    nothing, where it was passed over.

    The pixels are overwritten once the part after it has been asked for.

    Attributes:
        begun, scored: when its read began and when its last score was there, by the clock of the stages.
    """

    chunk: Chunk
    pixels: Pixels | None = None
    truth: Mask | None = None
    look: Look | None = None
    compared: Compared | None = None
    fault: InputError | None = None
    skipped: bool = False
    begun: float = 0.0
    scored: float = 0.0


def look_ahead(
    reader: Reader,
    grid: Grid,
    bands: int,
    chunks: Sequence[Chunk],
    displacement: Displacement,
    workers: Sequence[tuple[Looker, Comparer]],
    stages: Stages,
    read_ahead: int = 1,
    skip: Callable[[Chunk], bool] = lambda _: False,
) -> Generator[Part, None, None]:
    """Every chunk in order. `reader` and the workers, one for each thread that looks, belong to this until it ends.

    Args:
        read_ahead: chunks that are read and wait for a worker, or are with the caller; each, like each worker, takes a
            chunk of memory.
        skip: asked when a chunk is due to be read; True passes it over.
    """
    depth = len(workers) + read_ahead
    windows = [window_of(chunk, grid, displacement.of_chunk(chunk)) for chunk in chunks]
    largest = max(map(room, windows), default=0) * bands
    buffers = [on_cache_lines(largest, "u2") for _ in range(min(depth, len(chunks)))]

    def read(index: int) -> Part:
        chunk, begun = chunks[index], stages.now()
        moves = displacement.of_chunk(chunk)
        try:
            with stages.time("read"):
                pixels = read_chunk(reader, chunk, grid, bands, moves, buffers[index % len(buffers)])
                return Part(chunk, pixels, reader.truth(chunk.window), begun=begun)
        except InputError as error:
            return Part(chunk, fault=error)

    def look(worker: tuple[Looker, Comparer], coming: Callable[[], Part]) -> Part:
        part, (looker, comparer) = coming(), worker
        if part.pixels is None:
            return part
        seen = looker.look(part.pixels.dn, part.pixels.quality)
        found = comparer.compare(seen.records, part.chunk)
        pixels = part.pixels.looked_at()
        return replace(part, pixels=pixels, look=seen, compared=found, scored=stages.now())

    reader.expect(windows)
    free_to_look = lending(look, workers)
    with ExitStack() as stack:
        reading = stack.enter_context(ThreadPoolExecutor(1, "read"))
        looking = stack.enter_context(ThreadPoolExecutor(len(workers), "look"))
        ahead: deque[Future[Part]] = deque()

        def start(index: int) -> None:
            if skip(chunks[index]):
                passed: Future[Part] = Future()
                ahead.append(passed)
                passed.set_result(Part(chunks[index], skipped=True))
                return
            coming = partial(read, index) if reader.concurrent else reading.submit(read, index).result
            ahead.append(looking.submit(free_to_look, coming))

        needs, begun = _needs(chunks, depth), 0
        for index in range(len(chunks)):
            while begun < len(chunks) and needs[begun] <= index + depth:
                start(begun)
                begun += 1
            with stages.time("wait for look"):
                part = ahead.popleft().result()
            yield part


def _needs(chunks: Sequence[Chunk], depth: int) -> list[int]:
    """Of each chunk up to which one there must be buffers before it is begun.

    To the last of its strip, where it is the first: once a strip is begun none of it waits for the loop. Not where that
    leaves no buffer over, in which the strip before it could be with the caller.
    """
    needs = [index + 1 for index in range(len(chunks))]
    first = 0
    for index in range(1, len(chunks) + 1):
        if index == len(chunks) or chunks[index].strip != chunks[first].strip:
            if index - first < depth:
                needs[first] = index
            first = index
    return needs
