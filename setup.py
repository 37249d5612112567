"""The one thing pyproject.toml cannot say: which C becomes the kernels, and that an installation does without them.

`ONBOARD_KERNELS=off` leaves them out (a wheel for every processor); where no compiler runs they are left out with a
warning. They hold no Python, so that one library serves every version of it.
"""

import os
from pathlib import Path

from setuptools import Extension, setup

FLAGS = ["-std=gnu11", "-O3", "-ffp-contract=off", "-fno-strict-aliasing", "-fvisibility=hidden", "-Wno-psabi", "-g0"]
HERE = Path(__file__).parent
FOLDER = Path("onboard/native")

kernels = Extension(
    "onboard.native._kernels",
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
    setup(ext_modules=[kernels], options={"bdist_wheel": {"py_limited_api": "cp311"}})
