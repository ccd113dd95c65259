"""The network in other formats: ONNX, StableHLO, the authors' PyTorch."""
