"""A bundle folder -> one signed package, the same bytes for the same inputs. The other side is `onboard/install`.

The private key is a file of 64 hex digits that `keygen` writes with mode 600; it never belongs in a repository.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from export.known import known_tiles
from onboard.errors import BundleError
from onboard.infer.bundle import MANIFEST, SUMS, TILES, Artefact, known_file, load_bundle
from onboard.infer.known import STEPS, run
from onboard.install.package import FORMAT, HEAD, MAGIC, canonical


def keygen(path: Path) -> tuple[Path, Path]:
    """Write PATH (private, mode 600) and PATH.pub; BundleError where one exists."""
    key, public = Ed25519PrivateKey.generate(), path.with_name(path.name + ".pub")
    private = key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()).hex()
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
            stream.write(private + "\n")
        with public.open("x") as stream:
            stream.write(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex() + "\n")
    except OSError as error:
        raise BundleError(f"{error.filename}: {error.strerror}; no key is ever overwritten") from error
    return path, public


def build(
    folder: Path, key: Path, version: int, target: str = "any", expires: datetime | None = None,
    keep: Sequence[str] = (),
) -> bytes:  # fmt: skip
    """The package.

    Args:
        folder: of a bundle; checked first.
        key: private key file.
        version: counted up by the operator; a satellite takes no older one.
        target: name of the spacecraft, or "any".
        expires: with time zone; not installed from then on.
        keep: artefacts to send, all by default. The bundle's manifest still names them all, so each must be listed
            to be known; what is left out is taken out of the manifest too.

    Raises:
        BundleError: the bundle or the key cannot be used, or an artefact cannot run here.
    """
    bundle = load_bundle(str(folder.resolve()))
    files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    artefacts = dict(bundle.artefacts)
    if keep:
        artefacts = {name: bundle.artefact(*name.split("-", 1)) for name in keep}
        files = _keep(files, artefacts)
    tiles = files.setdefault(TILES, known_tiles(len(bundle.bands)))
    answers = []
    for name in sorted(artefacts):
        file, precision = known_file(name), name.rpartition("-")[2]
        if file not in files:
            files[file] = run(bundle, name, tiles).tobytes()
        answers.append({"artefact": name, "file": file, "steps": STEPS[precision]})
    order = sorted(files)
    manifest = canonical(
        {
            "format": FORMAT, "name": bundle.name, "version": version, "target": target,
            "expires": expires.isoformat() if expires else None, "answers": answers,
            "files": [
                {"name": n, "bytes": len(files[n]), "sha256": hashlib.sha256(files[n]).hexdigest()} for n in order
            ],
        }
    )  # fmt: skip
    return assemble(manifest, b"".join(files[name] for name in order), private_key(key))


def assemble(manifest: bytes, contents: bytes, key: Ed25519PrivateKey) -> bytes:
    """Header, signature (deterministic, RFC 8032), manifest, files."""
    head = HEAD.pack(MAGIC, len(manifest))
    return head + key.sign(head + manifest) + manifest + contents


def private_key(path: Path) -> Ed25519PrivateKey:
    """Read a key of `keygen`."""
    try:
        return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(path.read_text(encoding="ascii")))
    except (OSError, ValueError) as error:
        raise BundleError(f"{path}: not a private key of `onboard-export keygen` ({type(error).__name__})") from error


def _keep(files: dict[str, bytes], artefacts: dict[str, Artefact]) -> dict[str, bytes]:
    """The bundle's files without the artefacts that are not sent; manifest and checksums to match."""
    manifest = json.loads(files[MANIFEST])
    gone = [name for name in manifest["artefacts"] if name not in artefacts]
    dropped = {manifest["artefacts"][name]["file"] for name in gone} | {known_file(name) for name in gone}
    manifest["budgets"] = {name: item for name, item in manifest.get("budgets", {}).items() if name in artefacts}
    manifest["artefacts"] = {name: item for name, item in manifest["artefacts"].items() if name in artefacts}
    kept = {name: data for name, data in files.items() if name not in dropped | {SUMS}}
    kept[MANIFEST] = (json.dumps(manifest, indent=2, sort_keys=True) + "\n").encode()
    kept[SUMS] = "".join(f"{hashlib.sha256(kept[n]).hexdigest()}  {n}\n" for n in sorted(kept)).encode()
    return kept
