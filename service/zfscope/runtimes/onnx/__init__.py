"""The forward pass by ONNX Runtime: graphs that are written from a spec, cached, and run in sessions."""
