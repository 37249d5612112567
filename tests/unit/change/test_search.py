from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onboard.change.record import FLAG_CLEAR, record_dtype, seal
from onboard.change.search import BLOCK_ROWS, KINDS, DamagedRowsError, Layout, Search, make_block
from onboard.errors import StoreError
from onboard.sense.chunks import Chunk
from onboard.sense.grid import Grid
from onboard.store import MEMORY_FILE, Store
from onboard.store.latents import DamagedArchiveError, LatentArchive
from onboard.store.latents_build import build, fingerprint
from onboard.store.recall import Recall

GRID = Grid("", (10.0, 0.0, 0.0, 0.0, -10.0, 0.0), 320, 256)
BANDS = ("B02", "B03", "B04", "B08")
DTYPE = record_dtype(16, BANDS)
T0 = datetime(2023, 1, 1, tzinfo=UTC)
ZERO = 125


def brute_force(latents, queries, kind, top):
    """Distances in whole numbers and float64, ties by row: what the search must give to the last bit."""
    a, b = latents.astype(np.int64) - ZERO, queries.astype(np.int64) - ZERO
    dot, na, nb = a @ b.T, (a * a).sum(1)[:, None], (b * b).sum(1)
    key = na + nb - 2 * dot if kind == "euclidean" else 1.0 - dot / np.maximum(np.sqrt((na * nb).astype(float)), 1e-12)
    best = key.min(axis=1)
    rows = np.lexsort((np.arange(len(best)), best))[:top]
    return rows, np.sqrt(best[rows]) * 0.1 if kind == "euclidean" else best[rows]


def searched(latents, queries, kind, top, layout=None, step=BLOCK_ROWS):
    layout = layout or Layout(np.arange(latents.shape[1]), ZERO)
    search = Search(queries, layout, kind, top)
    for first in range(0, len(latents), step):
        search.feed(first, make_block(latents[first : first + step], layout))
    return search.hits(0.1)[:2]


def same(found, expected):
    assert found[0].tolist() == expected[0].tolist()
    assert found[1].tobytes() == np.asarray(expected[1], dtype=np.float64).tobytes()


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1), st.sampled_from([2, 3, 16, 65, 128, 256]), st.integers(1, 300), st.integers(1, 40),
    st.integers(1, 3), st.sampled_from(KINDS), st.sampled_from(["uniform", "close", "extreme", "few values"]),
)  # fmt: skip
def test_the_search_is_exact(seed, length, rows, top, examples, kind, shape):
    rng = np.random.default_rng(seed)
    if shape == "uniform":
        latents = rng.integers(0, 256, (rows, length), dtype=np.uint8)
    elif shape == "close":
        latents = (128 + rng.normal(size=(rows, length)) * np.linspace(20, 1, length)).astype(np.uint8)
    elif shape == "extreme":
        latents = rng.choice(np.array([0, 255], dtype=np.uint8), (rows, length))
    else:
        latents = rng.integers(ZERO - 1, ZERO + 2, (rows, length), dtype=np.uint8)
    queries = (
        latents[rng.integers(0, rows, examples)] if seed % 2 else rng.integers(0, 256, (examples, length), np.uint8)
    )
    layout = Layout(rng.permutation(length), ZERO)
    same(searched(latents, queries, kind, top, layout, step=37), brute_force(latents, queries, kind, top))


@pytest.mark.parametrize("kind", KINDS)
def test_many_blocks_are_pruned_without_losing_a_neighbour(kind):
    rng = np.random.default_rng(3)
    places = (ZERO + rng.normal(size=(200, 128)) * np.linspace(40, 5, 128)).clip(0, 255)
    latents = (places[rng.integers(0, 200, 30_000)] + rng.normal(size=(30_000, 128)) * 4).clip(0, 255).astype(np.uint8)
    read = []
    layout = Layout(np.arange(128), ZERO)
    search = Search(latents[17:18], layout, kind, 20)
    for first in range(0, len(latents), BLOCK_ROWS):
        block = make_block(latents[first : first + BLOCK_ROWS], layout)
        tail = block.tail
        counted = replace(block, tail=lambda rows, tail=tail: (read.append(len(rows)), tail(rows))[1])
        search.feed(first, counted)
    same(search.hits(0.1)[:2], brute_force(latents, latents[17:18], kind, 20))
    assert sum(read[1:]) < 0.05 * len(latents)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_rows_come_in_their_order(kind):
    latents = np.full((50, 16), 200, dtype=np.uint8)
    latents[:10] = 3
    assert searched(latents, latents[20:21], kind, 5, step=8)[0].tolist() == [10, 11, 12, 13, 14]


def test_rows_at_the_zero_point_have_no_direction():
    latents = np.full((4, 16), ZERO, dtype=np.uint8)
    latents[2, 0] += 5
    rows, distances = searched(latents, latents[2:3], "cosine", 4)
    assert (rows.tolist(), distances.tolist()) == ([2, 0, 1, 3], [0.0, 1.0, 1.0, 1.0])


def test_asking_for_more_than_there_is_gives_all_there_is():
    latents = np.arange(48, dtype=np.uint8).reshape(3, 16)
    assert sorted(searched(latents, latents[:1], "euclidean", 10)[0].tolist()) == [0, 1, 2]


def test_every_flipped_bit_of_a_row_is_noticed():
    latents = np.random.default_rng(0).integers(0, 256, (1, 128), dtype=np.uint8)
    layout = Layout(np.arange(128), ZERO)
    block = make_block(latents, layout)
    tails = block.tail(np.arange(1))
    for bit in range(128 * 8):
        head, tail = block.head.copy(), tails.copy()
        (head if bit < 256 else tail)[0, bit // 8 - (0 if bit < 256 else 32)] ^= 1 << (bit % 8)
        flipped = type(block)(
            head, block.energy, block.tail_norm, block.head_check, block.tail_check, lambda _, t=tail: t
        )
        with pytest.raises(DamagedRowsError):
            Search(latents, layout, "euclidean", 1).feed(0, flipped)


@pytest.mark.parametrize("order", [[0], [0, 0], [1, 2], list(range(257))])
def test_a_layout_that_is_no_permutation_is_refused(order):
    with pytest.raises(ValueError, match="order"):
        Layout(np.array(order), ZERO)


def remember(folder, passes, clear_share=0.8):
    """A store with passes over one grid; returns {(pass, row, col): latent} of the clear looks, newest pass first."""
    rng = np.random.default_rng(7)
    looks = {}
    with Store(folder) as store:
        for number in range(passes):
            records = np.zeros(80, dtype=DTYPE)
            records["latent"] = rng.integers(0, 256, (80, 16))
            records["flags"] = np.where(rng.random(80) < clear_share, FLAG_CLEAR, 0)
            seal(records)
            identity = store.memory.enter(GRID, T0 + timedelta(days=number), f"p{number}", "a", DTYPE, [])
            store.memory.write(identity, [(Chunk(0, 0, 0, 8, 10), records)])
            for i in np.flatnonzero(records["flags"]).tolist():
                looks[identity, i // 10, i % 10] = records["latent"][i]
        if passes:
            store.state.add_grid(GRID)
    return looks


def everything(archive, all_looks):
    search = Search(np.full((1, 16), 99, dtype=np.uint8), archive.layout, "euclidean", 10_000)
    for first, block in archive.blocks(all_looks):
        search.feed(first, block)
    return archive.cells(search.hits(1.0)[0])


def built(folder):
    path = folder / "latents.u8"
    with Recall(folder) as recall:
        passes = recall.passes("a", DTYPE)
        build(path, recall, passes, DTYPE, ZERO)
        return path, fingerprint(passes, ZERO)


def test_the_archive_holds_the_newest_clear_look_of_each_cell_and_on_request_all(tmp_path):
    looks = remember(tmp_path, 4)
    path, print_ = built(tmp_path)
    newest = {}
    for (identity, row, col), _ in sorted(looks.items(), reverse=True):
        newest.setdefault((row, col), identity)
    with LatentArchive(path, print_) as archive:
        assert sorted(everything(archive, False)) == sorted((p, *cell) for cell, p in newest.items())
        assert sorted(everything(archive, True)) == sorted(looks)
        assert archive.newest + archive.older == len(looks)


def test_the_archive_finds_what_brute_force_finds(tmp_path):
    looks = remember(tmp_path, 3)
    path, print_ = built(tmp_path)
    query = next(iter(looks.values()))[None]
    latents = np.stack(list(looks.values()))
    with LatentArchive(path, print_) as archive:
        search = Search(query, archive.layout, "euclidean", 15)
        for first, block in archive.blocks(True):
            search.feed(first, block)
        rows, distances, _ = search.hits(0.1)
        found = archive.cells(rows)
    assert distances.tobytes() == brute_force(latents, query, "euclidean", 15)[1].tobytes()
    assert found[0] == next(iter(looks))


def test_an_empty_store_gives_an_empty_archive(tmp_path):
    remember(tmp_path, 0)
    path, print_ = built(tmp_path)
    with LatentArchive(path, print_) as archive:
        assert everything(archive, True) == []


def test_damaged_records_stay_out_of_the_archive(tmp_path):
    looks = remember(tmp_path, 1)
    raw = (tmp_path / MEMORY_FILE).read_bytes()
    latent = next(iter(looks.values())).tobytes()
    at = raw.index(latent)
    (tmp_path / MEMORY_FILE).write_bytes(raw[:at] + bytes([raw[at] ^ 4]) + raw[at + 1 :])
    path, print_ = built(tmp_path)
    with LatentArchive(path, print_) as archive:
        assert sorted(everything(archive, True)) == sorted(set(looks) - {next(iter(looks))})


def test_an_archive_older_than_the_memory_is_noticed(tmp_path):
    remember(tmp_path, 1)
    path, print_ = built(tmp_path)
    with Store(tmp_path) as store:
        store.memory.enter(GRID, T0 + timedelta(days=9), "p9", "a", DTYPE, [])
    with Recall(tmp_path) as recall:
        now = fingerprint(recall.passes("a", DTYPE), ZERO)
    assert now != print_
    with pytest.raises(DamagedArchiveError, match="not of what is remembered"):
        LatentArchive(path, now)


def test_every_truncation_and_every_kind_of_flip_is_noticed(tmp_path):
    remember(tmp_path, 2, clear_share=1.0)
    path, print_ = built(tmp_path)
    whole = path.read_bytes()

    def fails(data):
        path.write_bytes(data)
        with pytest.raises((DamagedArchiveError, DamagedRowsError)), LatentArchive(path, print_) as archive:
            everything(archive, True)

    for size in (0, 5, 100, len(whole) // 2, len(whole) - 1):
        fails(whole[:size])
    with LatentArchive(path.with_name("latents.u8") if path.write_bytes(whole) else path, print_) as archive:
        fields = archive._dtype.fields
    # the last element in use of every field, and the footer; unused rows and `spare` may hold anything
    for name in ("energy", "tail_norm", "head_check", "tail_check", "head", "tail", "cells", "meta_crc", "cells_crc"):
        at = fields[name][1] + 2
        fails(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
    for back in (1, 9, 14, 30, 200):
        fails(whole[:-back] + bytes([whole[-back] ^ 1]) + whole[len(whole) - back + 1 :])


def test_a_folder_that_is_no_store_is_refused_and_stays_as_it_is(tmp_path):
    with pytest.raises(StoreError, match="no store here"):
        Recall(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_memory_is_read_while_a_run_holds_the_store(tmp_path):
    looks = remember(tmp_path, 1)
    with Store(tmp_path), Recall(tmp_path) as recall:
        assert recall.artefacts() == ["a"]
        (one,) = recall.passes("a", DTYPE)
        (identity, row, col), latent = next(iter(looks.items()))
        record = recall.cell(identity, row, col, DTYPE)
        assert (record["latent"][0] == latent).all()
        assert recall.cell(identity, 99, 0, DTYPE) is None
        assert one.cells == 80
