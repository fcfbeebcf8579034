"""Imports of pytorchcv's networks at full width, exported by both of torch's exporters, with random weights.

    python -m benchmarks.import_check

Each network is imported as `zfscope models import` does, which compares every layer with ONNX Runtime on the
original file. Class scores are then compared with the module itself, names and layers with those of the other
exporter, and projections of random units at five depths with autograd on the module's own code, with the
backward pass of its ReLUs replaced, for three rules. All differences are fractions of the largest value, and
must be at most 1e-4.

Activations of some networks grow with depth, since random statistics of batch normalisation do not fit them.
Where ReLU6 or a sigmoid maps them to small values, float32 leaves larger errors, in ONNX Runtime as in
ZFScope. `rounding` is the largest difference of the network in float32 from itself in float64; layers may
differ by up to four times as much.

Prints a JSON object per network and exporter; the last line is a summary for programs.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Mapping
from copy import deepcopy
from importlib import import_module
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from benchmarks.module_projections import projection_differences
from tests.support.onnx_exports import EXPORTERS, export, randomise
from zfscope.engine.trace import trace
from zfscope.networks import Network
from zfscope.store.importing.onnx import read_onnx

TOLERANCE = 1e-4
# Layers may differ by this multiple of the network's rounding: two computations, whose errors vary.
ROUNDINGS = 4

# Networks by name, with the module of pytorchcv that defines them.
NETWORKS: Mapping[str, str] = {
    "alexnet": "alexnet",
    "vgg16": "vgg",
    "bn_vgg16": "vgg",
    "resnet18": "resnet",
    "resnet50": "resnet",
    "resnext50_32x4d": "resnext",
    "densenet121": "densenet",
    "squeezenet_v1_1": "squeezenet",
    "mobilenetv2_w1": "mobilenetv2",
    "mobilenetv3_small_w1": "mobilenetv3",
    "efficientnet_b0": "efficientnet",
    "inceptionv3": "inceptionv3",
    "shufflenetv2_wd2": "shufflenetv2",
    "regnety004": "regnet",
}


def main() -> None:
    """Check the networks and print the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "networks",
        nargs="*",
        metavar="NETWORK",
        help="networks to check, by pytorchcv's names (default: all)",
    )
    parser.add_argument("--units", type=int, default=10, help="units projected at each depth (default: 10)")
    options = parser.parse_args()
    names: list[str] = options.networks or list(NETWORKS)
    unknown = [name for name in names if name not in NETWORKS]
    if unknown:
        parser.error(f"unknown network '{unknown[0]}'; available: {', '.join(NETWORKS)}")
    results = [result for name in names for result in check_network(name, units=options.units)]
    print(json.dumps({"benchmark": "import_check", **summary(results)}))  # the result


def check_network(name: str, *, units: int) -> list[dict[str, object]]:
    """Check the import of a network from both exporters."""
    torch.manual_seed(0)
    module = randomise(getattr(import_module(f"pytorchcv.models.{NETWORKS[name]}"), name)())
    results, specs = [], []
    for exporter in EXPORTERS:
        started = time.monotonic()
        result: dict[str, object] = {"network": name, "exporter": exporter}
        try:
            network = import_module_of(module, exporter, result)
            specs.append(network.spec)
            if len(specs) == 2:
                result["same_as_other_exporter"] = specs[0] == specs[1]
                result["projections"] = max(projection_differences(module, network, units=units).values())
        except Exception as error:  # the other networks are still checked
            result["error"] = f"{type(error).__name__}: {error}"
        result["total_s"] = round(time.monotonic() - started, 1)
        print(json.dumps(result), flush=True)  # the result
        results.append(result)
    return results


def import_module_of(module: nn.Module, exporter: str, result: dict[str, object]) -> Network:
    """Export and import a module; add the measurements to the result."""
    size: int = module.in_size[0]  # type: ignore[index, assignment]  # an attribute of pytorchcv's modules
    with tempfile.TemporaryDirectory(prefix="zfscope-") as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(export(module, exporter, size=size), path)
        result["file_mb"] = round(path.stat().st_size / 1e6, 1)
        started = time.monotonic()
        reading = read_onnx(path, name="network")
    result["import_s"] = round(time.monotonic() - started, 1)
    network = reading.network
    result |= {"layers": len(network.spec.layers), "tensors": reading.tensors, "tensor": reading.difference}
    image = torch.randn(1, *network.shapes["input"], generator=torch.Generator().manual_seed(1))
    result["scores"] = score_difference(module, network, image)
    result["rounding"] = rounding(network, image)
    return network


@torch.no_grad()
def score_difference(module: nn.Module, network: Network, image: Tensor) -> float:
    """Return the largest difference of class scores from the module's."""
    scores = trace(network, image).outputs[network.spec.layers[-1].name]
    return difference(scores, module(image).flatten(1))


@torch.no_grad()
def rounding(network: Network, image: Tensor) -> float:
    """Return the largest difference of a layer in float32 from float64."""
    outputs = trace(network, image).outputs
    exact = trace(deepcopy(network).double(), image.double()).outputs
    return max(difference(values, exact[layer]) for layer, values in outputs.items())


def difference(values: Tensor, expected: Tensor) -> float:
    """Return the largest difference as a fraction of the largest value."""
    return float((values - expected).abs().max() / expected.abs().max().clamp(min=1e-30))


def summary(results: list[dict[str, object]]) -> dict[str, object]:
    """Return the numbers of imports and the largest differences."""
    largest = {
        key: max((float(str(result[key])) for result in results if key in result), default=None)
        for key in ("tensor", "scores", "rounding", "projections", "import_s")
    }
    return {
        "imports": len(results),
        "failed": sorted(
            f"{result['network']} ({result['exporter']})" for result in results if failed(result)
        ),
        **largest,
    }


def failed(result: Mapping[str, object]) -> bool:
    """Return whether an import failed or differs."""
    if "error" in result or not result.get("same_as_other_exporter", True):
        return True
    values = {key: float(str(result.get(key, 0))) for key in ("tensor", "scores", "rounding", "projections")}
    allowed = max(TOLERANCE, ROUNDINGS * values["rounding"])
    return values["tensor"] > allowed or max(values["scores"], values["projections"]) > TOLERANCE


if __name__ == "__main__":
    main()
