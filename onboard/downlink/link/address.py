"""`HOST:PORT` as a socket address. Shared by both ends; opens nothing but the resolver."""

from __future__ import annotations

import socket
from typing import Any

from onboard.errors import UsageError


def resolve(text: str, option: str) -> tuple[int, Any]:
    """(address family, socket address) of `HOST:PORT` or `[IPv6]:PORT` for UDP.

    Raises:
        UsageError: not of that form, or the host is not known.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65_535:
        raise UsageError(f"{option} {text}: HOST:PORT wanted")
    try:
        family, _, _, _, address = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)[0]
    except (OSError, UnicodeError) as error:
        raise UsageError(f"{option} {text}: host not known ({error})") from error
    return family, address
