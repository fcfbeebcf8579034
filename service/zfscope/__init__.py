"""ZFScope: a microscope for convolutional networks, run as a service."""
