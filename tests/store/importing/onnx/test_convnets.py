"""Networks of many designs, with random weights, exported by torch and imported.

The modules are narrow variants of pytorchcv's; `python -m benchmarks.import_check` has them at full width.
"""

from copy import deepcopy
from functools import cache

import pytest
import torch
from onnx import ModelProto
from torch import nn

from benchmarks.module_projections import ReferenceModule, projection_differences
from tests.support.narrow_convnets import NAMES, narrow_convnet
from tests.support.onnx_exports import export
from tests.support.onnx_graphs import assert_close, random_array, read_in_process
from zfscope.engine.occlusion import recompute
from zfscope.engine.signal import Signal
from zfscope.engine.trace import trace
from zfscope.networks import Network
from zfscope.networks.network import network_with_weights

# The newer exporter takes half a minute for Inception at full width, its only width.
BY_BOTH = [name for name in NAMES if name != "inceptionv3"]


@cache
def exported(name: str) -> tuple[nn.Module, int, ModelProto]:
    """Return a module, the size of its images, and its export by the older exporter."""
    module, size = narrow_convnet(name)
    return module, size, export(module, "script", size=size)


def imported(name: str) -> tuple[nn.Module, Network]:
    """Return a copy of a module, and the network imported from it, every layer of which was compared."""
    module, _, model = exported(name)
    reading = read_in_process(model)
    return deepcopy(module), network_with_weights(reading.spec, reading.weights)


@pytest.mark.parametrize("name", NAMES)
def test_class_scores_equal_those_of_the_module(name: str) -> None:
    module, network = imported(name)
    image = torch.from_numpy(random_array(1, *network.shapes["input"], seed=2))
    with torch.no_grad():
        expected = module(image).flatten(1)
    scores = trace(network, image).outputs[network.spec.layers[-1].name]
    assert_close(scores.numpy(), expected.numpy())


@pytest.mark.parametrize("name", BY_BOTH)
def test_both_exporters_give_the_same_network(name: str) -> None:
    module, size, script = exported(name)
    one, other = read_in_process(script), read_in_process(export(module, "dynamo", size=size))
    assert one.spec == other.spec
    assert one.weights.keys() == other.weights.keys()
    for tensor, array in one.weights.items():
        assert_close(other.weights[tensor], array, tolerance=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_projections_equal_autograd_on_the_code_of_the_module(name: str) -> None:
    units = 2 if name == "inceptionv3" else 10
    differences = projection_differences(*imported(name), units=units)
    assert len(differences) == 5
    assert max(differences.values()) < 1e-4, differences


@pytest.mark.parametrize("name", ["densenet121", "mobilenetv2_w1"])
def test_the_reference_of_projections_is_exact_in_float64(name: str) -> None:
    """Rounded weights of batch normalisation would activate other units."""
    module, network = imported(name)
    reference = ReferenceModule(module, network.double())
    image = torch.from_numpy(random_array(1, *network.shapes["input"], seed=2)).double()
    ours = trace(network, image).outputs[network.spec.layers[-1].name]
    assert_close(ours.numpy(), reference.outputs(image, "gradient")[-1].numpy(), tolerance=1e-12)


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv2_w1", "squeezenet_v1_1", "densenet121"])
@pytest.mark.parametrize("window", [32, 13])
def test_occlusion_equals_whole_passes(name: str, window: int) -> None:
    _, network = imported(name)
    network.double()
    image = torch.from_numpy(random_array(1, *network.shapes["input"], seed=2)).double()
    last, scores = network.shapes["input"][1] - window, network.spec.layers[-1].name
    origins = torch.tensor([[y, x] for y in (0, 8, last) for x in (0, 13, last)])
    grey = torch.zeros(len(origins), 3, window, window, dtype=torch.float64)
    signal = Signal(grey, torch.zeros(len(origins), dtype=torch.long), origins)
    compared = 0
    for part in recompute(network, trace(network, image), signal, [scores]):
        for index, values in zip(
            part.windows, part.outputs[scores].values if part.outputs else (), strict=False
        ):
            y, x = origins[index].tolist()
            covered = image.clone()
            covered[:, :, y : y + window, x : x + window] = 0
            expected = trace(network, covered).outputs[scores][0]
            assert_close(values.numpy(), expected.numpy())
            compared += 1
    assert compared == len(origins)
