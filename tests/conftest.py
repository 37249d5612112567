"""Where the real data lies. A missing data folder skips a test on a desk and fails it in CI (CI=true)."""

from __future__ import annotations

import importlib.metadata
import os
from pathlib import Path

import pytest

NRT_VERSION = "0.2.1"


def _absent(message: str) -> None:
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real imagery: `$ONBOARD_DATA`, else `../shared/data` beside the checkout."""
    path = Path(os.environ.get("ONBOARD_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
    if not (path / "oscd").is_dir():
        _absent(f"no real imagery at {path}: set ONBOARD_DATA to the data folder")
    return path


@pytest.fixture(scope="session")
def nrt_dir() -> Path:
    """`nrt/data` of the package nrt 0.2.1, found by its metadata: the package itself (and numba) is never imported."""
    try:
        found = importlib.metadata.distribution("nrt")
    except importlib.metadata.PackageNotFoundError:
        _absent(f"the package nrt=={NRT_VERSION} is not installed: pip install --no-deps nrt=={NRT_VERSION}")
        raise
    path = Path(str(found.locate_file("nrt/data")))
    if found.version != NRT_VERSION or not path.is_dir():
        _absent(f"nrt {found.version} carries no series: pip install --no-deps nrt=={NRT_VERSION}")
    return path
