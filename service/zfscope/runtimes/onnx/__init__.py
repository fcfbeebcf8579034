"""The ONNX Runtime runtime: exports networks as graphs, caches these, and runs them in sessions."""
