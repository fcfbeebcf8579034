"""The service: gRPC in, gRPC out. With `zfscope.client`, all that knows the wire."""
