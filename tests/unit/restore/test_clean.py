"""A reader that removes noise: the same pixels whatever window asks, and what was measured stays at hand."""

import numpy as np
import pytest

from onboard.errors import UsageError
from onboard.restore.clean import CleanReader, taken
from onboard.restore.model import Network, load_model
from onboard.sense.acquisition import Reader
from onboard.sense.aligned import read_chunk
from onboard.sense.chunks import Chunk
from onboard.sense.grid import CELL, Window
from onboard.sense.stream import open_stream

BANDS = ("B02", "B03", "B04", "B08")


class Held(Reader):
    """An image in memory."""

    def __init__(self, dn):
        self.dn = dn

    def read(self, window, out):
        out[:] = self.dn[:, window.row : window.row + window.height, window.col : window.col + window.width]


@pytest.fixture(scope="module")
def passes():
    """A clear pass as a small sensor sees it, and as Sentinel-2 does: DN of the four 10 m bands."""
    found = []
    for snr in (20, 0):
        acquisition = open_stream(f"sim:3?disaster=none&passes=1&size=320&cloud=0&offset=-1000&snr={snr}").acquisitions[
            0
        ]
        with acquisition.open(BANDS) as reader:
            dn = np.empty((4, 320, 320), np.uint16)
            reader.read(Window(0, 0, 320, 320), dn)
        found.append(dn)
    return acquisition.grid, [acquisition.band(name) for name in BANDS], *found


@pytest.fixture
def clean(passes):
    grid, infos, noisy, _ = passes
    held = noisy.copy()
    held[:, :20, :30], held[0, 100, 100] = 0, 65535
    network = Network(load_model("denoise-s2"))
    return CleanReader(Held(held), grid, infos, network, 20.0, [Chunk(0, 0, 0, 10, 10)]), held


def read(reader, row, col, height, width):
    out = np.empty((4, height, width), np.uint16)
    assert reader.read(Window(row, col, height, width), out) is None
    return out


def test_noise_goes_and_what_is_no_light_stays(passes, clean):
    reader, held = clean
    found = read(reader, 0, 0, 320, 320)
    wanted, dark = passes[3].astype(float), held == 0
    assert (found[dark] == 0).all() and found[0, 100, 100] == 65535
    inside = (slice(None), slice(32, 96), slice(32, 288))
    before, after = (np.square(one[inside] - wanted[inside]).mean() for one in (held, found))
    assert after < before


@pytest.mark.parametrize("window", [(0, 0, 96, 64), (31, 17, 65, 130), (250, 193, 70, 127)])
def test_no_pixel_depends_on_the_window(clean, window):
    reader, _ = clean
    row, col, height, width = window
    whole = read(reader, 0, 0, 320, 320)
    assert (read(reader, *window) == whole[:, row : row + height, col : col + width]).all()


def test_products_hold_what_was_measured(clean, passes):
    reader, held = clean
    chunk = Chunk(0, 1, 1, 2, 3)
    for move in (0, 3):
        moves = np.full((6, 2), move, np.int64)
        pixels = read_chunk(reader, chunk, passes[0], 4, moves, np.empty(4 * 6 * CELL**2, np.uint16))
        rows, cols = slice(CELL, 3 * CELL), slice(CELL, 4 * CELL)
        assert (pixels.original == held[:, rows, cols]).all()
        moved = read(reader, CELL + move, CELL + move, 2 * CELL, 3 * CELL)
        assert (pixels.dn == moved).all() and (pixels.dn != pixels.original).mean() > 0.5


def test_bands_are_taken_in_the_models_order():
    ten = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
    model = load_model("denoise-s2")
    assert taken(model, ten) == [0, 1, 2, 6]
    with pytest.raises(UsageError, match="removes no noise"):
        taken(load_model("sr-x2-s2"), ten)
    with pytest.raises(UsageError, match="4 bands at once, not 2 or 3"):
        taken(model, ("B02", "B03", "B12"))


def test_a_noise_level_without_a_denoiser_is_refused(tmp_path, capsys):
    from onboard.cli.detect import main

    assert main(["sim:7", "--out", str(tmp_path), "--snr", "20"]) == 2
    assert "--denoise" in capsys.readouterr().err
