"""Modules of torch, randomised and exported to ONNX by both of its exporters."""

import io
import logging
import warnings

import onnx
import torch
from onnx import ModelProto
from torch import Tensor, nn
from torch.nn import functional as F

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


class Excited(nn.Module):
    """A depthwise convolution with clipping, squeeze-and-excitation and a sum, for images of 32 pixels."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 4, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU6())
        self.depthwise = nn.Sequential(nn.Conv2d(8, 8, 3, 1, 1, groups=8), nn.BatchNorm2d(8), nn.ReLU6())
        self.reduce, self.expand = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1)
        self.project = nn.Conv2d(8, 8, 1)
        self.fc = nn.Linear(8, classes)

    def forward(self, images: Tensor) -> Tensor:
        stem = self.stem(images)
        maps = self.depthwise(stem)
        gate = self.expand(self.reduce(F.adaptive_avg_pool2d(maps, 1)).relu()).sigmoid()
        maps = self.project(maps * gate) + stem
        scores: Tensor = self.fc(F.adaptive_avg_pool2d(maps, 1).flatten(1))
        return scores
