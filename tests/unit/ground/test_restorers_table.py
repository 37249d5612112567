"""The comparison of all methods: measured once, kept, and shown with what they are compared with."""

import json

import numpy as np
import pytest
import rasterio
from PIL import Image
from typer.testing import CliRunner

from ground.cli import app
from ground.evaluation.restorers_table import BEGIN, END, Row, parse_row


def field(seed, side=96):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:side, 0:side] / side
    return 120 + 60 * sum(np.sin(9 * (rng.normal() * x + rng.normal() * y)) for _ in range(3)) / 3


@pytest.fixture
def data(tmp_path):
    """Sets of one picture each, and one place of two dates."""
    for name in ("Set5", "Set14"):
        folder = tmp_path / "natural" / name / "x2"
        folder.mkdir(parents=True)
        fine = Image.fromarray(field(1).astype(np.uint8))
        fine.save(folder / "a_HR.png")
        fine.resize((48, 48), Image.Resampling.BICUBIC).save(folder / "a_LR.png")
    (tmp_path / "natural" / "Set12").mkdir()
    Image.fromarray(field(2).astype(np.uint8)).save(tmp_path / "natural" / "Set12" / "a.png")
    (tmp_path / "oscd" / "here").mkdir(parents=True)
    cube = np.stack([10 * field(3 + band, 192) for band in range(4)]).astype(np.uint16)
    with rasterio.open(
        tmp_path / "oscd" / "here" / "t1_10m.tif", "w", driver="GTiff", width=192, height=192, count=4, dtype="uint16"
    ) as out:
        out.write(cube)
    return tmp_path


def test_a_row_has_a_label_a_source_and_a_precision():
    assert parse_row("ours=sr-x2@fp32") == Row("ours", "sr-x2", "fp32")
    assert parse_row("tv") == Row("tv", "tv", "auto")
    assert parse_row("a=b/c.ckpt") == Row("a", "b/c.ckpt", "float")


def test_rows_are_measured_kept_and_shown(data, tmp_path):
    page, out, picture = (tmp_path / name for name in ("page.md", "result.json", "picture.png"))
    page.write_text(f"before\n{BEGIN}\n{END}\nafter\n")
    call = ["evaluate", "restorers", "--out", str(out), "--place", "here", "--page", str(page)]
    first = CliRunner().invoke(app, [*call, str(data), "--sr", "ours=sr-x2", "--denoise", "TV=tv"])
    assert first.exit_code == 0, first.output
    second = CliRunner().invoke(
        app, [*call, str(data), "--sensor", "rank=svd", "--sensor", "wavelet", "--picture", str(picture)]
    )
    assert second.exit_code == 0, second.output
    result = json.loads(out.read_text())
    assert (set(result["sr"]), set(result["denoise"]), set(result["sensor"])) == ({"ours"}, {"TV"}, {"rank", "wavelet"})
    assert result["denoise"]["TV"]["psnr"] > result["denoise"]["TV"]["noisy_psnr"]
    assert str(data) not in out.read_text()
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n")
    assert "| x2, bicubic |" in text and "| TV | classical |" in text and "| rank | classical |" in text
    assert Image.open(picture).size[0] > 500


def test_nothing_measured_is_said(tmp_path):
    told = CliRunner().invoke(app, ["evaluate", "restorers", "--out", str(tmp_path / "no.json")])
    assert told.exit_code == 2
