"""A bad radio link as a UDP relay: loses, delays, duplicates and corrupts datagrams both ways. Standard library alone.

    python link.py --listen HOST:PORT --to HOST:PORT [--loss 0.1] [--delay-ms 20] [--duplicate 0.01] [--corrupt 0.001]

Whoever sends to --listen reaches --to; what comes back goes to whoever sent last. Ends by SIGTERM, or after --idle
seconds without a datagram.
"""

from __future__ import annotations

import argparse
import heapq
import random
import selectors
import signal
import socket
import sys
import time

MTU = 65_535


class Relay:
    """Datagrams on their way, each with the time at which it lands.

    Args:
        loss, duplicate, corrupt: probabilities, 0..1.
        delay_s: of every datagram; half as much again at random, so that some overtake others.
    """

    def __init__(self, rng: random.Random, loss: float, duplicate: float, corrupt: float, delay_s: float) -> None:
        self._rng, self._loss, self._duplicate, self._corrupt, self._delay = rng, loss, duplicate, corrupt, delay_s
        self._flying: list[tuple[float, int, bool, bytes]] = []
        self._count = 0
        self.lost = self.carried = 0

    def launch(self, now: float, down: bool, data: bytes) -> None:
        """A datagram has come in; `down`: towards the ground."""
        copies = 2 if self._rng.random() < self._duplicate else 1
        for _ in range(copies):
            if self._rng.random() < self._loss:
                self.lost += 1
                continue
            if data and self._rng.random() < self._corrupt:
                place = self._rng.randrange(len(data))
                data = data[:place] + bytes([data[place] ^ 1 << self._rng.randrange(8)]) + data[place + 1 :]
            self._count += 1
            landing = now + self._delay * (1 + self._rng.random() / 2)
            heapq.heappush(self._flying, (landing, self._count, down, data))

    def land(self, now: float) -> list[tuple[bool, bytes]]:
        """What has arrived by now."""
        found = []
        while self._flying and self._flying[0][0] <= now:
            _, _, down, data = heapq.heappop(self._flying)
            found.append((down, data))
            self.carried += 1
        return found

    def wait(self, now: float) -> float:
        """Seconds until the next one lands; at most half a second."""
        return min(max(self._flying[0][0] - now, 0.0), 0.5) if self._flying else 0.5


def address(text: str) -> tuple[str, int]:
    """HOST:PORT, for argparse."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host, int(port)


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--listen", type=address, required=True)
    parser.add_argument("--to", type=address, required=True)
    parser.add_argument("--loss", type=float, default=0.1)
    parser.add_argument("--duplicate", type=float, default=0.01)
    parser.add_argument("--corrupt", type=float, default=0.001)
    parser.add_argument("--delay-ms", type=float, default=20.0)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--idle", type=float, default=0.0, help="seconds; 0: never end")
    args = parser.parse_args()
    relay = Relay(random.Random(args.seed), args.loss, args.duplicate, args.corrupt, args.delay_ms / 1000)
    over: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: over.append(number))
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as space,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ground,
        selectors.DefaultSelector() as selector,
    ):
        space.bind(args.listen)
        selector.register(space, selectors.EVENT_READ, True)
        selector.register(ground, selectors.EVENT_READ, False)
        print(f"link: {args.listen} -> {args.to}, {args.loss:.0%} lost each way", file=sys.stderr, flush=True)
        sender: tuple[str, int] | None = None
        last = time.monotonic()
        while not over and not (args.idle and time.monotonic() - last > args.idle):
            for key, _ in selector.select(relay.wait(time.monotonic())):
                data, source = key.fileobj.recvfrom(MTU)  # type: ignore[union-attr]
                last = time.monotonic()
                sender = source if key.data else sender
                relay.launch(last, key.data, data)
            for down, data in relay.land(time.monotonic()):
                try:
                    if down:
                        ground.sendto(data, args.to)
                    elif sender:
                        space.sendto(data, sender)
                except OSError:
                    relay.lost += 1  # nobody listens there (yet): to the other side it is a loss like any other
    print(f"link: {relay.carried} carried, {relay.lost} lost", file=sys.stderr, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
