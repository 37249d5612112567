"""Two slots, and the one small file that says which of them is active. Knows nothing of signatures.

SLOTS/state.json   replaced as a whole, with its own checksum; without it no slot is active
      a/  b/       a bundle folder each
      trust/*.pub  public keys, provisioned
      target       name of this spacecraft, provisioned

Rules. A slot is written only while it is not active and the active one is confirmed. A switch is one replacement of
state.json. Until `confirm`, `rollback` returns to what ran before: the other slot, or what ships (active None).
`confirm` raises the least version that may be installed. `time` is the greatest time ever seen and never falls.

A version is on trial from its switch until it is confirmed or has looked at `TRIAL_CELLS` cells. `starts` counts its
runs that have not ended yet; what fails on trial falls back, which is a rollback that is counted with its reason.
"""

from __future__ import annotations

import fcntl
import json
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from onboard.errors import BundleError, UsageError
from onboard.infer.bundle import Bundle, load_bundle
from onboard.install.files import Files

STATE = "state.json"
NAMES = ("a", "b")
TRIAL_CELLS = 20_000
"""About 60 strips of a granule."""
MAX_CRASHES = 3
EPOCH = "1970-01-01T00:00:00+00:00"


@dataclass(frozen=True)
class SlotState:
    """What state.json holds. `versions` tells what lies in a slot; a slot that is being written has none."""

    active: str | None = None
    previous: str | None = None
    confirmed: bool = True
    minimum: int = 1
    time: str = EPOCH
    versions: tuple[tuple[str, int], ...] = ()
    starts: int = 0
    cells: int = 0
    fallbacks: int = 0
    fault: str = ""

    @property
    def on_trial(self) -> bool:
        """Whether what is active may still fall back by itself."""
        return self.active is not None and not self.confirmed and self.cells < TRIAL_CELLS

    @property
    def inactive(self) -> str:
        """The slot that may be written."""
        return "b" if self.active == "a" else "a"

    def version(self, slot: str | None) -> int:
        """Version in a slot, 0 for none."""
        return dict(self.versions).get(slot or "", 0)

    def with_version(self, slot: str, version: int | None) -> SlotState:
        """The same, with another version in a slot."""
        known = {key: value for key, value in self.versions if key != slot}
        return replace(self, versions=tuple(sorted((known | ({slot: version} if version else {})).items())))


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One writer at a time, UsageError for the second; the kernel frees the lock however the process ends."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise UsageError(f"{folder}: no folder of slots ({error.strerror})") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise UsageError(f"{folder}: another onboard-install is at work") from error
    finally:
        os.close(handle)


class Slots:
    """The slots of a folder.

    Raises:
        BundleError: state.json is damaged. (It is never guessed at: `onboard-detect` then runs a bundle that ships.)
    """

    def __init__(self, folder: Path, files: Files | None = None) -> None:
        self.folder, self.files = folder, files or Files()
        self.state = _read(folder / STATE)

    def path(self, slot: str) -> Path:
        """The folder of a slot."""
        return self.folder / slot

    def save(self, state: SlotState) -> None:
        """Replace the state, at once or not at all."""
        body = json.dumps(asdict(state), sort_keys=True)
        text = json.dumps({"state": json.loads(body), "crc32": zlib.crc32(body.encode())})
        self.files.replace(self.folder / STATE, text.encode())
        self.state = state

    def see(self, now: datetime) -> datetime:
        """Remember a time; returns the greatest ever seen."""
        greatest = max(now.astimezone(UTC), datetime.fromisoformat(self.state.time))
        if greatest.isoformat() != self.state.time:
            self.save(replace(self.state, time=greatest.isoformat()))
        return greatest

    def confirm(self) -> None:
        """Keep what is active; nothing older is installed from now on. UsageError where nothing is installed."""
        if self.state.active is None:
            raise UsageError(f"{self.folder}: nothing is installed that could be confirmed")
        minimum = max(self.state.minimum, self.state.version(self.state.active))
        self.save(replace(self.state, confirmed=True, previous=None, minimum=minimum))

    def rollback(self) -> None:
        """Back to what ran before the last switch; what is left behind is never fallen back to.

        Raises:
            UsageError: the last switch was confirmed.
        """
        if self.state.confirmed:
            raise UsageError(f"{self.folder}: nothing unconfirmed is active, there is nothing to go back from")
        self.save(self._rolled_back())

    def _rolled_back(self) -> SlotState:
        left = self.state.with_version(self.state.active or "", None)
        return replace(left, active=self.state.previous, previous=None, confirmed=True, starts=0, cells=0)

    def started(self) -> bool:
        """Count a run of what is on trial; True where so many before it did not end that it falls back instead."""
        if self.state.starts >= MAX_CRASHES:
            return True
        self.save(replace(self.state, starts=self.state.starts + 1))
        return False

    def ended(self, cells: int) -> None:
        """A run of what is on trial ended well, after so many cells."""
        self.save(replace(self.state, starts=0, cells=self.state.cells + cells))

    def fall_back(self, reason: str) -> None:
        """Roll back what failed on trial, and remember why, at once; UsageError where it was confirmed meanwhile."""
        if not self.state.on_trial:
            raise UsageError(f"{self.folder}: nothing is on trial")
        self.save(replace(self._rolled_back(), fallbacks=self.state.fallbacks + 1, fault=reason))

    def line(self) -> list[str]:
        """The slots that may run, in the order they are tried; empty where only what ships may."""
        if self.state.active is None:
            return []
        return [slot for slot in (self.state.active, self.state.inactive) if self.state.version(slot)]


def installed_bundle(folder: Path) -> tuple[Bundle | None, list[str]]:
    """The bundle to run, and what went wrong on the way to it.

    The active slot, else (damaged) the other one where a whole package lies in it, else None: a bundle that ships.
    """
    try:
        slots = Slots(folder)
    except BundleError as error:
        return None, [str(error)]
    faults: list[str] = []
    for slot in slots.line():
        try:
            return load_bundle(str((folder / slot).resolve())), faults
        except (BundleError, OSError) as error:
            faults.append(f"slot {slot}: {error}")
    return None, faults


def _read(path: Path) -> SlotState:
    try:
        raw: dict[str, Any] = json.loads(path.read_bytes())
        body = json.dumps(raw["state"], sort_keys=True)
        if zlib.crc32(body.encode()) != raw["crc32"]:
            raise ValueError("its checksum differs")
        fields = raw["state"]
        state = SlotState(**fields | {"versions": tuple((str(k), int(v)) for k, v in fields["versions"])})
        datetime.fromisoformat(state.time)
    except FileNotFoundError:
        return SlotState()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{path}: damaged ({error})") from error
    return state
