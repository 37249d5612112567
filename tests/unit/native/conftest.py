import shutil

import pytest

from onboard.native.library import SWITCH, kernels


@pytest.fixture
def compiled():
    """The kernels; without a C compiler there are none to test."""
    if kernels() is None:
        assert shutil.which("cc") is None, "there is a compiler, but no kernels that load: install the package again"
        pytest.skip("no compiled kernels here (install with a C compiler)")
    return kernels()


@pytest.fixture
def by_numpy(monkeypatch):
    """Calls something as on a machine without kernels."""

    def call(work, *arguments):
        with monkeypatch.context() as patched:
            patched.setenv(SWITCH, "off")
            kernels.cache_clear()
            try:
                return work(*arguments)
            finally:
                kernels.cache_clear()

    yield call
    kernels.cache_clear()
