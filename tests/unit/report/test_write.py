from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from onboard.errors import DiskFullError
from onboard.report.outcome import Outcome
from onboard.report.write import write_all

NAMES = ["detections.geojson", "score.tif", "status.tif", "report.html", "summary.json"]


def test_everything_is_written_and_listed(outcome: Outcome, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    paths = write_all(outcome, out)
    assert paths == [out / name for name in NAMES]
    assert sorted(p.name for p in out.iterdir()) == sorted(NAMES)
    assert json.loads((out / "summary.json").read_text())["outputs"] == NAMES


def test_the_same_outcome_gives_the_same_bytes(outcome: Outcome, tmp_path: Path) -> None:
    first = [p.read_bytes() for p in write_all(outcome, tmp_path / "a")]
    assert first == [p.read_bytes() for p in write_all(outcome, tmp_path / "b")]


def test_maps_of_an_earlier_run_go_and_other_files_stay(outcome: Outcome, tmp_path: Path) -> None:
    for name in ("score_2.tif", "status_7.tif", "score_of_bach.tif", "notes.txt"):
        (tmp_path / name).write_bytes(b"old")
    write_all(outcome, tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {*NAMES, "score_of_bach.tif", "notes.txt"}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_the_old_file_whole(
    outcome: Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    (tmp_path / "report.html").write_bytes(b"yesterday")
    calls = 0

    def full(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFullError, match="disk is full"):
        write_all(outcome, tmp_path)
    assert (tmp_path / "report.html").read_bytes() == b"yesterday"
    assert not list(tmp_path.glob(".*"))
    assert not (tmp_path / "summary.json").exists()


def test_other_faults_keep_their_name(outcome: Outcome, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotADirectoryError):
        write_all(outcome, tmp_path / "file" / "out")


def test_a_real_full_device(outcome: Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path("/dev/full")
    if not real.exists():
        pytest.skip("no /dev/full on this system")
    opened = Path.open

    def to_full(self: Path, *args: Any, **kwargs: Any) -> Any:
        return opened(real if self.name.endswith(".part") else self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", to_full)
    with pytest.raises(DiskFullError):
        write_all(outcome, tmp_path)
