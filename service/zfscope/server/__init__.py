"""The gRPC service: servicers, interceptors, batching, lifecycle and telemetry."""
