"""The one-way pipeline, on one page: acquisition -> chunks -> looks -> scores -> candidates -> store -> products.

Everything that must survive goes through the store, one chunk group at a time; whatever is broken off here is continued
by the next run from there. Reading and looking run ahead in threads of their own (`ahead`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial

from onboard.ahead import Part, look_ahead
from onboard.arrival import Arrival
from onboard.change.pair import Comparison
from onboard.change.prescan import Frozen, statistics_to_list
from onboard.change.record import Records, record_dtype
from onboard.change.rule import ScoreRule
from onboard.clock import Stages
from onboard.closing import close_up
from onboard.compare import Comparer
from onboard.config import DetectConfig
from onboard.downlink.areas import Areas
from onboard.downlink.asked import Asked
from onboard.downlink.choose import Chooser
from onboard.downlink.enhanced import enhance_chosen
from onboard.downlink.link.orders import Query
from onboard.downlink.settle import settle
from onboard.errors import InputError
from onboard.found import chunk_row, not_looked_at
from onboard.governor import Governor, Step
from onboard.infer.bundle import Bundle
from onboard.infer.runtime import Encoder
from onboard.keeper import Keeper, Model
from onboard.resident import give_back
from onboard.restore.model import Network, load_model
from onboard.run import Run
from onboard.sense.acquisition import Acquisition
from onboard.sense.chunks import Chunk, plan_chunks
from onboard.sense.grid import CELL
from onboard.sense.stream import Stream
from onboard.store import Store
from onboard.store.queue import RESERVE
from onboard.store.rows import AcquisitionRow, ChunkRow, NewProduct
from onboard.strips import Strips
from onboard.succession import look

STATE_BYTES_PER_CELL = 8
"""Status, score, and their share of a row."""
GROUP_BYTES = 4_000_000
"""Candidates that are held in memory before a chunk group is committed early."""

Progress = Callable[[Acquisition, int, int], None]
"""Called after each chunk with (acquisition, cells done, cells in all)."""


@dataclass(frozen=True)
class _Place:
    """One acquisition being looked at, and everything that is frozen about it."""

    arrival: Arrival
    row: AcquisitionRow
    frozen: Frozen
    memory_id: int
    past: list[tuple[int, Comparison | None]]


class Detector:
    """Runs streams through one model into one store.

    Args:
        config: settings.
        bundle, encoder: the model.
        store: open store; all effects go there.
        stages: where time is added up.
        progress: called after each chunk.
        stop: asked between chunks; True ends the run after what is committed.
        areas: where the operator looks first.
        queries: of operators; the cells they touch are kept whatever their score.
        keeper: replaces a model that fails; without one its ModelError ends the run.
    """

    def __init__(
        self,
        config: DetectConfig,
        bundle: Bundle,
        encoder: Encoder,
        store: Store,
        stages: Stages,
        progress: Progress = lambda *_: None,
        stop: Callable[[], bool] = lambda: False,
        areas: Areas | None = None,
        queries: Sequence[Query] = (),
        keeper: Keeper | None = None,
    ) -> None:
        self.config, self.store, self.stages, self.progress, self.stop = config, store, stages, progress, stop
        self.areas, self.queries, self.keeper = areas, queries, keeper
        self.governor = Governor(config.deadline_s_per_row)
        self._use(bundle, encoder, keeper.current.vouch if keeper else lambda _: None)

    def take(self, model: Model) -> None:
        """Go on with another model."""
        self._use(model.bundle, model.encoder, model.vouch)

    def like(self, model: Model) -> Detector:
        """The same with another model, which nothing replaces; what operators ask for is kept by this one alone."""
        other = Detector(self.config, model.bundle, model.encoder, self.store, self.stages, self.progress, self.stop)
        other.take(model)
        return other

    def _use(self, bundle: Bundle, encoder: Encoder, vouch: Callable[[Sequence[Records]], None]) -> None:
        self.bundle, self.encoder, self.vouch = bundle, encoder, vouch
        self.artefact = encoder.artefact.sha256
        self.dtype = record_dtype(bundle.latent, bundle.bands)
        rule = ScoreRule.from_dict(bundle.score)
        self.rule = replace(rule, rule=self.config.score) if self.config.score else rule

    def detect(self, streams: Sequence[Stream]) -> Run:
        """Look at every acquisition that is not finished yet. A refused one is recorded; the others go on."""
        run = Run()
        network = Network(load_model(self.config.enhancer)) if self.config.enhances else None
        self.store.queue.trim(self.config.budget_bytes)
        for stream in streams:
            run.refused += stream.refused
            self._follow(stream, run)
        with self.stages.time("code"):
            lossless = self.governor.level < Step.LOSSLESS
            run.damaged_products = settle(self.store.queue, self.config.budget_bytes, lossless)
        if network is not None and self.governor.level < Step.SUPER_RESOLUTION:
            with self.stages.time("enhance"):
                run.enhanced = enhance_chosen(
                    self.store, run, self.config, self.bundle, self.artefact, network, self.stop
                )
        with self.stages.time("code"):
            self.store.queue.trim(self.config.budget_bytes)  # the regions came on top
        return run

    def _follow(self, stream: Stream, run: Run) -> None:
        """The acquisitions of one stream, in order."""
        grid_id: int | None = None
        for acquisition in stream.acquisitions:
            if self.stop():
                run.interrupted = True
                return
            try:
                if self.keeper is not None:
                    grid_id = look(self, self.keeper, acquisition, grid_id, run)
                else:
                    grid_id = self.place(acquisition, grid_id, run)
                    run.show(self.look_at(acquisition, grid_id, run), acquisition)
            except InputError as error:
                run.refused.append(error)

    def abandon(self, acquisition: Acquisition, grid_id: int, artefact: str) -> None:
        """Forget what an artefact had committed of an acquisition it did not finish."""
        row = self.store.state.find(grid_id, acquisition.sensing_time, acquisition.product_id, artefact)
        if row is not None and not row.done:
            self.store.state.abandon(row.id)

    def place(self, acquisition: Acquisition, grid_id: int | None, run: Run) -> int:
        """The grid an acquisition belongs to; the first of a stream may found one."""
        missing = self.bundle.lacking(tuple(b.name for b in acquisition.bands))
        if missing:
            raise InputError(
                acquisition.where, f"lacks {', '.join(missing)}, which bundle {self.bundle.name} needs", "missing-band"
            )
        if acquisition.grid.rows * acquisition.grid.cols == 0:
            size = f"{acquisition.grid.width} x {acquisition.grid.height} px"
            raise InputError(acquisition.where, f"{size} is smaller than one cell of {CELL} x {CELL} px", "too-small")
        if grid_id is not None:
            reason = run.grids[grid_id].mismatch(acquisition.grid)
            if reason:
                raise InputError(acquisition.where, f"no revisit of this place: {reason}", "grid")
            return grid_id
        for known_id, known in self.store.state.grids():
            if known.mismatch(acquisition.grid) is None:
                run.grids[known_id] = known
                return known_id
        grid_id = self.store.state.add_grid(acquisition.grid)
        run.grids[grid_id] = acquisition.grid
        return grid_id

    def look_at(self, acquisition: Acquisition, grid_id: int, run: Run) -> int:
        """One acquisition: pre-scan, then chunk after chunk; continues where an earlier run was broken off.

        Returns the id of its row. ModelError: the model failed; what was committed before is sound.
        """
        grid, config, store = run.grids[grid_id], self.config, self.store
        row = store.state.find(grid_id, acquisition.sensing_time, acquisition.product_id, self.artefact)
        if row is not None and row.done:
            run.skipped += 1
            return row.id
        rows = min(grid.height, acquisition.grid.height) // CELL
        cols = min(grid.width, acquisition.grid.width) // CELL
        chunks = plan_chunks(rows, cols, acquisition.block_shape, config.chunk_px)
        evicted = self._make_room(rows * cols) if row is None else {}
        past = store.memory.past(grid, acquisition.sensing_time, self.artefact, self.dtype, config.lookback)
        with acquisition.open(self.bundle.bands, config.threads) as reader:
            arrival = Arrival(acquisition, reader, self.bundle, self.encoder, self.rule, config, self.stages)
            large = rows * cols > config.prescan_all_cells
            if row is None or row.settings != config.fingerprint() or (row.rows, row.cols) != (rows, cols):
                if large:
                    give_back()  # what loading needed
                with self.stages.time("prescan"):
                    frozen = arrival.freeze(rows, cols, past, store.memory)
                    self.vouch([])  # what is usual between two passes was found with the model's latents
                row = store.state.begin(
                    grid_id, acquisition.sensing_time, acquisition.product_id, self.artefact, config.fingerprint(),
                    (rows, cols), [one.sensing_time for one in past[: config.history]], frozen.to_dict(),
                )  # fmt: skip
                store.state.commit(row.id, [], [], evicted, config.budget_bytes)
            frozen = Frozen.from_dict(row.statistics)  # also when just made: what is scored with is what was stored
            memory_id = store.memory.enter(
                grid, acquisition.sensing_time, acquisition.product_id, self.artefact, self.dtype,
                statistics_to_list(frozen.bands),
            )  # fmt: skip
            place = _Place(arrival, row, frozen, memory_id, arrival.comparisons(frozen, past))
            if large:
                give_back()  # what the pre-scan needed
            whole = self._chunks(place, chunks, run)
        if whole:
            store.state.commit(row.id, [], [], self._oddities(acquisition, rows, cols), config.budget_bytes)
            with self.stages.time("choose"):
                close_up(store, row, grid, memory_id, acquisition, self.bundle, self.artefact, config.budget_bytes)
            store.state.finish(row.id)
            store.memory.forget(grid, self.artefact, config.keep_passes)
        if large:
            give_back()  # what the chunks needed
        return row.id

    def _chunks(self, place: _Place, chunks: list[Chunk], run: Run) -> bool:
        """Look, compare, choose, commit; False when stopped before the end."""
        row, arrival = place.row, place.arrival
        done = self.store.state.done_chunks(row.id)
        todo = [chunk for chunk in chunks if chunk.index not in done]
        total = row.rows * row.cols
        finished = total - sum(chunk.cells for chunk in todo)
        lookers = [arrival.looker(place.frozen.bands, chunks) for _ in range(self.config.threads)]
        strips = Strips(todo, self.governor, self.stages, run.timing)
        history = partial(strips.history, usual=self.config.history)
        grid = run.grids[row.grid_id]
        chooser = Chooser(
            self.store.queue, self.config.budget_bytes, arrival.acquisition, grid, self.bundle.bands, self.artefact,
            self.store.state.chunks(row.id), self.areas.weights(grid) if self.areas else None,
        )  # fmt: skip
        wanted = Asked(self.queries, arrival.acquisition, grid, self.artefact)
        with ExitStack() as stack:
            stack.enter_context(wanted)
            comparers = [
                Comparer(
                    stack.enter_context(self.store.memory.reader()), place.past, self.dtype, self.rule,
                    self.encoder.artefact.output, history, self.stages,
                )
                for _ in lookers
            ]  # fmt: skip
            parts = look_ahead(
                arrival.reader, arrival.acquisition.grid, len(self.bundle.bands), todo, place.frozen.displacement,
                list(zip(lookers, comparers, strict=True)), self.stages, self.config.read_ahead, strips.skip,
            )  # fmt: skip
            stack.enter_context(closing(parts))
            return self._choose(place, parts, strips, chooser, wanted, finished, run)

    def _choose(
        self, place: _Place, parts: Iterator[Part], strips: Strips, chooser: Chooser, wanted: Asked, finished: int,
        run: Run,
    ) -> bool:  # fmt: skip
        """The chunks that are not yet committed."""
        row = place.row
        total = row.rows * row.cols
        group: list[tuple[ChunkRow, Records | None]] = []
        counters: dict[str, int] = {}
        asked: list[NewProduct] = []
        for part in parts:
            chunk = part.chunk
            if part.skipped:
                counters["cells_skipped"] = counters.get("cells_skipped", 0) + chunk.cells
                group.append((not_looked_at(chunk), None))
            elif part.look is None or part.pixels is None or part.compared is None:
                assert part.fault is not None
                counters[part.fault.kind] = counters.get(part.fault.kind, 0) + 1
                counters["cells_not_read"] = counters.get("cells_not_read", 0) + chunk.cells
                run.refused.append(part.fault)
                group.append((not_looked_at(chunk), None))
            else:
                found = part.compared
                if found.damaged:
                    counters["memory_crc"] = counters.get("memory_crc", 0) + found.damaged
                truth = None if part.truth is None else part.look.share_of(part.truth)
                group.append((chunk_row(chunk, found.status, found.score, truth), part.look.records))
                with self.stages.time("choose"):
                    chooser.offer(chunk, found.score, part.pixels.original, part.look.visible())
                    asked += wanted.offer(chunk, found.score)
            strips.done(chunk)
            finished += chunk.cells
            run.tiles += 0 if part.skipped else chunk.cells
            stopping = self.stop()
            looked = sum(item[0].chunk.cells for item in group)
            held = chooser.held_bytes + sum(len(new.payload) for new in asked)
            if stopping or looked >= self.config.group_cells or held >= GROUP_BYTES:
                self._commit(row.id, place.memory_id, group, strips, chooser, asked, counters)
            self.progress(place.arrival.acquisition, finished, total)
            if stopping and finished < total:
                run.interrupted = True
                return False
        self._commit(row.id, place.memory_id, group, strips, chooser, asked, counters)
        return True

    def _commit(
        self,
        acquisition: int,
        memory_id: int,
        group: list[tuple[ChunkRow, Records | None]],
        strips: Strips,
        chooser: Chooser,
        asked: list[NewProduct],
        counters: dict[str, int],
    ) -> None:
        """The memory first (idempotent), then everything else in one transaction; empties what it was given."""
        if not group:
            return
        self.vouch([records for _, records in group if records is not None])
        products = [*chooser.collect(), *asked]  # a cell that was asked for replaces the same one chosen for its score
        begun = self.stages.now()
        with self.stages.time("store"):
            self.store.memory.write(
                memory_id, [(item.chunk, records) for item, records in group if records is not None]
            )
            self.store.state.commit(
                acquisition, [item for item, _ in group], products, counters, self.config.budget_bytes,
                strips.decisions(),
            )  # fmt: skip
        strips.committed(self.stages.now() - begun)
        group.clear()
        asked.clear()
        counters.clear()

    def _make_room(self, cells: int) -> dict[str, int]:
        """Before a pass is begun; what left, by counter."""
        if self.config.storage_bytes is None:
            return {}
        coming = round(cells * (self.dtype.itemsize + STATE_BYTES_PER_CELL) + self.config.budget_bytes * RESERVE)
        return self.store.make_room(self.config.storage_bytes, coming, self.artefact, self.config.history)

    def _oddities(self, acquisition: Acquisition, rows: int, cols: int) -> dict[str, int]:
        dropped = acquisition.grid.width * acquisition.grid.height - rows * cols * CELL * CELL
        return {"remainder_px": dropped} if dropped else {}
