"""Every shipped restorer in TFLite corrects a picture as its ONNX does in float: integers differ by runtime."""

from importlib.util import find_spec

import numpy as np
import pytest

from onboard.infer.tflite import PACKAGES
from onboard.restore.model import Network, load_model, shipped_models

MODELS = [name for name in shipped_models() if any(key.startswith("tflite-") for key in load_model(name).artefacts)]
KEYS = [(name, key) for name in MODELS for key in load_model(name).artefacts if key.startswith("tflite-")]


@pytest.mark.skipif(
    not any(find_spec(one) for one in PACKAGES), reason="no TFLite runtime here: pip install '.[tflite]'"
)
@pytest.mark.parametrize(("name", "key"), KEYS)
def test_tflite_corrects_as_onnx_does_whatever_the_block(name, key):
    model, precision = load_model(name), key.removeprefix("tflite-")
    rng = np.random.default_rng(0)
    first, second = Network(model, "fp32", runtime="onnx"), Network(model, precision, runtime="tflite")
    for side in ((32, 48), (20, 16)):
        count = model.bands + (model.noise is not None)
        planes = np.rint(rng.normal(128, 5, (count, *side))).astype(np.uint8)
        a, b = (one.correct(planes) for one in (first, second))
        off = a - b
        assert np.square(off).mean() < (0.02 if precision == "int8" else 1e-8) * np.square(a).mean()


def test_some_ship():
    assert MODELS
