"""Modules of torch, randomised and exported to ONNX by both of its exporters."""

import io
import logging
import warnings

import onnx
import torch
from onnx import ModelProto
from torch import nn

# Names of torch's exporters, for parametrized tests: the older one traces a script, the newer one a graph.
EXPORTERS = ("script", "dynamo")


def export(
    module: nn.Module, exporter: str, *, size: int = 32, channels: int = 3, **options: int
) -> ModelProto:
    """Return a module in evaluation mode as an ONNX model for images of one size."""
    image = torch.zeros(1, channels, size, size)
    level = logging.getLogger("torch.onnx").level
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if exporter == "dynamo":
                program = torch.onnx.export(module.eval(), (image,), dynamo=True, verbose=False, **options)
                assert program is not None
                return program.model_proto
            file = io.BytesIO()
            torch.onnx.export(module.eval(), (image,), file, dynamo=False, **options)
            return onnx.load_from_string(file.getvalue())
    finally:
        logging.getLogger("torch.onnx").setLevel(level)


@torch.no_grad()
def randomise(module: nn.Module, seed: int = 0) -> nn.Module:
    """Draw biases, and statistics and factors of batch normalisation; return the module, for evaluation."""
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if isinstance(getattr(part, "bias", None), nn.Parameter):
            part.bias.normal_(0, 0.1, generator=generator)  # exporters leave out biases of zero
        if isinstance(part, nn.BatchNorm2d):
            assert part.running_mean is not None
            assert part.running_var is not None
            part.running_mean.normal_(0, 0.1, generator=generator)
            part.running_var.uniform_(0.5, 1.5, generator=generator)
            part.weight.uniform_(0.5, 1.5, generator=generator)
    return module.eval()
