"""Training a network on a folder of images; the result is a model in the store, with checkpoints."""
