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
from onboard.closing import begin_quicklook, close_up
from onboard.compare import Comparer
from onboard.config import DetectConfig
from onboard.downlink.areas import Areas
from onboard.downlink.asked import Asked
from onboard.downlink.choose import Chooser
from onboard.downlink.enhanced import enhance_chosen
from onboard.downlink.link.orders import Query
from onboard.downlink.quicklook import Quicklook
from onboard.downlink.settle import settle
from onboard.errors import InputError
from onboard.governor import Governor, Step
from onboard.group import Group
from onboard.infer.bundle import Bundle
from onboard.infer.runtime import Encoder
from onboard.keeper import Keeper, Model
from onboard.placing import place
from onboard.resident import give_back
from onboard.restore.clean import cleaned
from onboard.restore.model import Network, load_model
from onboard.run import Run
from onboard.sense.acquisition import Acquisition
from onboard.sense.chunks import Chunk, plan_chunks
from onboard.sense.grid import CELL
from onboard.sense.stream import Stream
from onboard.store import Store
from onboard.store.queue import RESERVE
from onboard.store.rows import AcquisitionRow
from onboard.strips import Strips
from onboard.succession import look

STATE_BYTES_PER_CELL = 8
"""Status, score, and their share of a row."""

Progress = Callable[[Acquisition, int, int], None]
"""Called after each chunk with (acquisition, cells done, cells in all)."""


@dataclass(frozen=True)
class _Begun:
    """One acquisition being looked at, and everything that is frozen about it."""

    arrival: Arrival
    row: AcquisitionRow
    frozen: Frozen
    memory_id: int
    past: list[tuple[int, Comparison | None]]
    quicklook: Quicklook | None


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
        self.denoiser = Network(load_model(config.denoiser), runtime=config.runtime) if config.denoiser else None
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
        network = None
        if self.config.enhances:
            network = Network(load_model(self.config.enhancer), runtime=self.config.runtime)
        with self.stages.time("store"):
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
                    grid_id = place(acquisition, grid_id, self.bundle, self.store, run)
                    run.show(self.look_at(acquisition, grid_id, run), acquisition)
            except InputError as error:
                run.refused.append(error)

    def abandon(self, acquisition: Acquisition, grid_id: int, artefact: str) -> None:
        """Forget what an artefact had committed of an acquisition it did not finish."""
        row = self.store.state.find(grid_id, acquisition.sensing_time, acquisition.product_id, artefact)
        if row is not None and not row.done:
            self.store.state.abandon(row.id)

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
        with ExitStack() as opened:
            with self.stages.time("open"):
                measured = opened.enter_context(acquisition.open(self.bundle.bands, config.threads))
            with measured.keeping(store.memory.path.parent):  # the pre-scan's sample
                reader = cleaned(measured, acquisition, self.bundle.bands, self.denoiser, config, self.governor)
            arrival = Arrival(acquisition, reader, self.bundle, self.encoder, self.rule, config, self.stages)
            large = rows * cols > config.prescan_all_cells
            anew = row is None or row.settings != config.fingerprint() or (row.rows, row.cols) != (rows, cols)
            if row is None or anew:
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
                statistics_to_list(frozen.bands), anew,
            )  # fmt: skip
            quicklook = begin_quicklook(rows, cols, self.bundle, config.budget_bytes)
            begun = _Begun(arrival, row, frozen, memory_id, arrival.comparisons(frozen, past), quicklook)
            if large:
                give_back()  # what the pre-scan needed
            whole = self._chunks(begun, chunks, run)
        if large:
            give_back()  # what the chunks needed
        if whole:
            dropped = acquisition.grid.width * acquisition.grid.height - rows * cols * CELL * CELL
            oddities = {"remainder_px": dropped} if dropped else {}
            store.state.commit(row.id, [], [], oddities, config.budget_bytes)
            with self.stages.time("choose"):
                close_up(
                    store, row, grid, memory_id, acquisition, self.bundle, self.artefact, config.budget_bytes,
                    quicklook,
                )  # fmt: skip
            store.state.finish(row.id)
            store.memory.forget(grid, self.artefact, config.keep_passes)
        return row.id

    def _chunks(self, begun: _Begun, chunks: list[Chunk], run: Run) -> bool:
        """Look, compare, choose, commit; False when stopped before the end."""
        row, arrival = begun.row, begun.arrival
        done = self.store.state.done_chunks(row.id)
        todo = [chunk for chunk in chunks if chunk.index not in done]
        total = row.rows * row.cols
        finished = total - sum(chunk.cells for chunk in todo)
        lookers = [arrival.looker(begun.frozen.bands, chunks) for _ in range(self.config.threads)]
        strips = Strips(todo, self.governor, self.stages, run.timing)
        history = partial(strips.history, usual=self.config.history)
        grid = run.grids[row.grid_id]
        chooser = Chooser(
            self.store.queue, self.config.budget_bytes, arrival.acquisition, grid, self.bundle.bands, self.artefact,
            self.store.state.chunks(row.id), self.areas.weights(grid) if self.areas else None,
        )  # fmt: skip
        with ExitStack() as stack:
            wanted = stack.enter_context(Asked(self.queries, arrival.acquisition, grid, self.artefact))
            group = stack.enter_context(
                Group(
                    self.store, row.id, begun.memory_id, chooser, wanted, strips, self.stages, self.vouch,
                    begun.quicklook, self.config.budget_bytes,
                )
            )  # fmt: skip
            comparers = [
                Comparer(
                    stack.enter_context(self.store.memory.reader()), begun.past, self.dtype, self.rule,
                    self.encoder.artefact.output, history, self.stages,
                )
                for _ in lookers
            ]  # fmt: skip
            parts = look_ahead(
                arrival.reader, arrival.acquisition.grid, len(self.bundle.bands), todo, begun.frozen.displacement,
                list(zip(lookers, comparers, strict=True)), self.stages, self.config.read_ahead, strips.skip,
            )  # fmt: skip
            stack.enter_context(closing(parts))
            return self._take_in(begun, parts, group, finished, run)

    def _take_in(self, begun: _Begun, parts: Iterator[Part], group: Group, finished: int, run: Run) -> bool:
        """The chunks that are not yet committed."""
        total = begun.row.rows * begun.row.cols
        for part in parts:
            with self.stages.time("choose"):
                group.add(part, run)
            finished += part.chunk.cells
            stopping = self.stop()
            if stopping or group.is_due(self.config.group_cells):
                group.commit()
            self.progress(begun.arrival.acquisition, finished, total)
            if stopping and finished < total:
                run.interrupted = True
                return False
        group.commit()
        return True

    def _make_room(self, cells: int) -> dict[str, int]:
        """Before a pass is begun; what left, by counter."""
        if self.config.storage_bytes is None:
            return {}
        coming = round(cells * (self.dtype.itemsize + STATE_BYTES_PER_CELL) + self.config.budget_bytes * RESERVE)
        return self.store.make_room(self.config.storage_bytes, coming, self.artefact, self.config.history)
