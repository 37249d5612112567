"""Package -> checks -> inactive slot -> known answers -> switch. The active slot is untouched until the last step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from onboard.errors import BundleError, UsageError
from onboard.install import answers
from onboard.install.package import Package, open_package
from onboard.install.slots import Slots
from onboard.install.trust import verifier

TRUST, TARGET = "trust", "target"


@dataclass(frozen=True)
class Installed:
    """What was done: the slot, the version in it, and the artefacts whose known answers were right."""

    slot: str
    name: str
    version: int
    checked: list[str]


def check(path: Path, slots: Slots, now: datetime) -> Package:
    """Everything that can be known before a byte is written.

    Args:
        now: the wall clock; the greatest time ever stored counts where that is later.

    Raises:
        BundleError: with the reason.
    """
    package = open_package(path, verifier(slots.folder / TRUST))
    target = own_target(slots.folder)
    if package.target not in ("any", target):
        raise BundleError(f"{path}: for {package.target}, this is {target}")
    seen = slots.see(now)
    if package.expires is not None and package.expires <= seen:
        raise BundleError(f"{path}: expired {package.expires.isoformat()}, it is {seen.isoformat()} at least")
    least = max(slots.state.minimum, slots.state.version(slots.state.active))
    if package.version < least:
        raise BundleError(f"{path}: version {package.version} is older than {least}, the least that may be installed")
    for _ in package.contents():  # every hash, before the old package in the other slot is given up
        pass
    return package


def install(path: Path, slots: Slots, now: datetime) -> Installed:
    """Install a package and make it active, unconfirmed.

    Raises:
        BundleError: refused, with the reason; what is active stays active.
        UsageError: what is active is not confirmed yet, so that the other slot is still needed.
        DiskFullError: no space left.
    """
    if not slots.state.confirmed:
        raise UsageError(f"{slots.folder}: the active version is not confirmed; --confirm or --rollback first")
    package = check(path, slots, now)
    slot = slots.state.inactive
    folder = slots.path(slot)
    slots.save(slots.state.with_version(slot, None))  # from here on nobody falls back to it
    slots.files.empty(folder)
    for name, data in package.contents():
        slots.files.write(folder / name, data)
    slots.files.sync_folder(folder)
    slots.files.sync_folder(slots.folder)
    checked = answers.check(folder, package.answers)
    state = slots.state.with_version(slot, package.version)
    slots.save(replace(state, active=slot, previous=state.active, confirmed=False, starts=0, cells=0))
    return Installed(slot, package.name, package.version, checked)


def own_target(folder: Path) -> str:
    """Name of this spacecraft as provisioned, "any" where none is."""
    try:
        return (folder / TARGET).read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return "any"
    except (OSError, ValueError) as error:
        raise BundleError(f"{folder / TARGET}: cannot be read ({error})") from error
