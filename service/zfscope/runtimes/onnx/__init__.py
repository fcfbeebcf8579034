"""The ONNX Runtime runtime: graphs exported from network specs, cached, and run in sessions."""
