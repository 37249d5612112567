"""`python -m benchmarks.search`: exact search over millions of latents on one core: seconds, and megabytes it works in.

The archive is written to a temporary folder (152 bytes a latent) and searched from the page cache. Latents are those
that a store remembers (`--store`), resampled and moved towards each other and along the differences between looks; or,
without one, places of a Gaussian world seen with noise; or `uniform`, where nothing can be left out: the worst case.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy: one core is what is measured

import argparse
import json
import resource
import tempfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter, process_time

import numpy as np

from onboard.change.search import BLOCK_ROWS, Index, Layout, Search
from onboard.store.latents import CELL_DTYPE, LatentArchive
from onboard.store.latents_build import ArchiveWriter

LATENT, ZERO_POINT, SCALE = 128, 125, 0.0678
BATCH = 16 * BLOCK_ROWS


def remembered(store: Path) -> np.ndarray:
    """All clear latents of a store's newest artefact, uint8 (n, 128)."""
    from onboard.change.remembered import pick_model
    from onboard.store.recall import Recall

    with Recall(store) as recall:
        model = pick_model("auto", recall)
        passes = recall.passes(model.artefact.sha256, model.dtype)
        return np.concatenate(
            [r["latent"][r["flags"] == 1] for p in passes for _, _, r in recall.strips(p.id, model.dtype)]
        )


def world(rng: np.random.Generator) -> np.ndarray:
    """10,000 places of a Gaussian world, uint8 (10000, 128): a power law of variances, as trained encoders have."""
    deviation = 25 * (1 + np.arange(LATENT)) ** -0.35
    return np.clip(np.rint(ZERO_POINT + rng.normal(size=(10_000, LATENT)) * deviation), 0, 255).astype(np.uint8)


def latents(kind: str, known: np.ndarray, count: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Batches of uint8 (n, 128)."""
    places = known.astype(np.float32)
    for start in range(0, count, BATCH):
        n = min(BATCH, count - start)
        if kind == "uniform":
            yield rng.integers(0, 256, (n, LATENT), dtype=np.uint8)
            continue
        i, j, k = rng.integers(0, len(places) - 1, (3, n))
        near, look = rng.random((2, n, 1), dtype=np.float32)
        mixed = places[i] + 0.5 * near * (places[j] - places[i]) + 0.3 * look * (places[k] - places[k + 1])
        yield np.clip(np.rint(mixed), 0, 255).astype(np.uint8)


def write(path: Path, batches: Iterator[np.ndarray], order: Index) -> None:
    """An archive of them, as the memory would give it."""
    with path.open("wb") as file:
        writer = ArchiveWriter(file, Layout(order, ZERO_POINT))
        for batch in batches:
            writer.add(batch, np.zeros(len(batch), dtype=CELL_DTYPE))
        writer.finish([0], "")


def search(path: Path, query: np.ndarray, kind: str, top: int) -> np.ndarray:
    """Row numbers of the nearest."""
    with LatentArchive(path) as archive:
        found = Search(query, archive.layout, kind, top)
        for first, block in archive.blocks():
            found.feed(first, block)
        return found.hits(SCALE)[0]


def main() -> None:
    """Build, search, print."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--latents", type=int, default=10_000_000)
    p.add_argument("--store", type=Path, help="take latents from this store")
    p.add_argument("--uniform", action="store_true", help="uniform noise: no row can be left out")
    p.add_argument("--metric", choices=("cosine", "euclidean"), default="cosine")
    p.add_argument("--top", type=int, default=20)
    p.add_argument("--queries", type=int, default=5, help="searches; the median counts (default: %(default)s)")
    p.add_argument("--folder", type=Path, help="for the temporary archive")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--json", action="store_true")
    args = p.parse_args()
    rng = np.random.default_rng(args.seed)
    known = remembered(args.store) if args.store else world(rng)
    kind = "uniform" if args.uniform else "store" if args.store else "world"
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        path = Path(folder) / "latents.u8"
        write(path, latents(kind, known, args.latents, rng), np.argsort(-known.astype(np.float32).var(axis=0)))
        queries = known[rng.integers(0, len(known), (args.queries, 1))]
        wall, cpu = [], []
        search(path, queries[0], args.metric, args.top)  # the page cache is warm from here on
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for query in queries:
            start, used = perf_counter(), process_time()
            search(path, query, args.metric, args.top)
            wall.append(perf_counter() - start)
            cpu.append(process_time() - used)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        tracemalloc.start()
        search(path, queries[0], args.metric, args.top)
        peak = tracemalloc.get_traced_memory()[1]
    metrics = {
        "search_seconds": round(float(np.median(wall)), 3),
        "search_seconds_worst": round(max(wall), 3),
        "search_cpu_seconds": round(float(np.median(cpu)), 3),
        "search_working_mb": round(peak / 1e6, 2),
        "search_rss_growth_mb": round(grown / 1024, 2),
        "latents": args.latents,
        "latents_kind": kind,
        "metric": args.metric,
    }
    print(json.dumps(metrics) if args.json else "\n".join(f"{key:22} {value}" for key, value in metrics.items()))


if __name__ == "__main__":
    main()
