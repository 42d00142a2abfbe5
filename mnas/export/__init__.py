"""Model files: the ONNX and TFLite writers and the gate that checks them."""
