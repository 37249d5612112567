"""Public keys provisioned on board, and whether one of them signed a message. Holds no private key, ever."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from onboard.errors import BundleError

KEY_HEX = 64


def verifier(folder: Path) -> Callable[[bytes, bytes], bool]:
    """A function (signature, message) -> bool for the keys of a folder.

    Args:
        folder: of `*.pub`, each the 64 hex digits of a raw Ed25519 public key (RFC 8032).

    Raises:
        BundleError: no key there, one that is none, or `cryptography` is not installed.
    """
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError as error:
        raise BundleError(f"signatures cannot be checked ({error}): pip install 'onboard-detect[sign]'") from error
    keys = []
    for path in sorted(folder.glob("*.pub")):
        try:
            raw = bytes.fromhex(path.read_text(encoding="ascii"))
            keys.append(Ed25519PublicKey.from_public_bytes(raw))
        except (OSError, ValueError) as error:
            raise BundleError(f"{path}: not a public key of {KEY_HEX} hex digits ({error})") from error
    if not keys:
        raise BundleError(f"{folder}: no public key (*.pub) is provisioned there, nothing can be trusted")

    def verify(signature: bytes, message: bytes) -> bool:
        for key in keys:
            try:
                key.verify(signature, message)
                return True
            except InvalidSignature:
                continue
        return False

    return verify
