from __future__ import annotations

import base64

import numpy as np
import pytest
from rasterio.io import MemoryFile

from onboard.report.png import data_uri, encode

RNG = np.random.default_rng(1)


@pytest.mark.parametrize("shape", [(1, 1), (7, 3), (33, 64), (5, 9, 3), (1, 300, 3)])
def test_another_decoder_reads_the_same_pixels(shape: tuple[int, ...]) -> None:
    pixels = RNG.integers(0, 256, shape, dtype=np.uint8)
    with MemoryFile(encode(pixels)) as memory, memory.open() as file:
        read = file.read()
        assert file.driver == "PNG"
    np.testing.assert_array_equal(read[0] if len(shape) == 2 else np.moveaxis(read, 0, 2), pixels)


def test_palette() -> None:
    pixels = np.array([[0, 1], [2, 1]], np.uint8)
    palette = np.array([[255, 0, 0, 255], [0, 255, 0, 255], [0, 0, 0, 0]], np.uint8)
    with MemoryFile(encode(pixels, palette)) as memory, memory.open() as file:
        np.testing.assert_array_equal(file.read(1), pixels)
        assert [file.colormap(1)[i] for i in range(3)] == [tuple(int(v) for v in row) for row in palette]


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((0, 4), np.uint8), np.zeros((4, 4), np.float32), np.zeros((4, 4, 4), np.uint8), np.zeros(4, np.uint8)],
)
def test_what_is_no_image_is_refused(pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="no image"):
        encode(pixels)


def test_an_index_beyond_the_palette_is_refused() -> None:
    with pytest.raises(ValueError, match="palette"):
        encode(np.full((2, 2), 3, np.uint8), np.zeros((3, 4), np.uint8))


def test_data_uri() -> None:
    png = encode(np.zeros((2, 2), np.uint8))
    head, body = data_uri(png).split(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(body) == png
