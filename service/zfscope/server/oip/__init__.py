"""Open Inference Protocol (KServe v2): access to models and analyzers for its clients."""
