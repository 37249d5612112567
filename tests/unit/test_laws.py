"""Laws of the house that no single module owns."""

import subprocess
import sys

PROBE = """
import importlib, pkgutil, sys
import onboard
for module in pkgutil.walk_packages(onboard.__path__, "onboard."):
    importlib.import_module(module.name)
heavy = {"torch", "lightning", "ground", "export", "pydantic", "typer", "sklearn", "scipy", "onnx", "pandas"}
found = sorted({name.split(".")[0] for name in sys.modules} & heavy)
assert not found, found
"""


def test_importing_all_of_onboard_loads_nothing_of_torch_ground_or_export():
    subprocess.run([sys.executable, "-c", PROBE], check=True)


def test_the_command_starts_without_any_runtime():
    probe = "import sys, onboard.cli.detect; assert not {'onnxruntime', 'rasterio', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", probe], check=True)
