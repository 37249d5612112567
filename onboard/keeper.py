"""Which model runs, and which one after it. Loads models and holds them to account; knows nothing of pixels.

Rules. A chunk group is committed only after the model that looked at it gave its known answers (`Model.vouch`), so
that nothing of a damaged model is stored. A model that fails is loaded anew, once; then the other slot's, then one that
ships takes its place. While what is active is on trial (unconfirmed, its first `TRIAL_CELLS` cells not yet looked at),
a failure sends it back for good: state.json says so before another model looks at anything. A run on trial that ends
without `close` was a crash, and `MAX_CRASHES` of them in a row are a failure.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from onboard.change.record import Records, is_clear
from onboard.errors import BundleError, InputError, ModelError, OnboardError, UsageError
from onboard.infer.bundle import OTHER_ENGINES, Bundle, load_bundle, shipped_bundles
from onboard.infer.known import SelfCheck
from onboard.infer.runtime import Encoder, load_encoder
from onboard.install.slots import NAMES, Slots, locked

log = logging.getLogger("onboard.keeper")

DEADLINE_RATIO = 4.0
"""A new model may take so many times the processor time of the old one, both measured in the same moment."""
FEWEST_CLEAR = 32
"""Clear cells from which on one latent for all of them is a fault."""

Loader = Callable[[Bundle], Encoder]


@dataclass(frozen=True)
class Model:
    """A bundle, its loaded encoder, and what holds it to its known answers."""

    bundle: Bundle
    encoder: Encoder
    check: SelfCheck

    @classmethod
    def load(cls, bundle: Bundle, loader: Loader) -> Model:
        """BundleError where it cannot run, ModelError where it does not give its known answers."""
        encoder = loader(bundle)
        return cls(bundle, encoder, SelfCheck(bundle, encoder))

    def vouch(self, looked: Sequence[Records]) -> None:
        """ModelError where what was looked at must not be stored: wrong answers, or one latent for everything."""
        self.check.run()
        clear: list[Records] = []
        for records in looked:
            some = records[is_clear(records)]
            if not len(some):
                continue
            clear.append(some)
            if (some["latent"] != clear[0]["latent"][0]).any():
                return  # as a rule with the first of them
        count = sum(map(len, clear))
        if count < FEWEST_CLEAR:
            return
        seen = np.concatenate([one["fine"].reshape(len(one), -1) for one in clear])
        if (seen != seen[0]).any():
            key = self.encoder.artefact.key
            raise ModelError(f"bundle {self.bundle.name}: {key} gives one latent for {count} different cells")


class Keeper:
    """Keeps a model running.

    Args:
        loader: makes the encoder of a bundle: which runtime and precision.
        ships: the bundle that runs where no slot does, e.g. the one asked for by name.
        slots: folder of `onboard-install`, or None.

    Attributes:
        current: the model that runs.
        faults: what failed, for the run's report.
    """

    def __init__(self, loader: Loader, ships: Callable[[], Bundle], slots: Path | None = None) -> None:
        self._loader, self._ships, self._folder = loader, ships, slots
        self.faults: list[InputError] = []
        self._reloaded = False
        self._older: dict[str, Model | None] = {}
        self._artefacts: dict[str, tuple[Bundle, str]] | None = None
        self._line: list[str] = []
        self._trial = False
        if slots is not None:
            self._begin(slots)
        self.current = self._next()

    def replace(self, error: ModelError) -> Model:
        """The model to go on with: the same loaded anew, then another one.

        Raises:
            OnboardError: none is left; the last one's fault.
        """
        self._count("model-fault", error)
        if not self._reloaded:
            self._reloaded = True
            with suppress(BundleError, ModelError):
                self.current = self._load()
                return self.current
        self._give_up(error)
        self.current = self._next()
        return self.current

    def older(self, tags: Sequence[str]) -> Model | None:
        """The first of these artefacts (their SHA-256) that a slot or a shipped bundle still holds, loaded; or None."""
        for tag in tags:
            if tag in self._known() and tag not in self._older:
                bundle, key = self._known()[tag]
                runtime, _, precision = key.partition("-")
                try:
                    self._older[tag] = Model.load(bundle, lambda b, r=runtime, p=precision: load_encoder(b, r, p))  # type: ignore[misc]
                except (BundleError, ModelError) as error:
                    self._count("model-fault", error)
                    self._older[tag] = None
            if self._older.get(tag) is not None:
                return self._older[tag]
        return None

    def drop(self, model: Model, error: ModelError) -> None:
        """An older model that failed is not asked again."""
        self._count("model-fault", error)
        self._older[model.encoder.artefact.sha256] = None

    def close(self, cells: int) -> None:
        """The run ended as it should, after so many cells."""
        if self._trial and self._folder is not None:
            with suppress(OnboardError), locked(self._folder):
                Slots(self._folder).ended(cells)

    def _begin(self, folder: Path) -> None:
        """The slots in the order they are tried; a run on trial is counted before anything is loaded."""
        try:
            slots = Slots(folder)
            self._trial = slots.state.on_trial
            if self._trial:
                try:
                    with locked(folder):
                        slots = Slots(folder)
                        crashed = slots.started()
                except UsageError as error:  # an installation is at work; the next run counts
                    log.warning("%s", error)
                    crashed = False
                if crashed:
                    self._fall_back(f"{slots.state.starts} runs in a row did not end")
                    slots = Slots(folder)
            self._line = slots.line()
        except BundleError as error:
            self._count("bundle-slot", error)

    def _next(self) -> Model:
        """The first model of the line that loads and is sound."""
        while True:
            try:
                return self._load()
            except (BundleError, ModelError, OSError) as error:
                if not self._line:
                    raise
                self._count("bundle-slot" if isinstance(error, BundleError) else "model-fault", error)
                self._give_up(error)

    def _load(self) -> Model:
        """The model of the first slot of the line, or the one that ships."""
        if not self._line:
            return Model.load(self._ships(), self._loader)
        model = Model.load(self._in_slot(self._line[0]), self._loader)
        if self._trial:
            self._deadline(model)
        return model

    def _deadline(self, model: Model) -> None:
        """ModelError where a model on trial is too slow by its own budget, or by far slower than the one before."""
        key = model.encoder.artefact.key
        limit = float(model.bundle.budgets.get(key, {}).get("limit_us_per_tile", np.inf))
        takes = model.check.us_per_tile()
        if takes > limit:
            raise ModelError(f"bundle {model.bundle.name}: {key} takes {takes:.0f} us a tile, {limit:.0f} at most")
        rest = self._line[1:]
        try:
            before = Model.load(self._in_slot(rest[0]) if rest else self._ships(), self._loader)
        except (BundleError, ModelError, OSError):
            return  # nothing to compare with
        usual = before.check.us_per_tile()
        if takes > DEADLINE_RATIO * usual:
            raise ModelError(
                f"bundle {model.bundle.name}: {key} takes {takes:.0f} us a tile, the one before {usual:.0f}"
            )

    def _in_slot(self, name: str) -> Bundle:
        assert self._folder is not None
        return load_bundle(str((self._folder / name).resolve()))

    def _give_up(self, error: Exception) -> None:
        """On to the next of the line; where none is left, or nothing is asked of slots, the fault itself."""
        if not self._line:
            raise error
        self._reloaded = False
        if self._trial:
            self._fall_back(str(error))
        else:
            self._line.pop(0)

    def _fall_back(self, reason: str) -> None:
        """Back to what ran before the switch, for good."""
        assert self._folder is not None
        self._trial = False
        try:
            with locked(self._folder):
                slots = Slots(self._folder)
                slots.fall_back(reason)
            self._line = slots.line()
        except OnboardError as error:  # it cannot be written down now; this run goes back all the same
            log.warning("%s", error)
            self._line = self._line[1:]
        self._count("model-fallback", ModelError(f"back to the model before: {reason}"))

    def _known(self) -> Mapping[str, tuple[Bundle, str]]:
        """Every artefact of the slots and of what ships, by its tag: those that could have looked before."""
        if self._artefacts is None:
            self._artefacts = {}
            folder = self._folder
            names = [] if folder is None else [*shipped_bundles(), *(str((folder / one).resolve()) for one in NAMES)]
            for name in names:
                with suppress(BundleError, OSError):
                    bundle = load_bundle(name)
                    for key, artefact in bundle.artefacts.items():
                        for engine in ("", *OTHER_ENGINES):
                            self._artefacts[artefact.tagged(engine).sha256] = (bundle, key)
        return self._artefacts

    def tags(self) -> list[str]:
        """Tags of every artefact that could have looked before."""
        return [tag for tag in self._known() if tag != self.current.encoder.artefact.sha256]

    def _count(self, kind: str, error: Exception) -> None:
        where = str(self._folder or self._ships().name)
        self.faults.append(InputError(where, str(error), kind))
