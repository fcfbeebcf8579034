"""The Open Inference Protocol: models and analyzers as its clients know them."""
