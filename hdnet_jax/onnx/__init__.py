"""The network as an ONNX file, written without JAX and without `onnx`."""
