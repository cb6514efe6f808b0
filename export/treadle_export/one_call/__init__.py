"""A whole decode as one ONNX file: encoder, loop, search, and text where it is asked for."""
