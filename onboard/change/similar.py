"""Searching a store: the archive opened or built, searched block by block, and its rows turned back into cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from onboard.change.remembered import Model
from onboard.change.search import DamagedRowsError, Search
from onboard.errors import StoreError
from onboard.sense.tiles import U8
from onboard.store.latents import DamagedArchiveError, LatentArchive, archive_path
from onboard.store.latents_build import build, fingerprint
from onboard.store.recall import KnownGrid, Recall, RememberedPass


@dataclass(frozen=True)
class SimilarCell:
    """A look that resembles an example.

    Attributes:
        distance: to the nearest example.
        example: which one that is, counted from 0.
    """

    distance: float
    example: int
    seen: RememberedPass
    grid: KnownGrid
    row: int
    col: int


@dataclass(frozen=True)
class Question:
    """What is searched for.

    Attributes:
        examples: uint8 (M, L).
        kind: "cosine" or "euclidean".
        everything: every look, not only the newest clear one of each cell.
        without: (grid key, row, column) of the cell that asks, which is not its own answer.
    """

    examples: U8
    kind: str
    top: int
    everything: bool = False
    without: tuple[str, int, int] | None = None


def find_similar(
    question: Question,
    recall: Recall,
    passes: Sequence[RememberedPass],
    model: Model,
    rebuild: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[list[SimilarCell], int]:
    """The most similar looks, best first, and how many were searched.

    An archive that is missing, out of date or damaged is built from the memory, once.

    Raises:
        StoreError: the memory cannot be read, or the archive comes back damaged from the disk.
        DiskFullError: no space for the archive.
    """
    path = archive_path(recall.folder, model.artefact.sha256)
    try:
        if not rebuild:
            return _search(question, recall, passes, model)
    except (DamagedArchiveError, DamagedRowsError) as error:
        say(f"building the latent archive from the memory ({error})")
    build(path, recall, passes, model.dtype, model.artefact.output.zero_point)
    try:
        return _search(question, recall, passes, model)
    except DamagedRowsError as error:
        raise StoreError(f"{path}: damaged as soon as it was written ({error})") from error


def _search(
    question: Question, recall: Recall, passes: Sequence[RememberedPass], model: Model
) -> tuple[list[SimilarCell], int]:
    output = model.artefact.output
    # the asking cell takes one place for each of its looks
    own = sum(one.grid == question.without[0] for one in passes) if question.without else 0
    path = archive_path(recall.folder, model.artefact.sha256)
    with LatentArchive(path, fingerprint(passes, output.zero_point)) as archive:
        search = Search(question.examples, archive.layout, question.kind, question.top + own)
        for first, block in archive.blocks(question.everything):
            search.feed(first, block)
        rows, distances, which = search.hits(output.scale)
        cells = archive.cells(rows)
        searched = archive.newest + (archive.older if question.everything else 0)
    by_id = {one.id: one for one in passes}
    grids = {one.key: one for one in recall.grids()}
    found = []
    for (identity, row, col), distance, example in zip(cells, distances.tolist(), which.tolist(), strict=True):
        seen = by_id[identity]
        if seen.grid in grids and (seen.grid, row, col) != question.without:
            found.append(SimilarCell(distance, example, seen, grids[seen.grid], row, col))
    return found[: question.top], searched
