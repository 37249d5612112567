"""A draft: a product as it waits in the queue until it is coded for the ground; it never goes down as it is.

Most candidates leave the queue again, and each is made while a pass is being looked at. So nothing is packed, and
nothing sealed, which the row of the queue does (CRC-32): the head of a product (`product`) with magic `OBDD`, its text
as plain JSON, and the samples of codec "raw". `finished` makes the product of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from onboard.downlink.codecs import CODECS, encode_samples
from onboard.downlink.product import (
    HEAD,
    Product,
    check_head,
    decode,
    encode,
    halves,
    head_of,
    read_body,
    text_of,
)
from onboard.native.library import kernels
from onboard.native.pixels import Drafter
from onboard.sense.grid import CELL

MAGIC = b"OBDD"
VERSION = 1


def draft(product: Product) -> bytes:
    """A product as a draft; deterministic for equal input."""
    half = halves(product)
    samples = encode_samples("raw", product.dn, half, product.inside(), [])
    assert samples is not None
    text = text_of(product, half)
    return head_of(MAGIC, VERSION, product, "raw", len(text)) + text + samples


def read(data: bytes) -> Product:
    """The product of a draft, or of what `encode` coded.

    Raises:
        ProductError: it is neither, or damaged.
    """
    if data[:4] != MAGIC:
        return decode(data)
    check_head(data, MAGIC, VERSION)
    return read_body(data, bytes)


def finished(data: bytes, codec: str = "j2k") -> bytes:
    """A draft, or a product by another codec, as `encode` would have coded it.

    Raises:
        ProductError: as `read`.
    """
    return encode(read(data), codec)


def as_product(data: bytes) -> bytes:
    """What stands for a draft where only products may be; a product as it is.

    Raises:
        ProductError: as `read`.
    """
    return finished(data, "raw") if data[:4] == MAGIC else data


class CellDrafts:
    """Drafts of single cells of one pass, many at once.

    Args:
        like: has what they share; its place, samples and score are not used.
    """

    def __init__(self, like: Product) -> None:
        self._like = like
        self._fields = MAGIC, VERSION, like.rung, CODECS.index("raw"), like.cell_px
        self._model = bytes.fromhex(like.model)
        self._texts: dict[bytes, tuple[bytes, bytes]] = {}
        self._drafter = Drafter(len(like.bands)) if kernels() is not None else None

    def of(
        self,
        dn: NDArray[np.uint16],
        rows: NDArray[np.intp],
        cols: NDArray[np.intp],
        corner: tuple[int, int],
        scores: Sequence[float],
    ) -> Iterator[bytes]:
        """What `draft` makes of each.

        Args:
            dn: uint16 (B, H, W), H and W whole cells.
            rows, cols: which cells of it, (N,).
            corner: row and column of its first cell.
            scores: of the cells, (N,).
        """
        places = zip((rows + corner[0]).tolist(), (cols + corner[1]).tolist(), scores, strict=True)
        if self._drafter is None or dn.strides[2] != dn.itemsize:
            for (row, col, score), r, c in zip(places, rows.tolist(), cols.tolist(), strict=True):
                pixels = dn[:, r * CELL : (r + 1) * CELL, c * CELL : (c + 1) * CELL]
                yield draft(replace(self._like, row=row, col=col, dn=pixels, score=score))
            return
        for (row, col, score), (halved, samples) in zip(places, self._drafter.cells(dn, rows, cols), strict=True):
            before, after = self._texts.get(halved) or self._text(halved)
            text = b"%b%b%b" % (before, repr(score).encode(), after)
            yield b"".join((self._head(row, col, len(text)), text, samples))

    def _head(self, row: int, col: int, text_bytes: int) -> bytes:
        return HEAD.pack(*self._fields, row, col, 1, 1, self._model, text_bytes)

    def _text(self, halved: bytes) -> tuple[bytes, bytes]:
        """What stands before and after the score; `halved` has a byte for each band."""
        text = text_of(replace(self._like, score=0.0), np.flatnonzero(np.frombuffer(halved, np.uint8)).tolist())
        before, name, after = text.partition(b'"score":')  # within a string the quotes would be escaped
        self._texts[halved] = before + name, after[len(b"0.0") :]
        return self._texts[halved]
