"""From a checkpoint to a bundle that flies: ONNX fp32, INT8, parity, packing. Needs the extra `[export]`."""
