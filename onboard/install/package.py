"""The package: a bundle as one signed file, the same bytes for the same inputs. Reads and checks; writes nothing.

    8 bytes    b"OBPKG\\0\\0\\1"
    4 bytes    length of the manifest, little-endian
    64 bytes   Ed25519 signature over the 12 bytes above and the manifest
    manifest   canonical JSON: ASCII, keys sorted, no spaces
    files      end to end in the manifest's order, of the sizes it gives, and nothing after them

Nothing is compressed and no name has a path in it, so that neither a bomb nor a traversal can be written down. Sizes
are compared with the caps before anything is read, and nothing of the manifest is believed before its signature is.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from onboard.errors import BundleError
from onboard.infer.bundle import TILES

MAGIC = b"OBPKG\0\0\1"
FORMAT = 1
SIGNATURE_BYTES = 64
HEAD = struct.Struct("<8sI")
MAX_MANIFEST_BYTES = 256 << 10
MAX_PACKAGE_BYTES = 32 << 20
MAX_FILES = 64
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Answer:
    """What an artefact must give for the known tiles: uint8 (n, latent) in `file`, each within `steps`."""

    artefact: str
    file: str
    steps: int


@dataclass(frozen=True)
class Entry:
    """One file of a package."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Package:
    """A package whose signature holds.

    Attributes:
        name, version: of what is installed; versions only grow.
        target: the spacecraft it is for, "any" for all.
        expires: not to be installed after this time (UTC), or None.
        files: in the order they lie in the file, the first at byte `start`.
        answers: by artefact.
    """

    path: Path
    name: str
    version: int
    target: str
    expires: datetime | None
    files: tuple[Entry, ...]
    answers: tuple[Answer, ...]
    start: int

    def contents(self) -> Iterator[tuple[str, bytes]]:
        """(name, bytes) of each file, checked; BundleError at the first that is not what was signed."""
        with self.path.open("rb") as stream:
            stream.seek(self.start)
            for entry in self.files:
                data = stream.read(entry.bytes)
                if hashlib.sha256(data).hexdigest() != entry.sha256:
                    raise BundleError(f"{self.path}: {entry.name} is not what was signed (damaged or altered)")
                yield entry.name, data


def canonical(manifest: Mapping[str, Any]) -> bytes:
    """The one way to write a manifest."""
    return json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def open_package(path: Path, verify: Callable[[bytes, bytes], bool]) -> Package:
    """Read and check everything but the contents of the files.

    Args:
        verify: (signature, message) -> whether a trusted key signed it.

    Raises:
        BundleError: no package, too large, cut, unsigned, signed by another key, or of another format.
    """
    try:
        size = path.stat().st_size
        if size > MAX_PACKAGE_BYTES:
            raise BundleError(f"{path}: {size} bytes, at most {MAX_PACKAGE_BYTES} are read")
        with path.open("rb") as stream:
            head = stream.read(HEAD.size)
            signature = stream.read(SIGNATURE_BYTES)
            if len(head) + len(signature) < HEAD.size + SIGNATURE_BYTES:
                raise BundleError(f"{path}: cut short, or no package")
            magic, length = HEAD.unpack(head)
            if magic != MAGIC:
                raise BundleError(f"{path}: no package of this format")
            if length > MAX_MANIFEST_BYTES:
                raise BundleError(f"{path}: a manifest of {length} bytes, at most {MAX_MANIFEST_BYTES} are read")
            raw = stream.read(length)
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror})") from error
    if len(raw) != length:
        raise BundleError(f"{path}: cut short within its manifest")
    if not any(signature):
        raise BundleError(f"{path}: not signed")
    if not verify(signature, head + raw):
        raise BundleError(f"{path}: the signature is of no trusted key, or the manifest was altered")
    return _parse(path, raw, size)


def _parse(path: Path, raw: bytes, size: int) -> Package:
    """The signed manifest as a package. Signed does not mean sane: everything is checked all the same."""
    try:
        manifest = json.loads(raw)
        if canonical(manifest) != raw:
            raise BundleError(f"{path}: its manifest is not canonical")
        if manifest["format"] != FORMAT:
            raise BundleError(f"{path}: format {manifest['format']!r}, this software reads {FORMAT}")
        expires = manifest["expires"] and datetime.fromisoformat(manifest["expires"])
        if expires and expires.tzinfo is None:
            raise BundleError(f"{path}: its expiry has no time zone")
        package = Package(
            path, str(manifest["name"]), int(manifest["version"]), str(manifest["target"]), expires or None,
            tuple(Entry(str(f["name"]), int(f["bytes"]), str(f["sha256"])) for f in manifest["files"]),
            tuple(Answer(str(a["artefact"]), str(a["file"]), int(a["steps"])) for a in manifest["answers"]),
            HEAD.size + SIGNATURE_BYTES + len(raw),
        )  # fmt: skip
    except BundleError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise BundleError(f"{path}: its manifest is not valid ({type(error).__name__}: {error})") from error
    names = [entry.name for entry in package.files]
    for name in names:
        if not NAME.fullmatch(name):
            raise BundleError(f"{path}: {name[:80]!r} is no plain file name")
    if len({name.lower() for name in names}) != len(names) or len(names) > MAX_FILES:
        raise BundleError(f"{path}: two files of one name, or more than {MAX_FILES}")
    if any(entry.bytes < 0 for entry in package.files) or package.version < 1:
        raise BundleError(f"{path}: a size or version below what can be")
    if package.start + sum(entry.bytes for entry in package.files) != size:
        raise BundleError(f"{path}: {size} bytes, its manifest tells of another size (cut, or something appended)")
    if not {answer.file for answer in package.answers} | {TILES} <= set(names) or not package.answers:
        raise BundleError(f"{path}: no known answers in it")
    return package
