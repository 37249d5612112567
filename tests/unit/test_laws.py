"""Laws of the house that no single module owns."""

import subprocess
import sys

import pytest

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


@pytest.mark.parametrize("command", ["detect", "downlink"])
def test_the_command_starts_without_any_runtime(command):
    heavy = "{'onnxruntime', 'rasterio', 'numpy', 'spacepackets', 'socket'}"
    probe = f"import sys, onboard.cli.{command}; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", probe], check=True)
