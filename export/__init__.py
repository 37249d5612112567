"""From a checkpoint to a bundle that flies: ONNX fp32, INT8, parity, packing. Needs the extra `[export]`."""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before ONNX Runtime 1.29+ is imported: it writes a device id
