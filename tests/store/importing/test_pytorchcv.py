"""pytorchcv's ZFNet: every layer matches pytorchcv itself, with random weights."""

from importlib import import_module

import pytest
import torch
from torch import Tensor

from tests.store.importing.conftest import Outputs, assert_layers_agree, photos, seeded
from tests.support.programs import require_module
from zfscope.store.importing.pytorchcv import NAMES, pytorchcv

REFERENCE_NAMES = {
    **NAMES,
    "norm1": "features.stage1.unit1",
    "pool1": "features.stage1.pool1",
    "norm2": "features.stage2.unit1",
    "pool2": "features.stage2.pool2",
    "relu3": "features.stage3.unit1",
    "relu4": "features.stage3.unit2",
    "relu5": "features.stage3.unit3",
    "pool5": "features.stage3.pool3",
    "relu6": "output.fc1.activ",
    "relu7": "output.fc2.activ",
}


def narrow_state_dict(**changes: Tensor | None) -> dict[str, Tensor]:
    """Return a state dict of narrow layers with some tensors replaced, or removed by None."""
    widths = {"conv1": 4, "conv2": 5, "conv3": 6, "conv4": 6, "conv5": 4, "fc6": 8, "fc7": 8, "fc8": 3}
    sides, channels, state = {"conv1": 7, "conv2": 5}, 3, {}
    for layer, reference_name in NAMES.items():
        side = sides.get(layer, 3)
        inner = (side, side) if layer.startswith("conv") else ()
        channels = channels * 36 if layer == "fc6" else channels
        state[f"{reference_name}.weight"] = torch.zeros(widths[layer], channels, *inner)
        state[f"{reference_name}.bias"] = torch.zeros(widths[layer])
        channels = widths[layer]
    merged = {**state, **{name.replace("__", "."): tensor for name, tensor in changes.items()}}
    return {name: tensor for name, tensor in merged.items() if tensor is not None}


@pytest.mark.parametrize("name", ["zfnet", "zfnetb"])
def test_every_layer_matches_pytorchcv(name: str) -> None:
    require_module("pytorchcv", "make setup, which leaves out its torchvision")
    module = import_module("pytorchcv.models.zfnet")
    reference = seeded(getattr(module, name)(num_classes=10))
    imported = pytorchcv(reference.state_dict())
    outputs, images = Outputs(reference, REFERENCE_NAMES), photos(224)
    with torch.no_grad():
        scores = reference(images)
    assert_layers_agree(imported.network, images, outputs.by_layer)
    torch.testing.assert_close(imported.network(images), scores, rtol=1e-4, atol=1e-4)
    assert imported.classes == 10


def test_layers_of_any_width_are_accepted() -> None:
    imported = pytorchcv(narrow_state_dict())
    assert imported.network.shapes["conv3"] == (6, 13, 13)
    assert imported.classes == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"output__fc1__fc__bias": None}, r"tensor 'output.fc1.fc.bias' is missing"),
        ({"extra__weight": torch.zeros(1)}, r"tensor 'extra.weight' belongs to no layer"),
        ({"features__stage1__unit1__conv__bias": torch.zeros(4, 1)}, "'conv1' has the shape"),
        (
            {"features__stage1__unit1__conv__weight": torch.zeros(4, 3, 5, 5)},
            r"the network expects \(4, 3, 7",
        ),
        ({"output__fc2__fc__bias": torch.zeros(9)}, "fc6 has 8 units and fc7 has 9"),
        ({"output__fc3__bias": torch.full((3,), torch.nan)}, "values that are not finite"),
    ],
)
def test_another_network_is_rejected_with_the_difference(
    changes: dict[str, Tensor | None], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        pytorchcv(narrow_state_dict(**changes))
