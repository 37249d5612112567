"""The one thing pyproject.toml cannot say: which C becomes the kernels, and that an installation does without them.

`ONBOARD_KERNELS=off` leaves them out (a wheel for every processor); where no compiler runs they are left out with a
warning. They hold no Python, so that one library serves every version of it.
"""

import os
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

FLAGS = ["-std=gnu11", "-O3", "-ffp-contract=off", "-fno-strict-aliasing", "-fvisibility=hidden", "-Wno-psabi", "-g0"]
FLAGS += ["-Werror=implicit-function-declaration"]  # else it would only be missed when it is loaded
HERE = Path(__file__).parent
FOLDER = Path("onboard/native")

LIBRARY = "libkernels.so.1"
"""Not a name that Python would import."""


class PlainLibrary(build_ext):
    """Compiles without what a module of Python needs: its headers, and a name of its version."""

    def get_ext_filename(self, fullname: str) -> str:
        """Beside the package's own files."""
        return str(Path(*fullname.split(".")[:-1], LIBRARY))


kernels = Extension(
    "onboard.native.libkernels",
    sources=sorted(str(path.relative_to(HERE)) for path in (HERE / FOLDER).glob("*.c")),
    depends=sorted(str(path.relative_to(HERE)) for path in (HERE / FOLDER).glob("*.h")),
    extra_compile_args=FLAGS,
    extra_link_args=["-lm"],
    py_limited_api=True,
    optional=True,
)

if os.environ.get("ONBOARD_KERNELS", "").lower() == "off":
    setup()
else:
    setup(
        ext_modules=[kernels],
        cmdclass={"build_ext": PlainLibrary},
        options={"bdist_wheel": {"py_limited_api": "cp311"}},
    )
