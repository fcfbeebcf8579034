"""A new kind of layer needs only a class and a row in each of three tables; everything else supports it."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.support.toy_kinds import toy_kinds
from zfscope.analysis.description import describe
from zfscope.engine import Unit, project, receptive_fields, trace
from zfscope.engine.occlusion import recompute
from zfscope.engine.signal import Signal
from zfscope.images.preprocess import Preprocessing
from zfscope.networks import Network, NetworkSpec
from zfscope.networks.layer import KINDS, computed_kinds
from zfscope.networks.spec import multiplications, shapes
from zfscope.runtimes.onnx.runtime import OnnxRuntime
from zfscope.runtimes.protocol import compute_maxima
from zfscope.store import Label, Manifest, Model, Provenance, Weights

ROOT = Path(__file__).parents[2]

# Modules that may refer to kinds: the classes, the tables (with the arithmetic of one row), architectures
# (lists of layers) and their class scores, and importers (converters of other formats).
MAY_NAME_KINDS = (
    "service/zfscope/networks/layers.py",
    "service/zfscope/networks/forward.py",
    "service/zfscope/networks/normalisation.py",
    "service/zfscope/engine/backward.py",
    "service/zfscope/runtimes/onnx/nodes.py",
    "service/zfscope/runtimes/onnx/opaque.py",
    "service/zfscope/networks/alexnet.py",
    "service/zfscope/networks/efficientnet_lite.py",
    "service/zfscope/networks/head.py",
    "service/zfscope/networks/squeezenet.py",
    "service/zfscope/networks/zfnet.py",
    "service/zfscope/store/fetching/alexnet.py",
    "service/zfscope/store/importing/",
    "service/zfscope/plugin.py",  # exports some to analyzers
)


@pytest.fixture
def spec() -> Iterator[NetworkSpec]:
    with toy_kinds() as spec:
        yield spec


@pytest.fixture
def network(spec: NetworkSpec, seeded_network: Callable[..., Network]) -> Network:
    return seeded_network(spec)


@pytest.fixture
def images(network: Network, images_for: Callable[..., Tensor]) -> Tensor:
    return images_for(network)


def outputs_of(network: Network, images: Tensor) -> dict[str, np.ndarray]:
    """Return the outputs of every layer in float32, like runtimes."""
    return {name: values.float().numpy() for name, values in trace(network, images).outputs.items()}


@pytest.fixture
def runtime(network: Network, tmp_path: Path) -> OnnxRuntime:
    manifest = Manifest(
        name="toy",
        version=1,
        summary="",
        network=network.spec,
        preprocessing=Preprocessing(short_side=32, centre=32, crop=32),
        labels=tuple(Label(id=name, name=name) for name in "abcd"),
        provenance=Provenance(source="made up in a test"),
        files={"weights.safetensors": "0" * 64},
    )
    return OnnxRuntime(Model(manifest, Weights.from_network(network)), cache=tmp_path, threads=1)


def test_a_new_kind_is_preserved_by_json(spec: NetworkSpec) -> None:
    text = spec.model_dump_json()
    assert '"kind":"depthwise"' in text
    assert '"padding":[1,0,0,2]' in text
    assert NetworkSpec.model_validate_json(text) == spec


def test_an_unregistered_kind_is_rejected() -> None:
    with toy_kinds() as spec:
        assert "depthwise" in KINDS
    with pytest.raises(ValueError, match="Input tag 'depthwise' found"):
        NetworkSpec.model_validate_json(spec.model_dump_json())


def test_a_second_kind_of_the_same_name_is_rejected(spec: NetworkSpec) -> None:
    with pytest.raises(TypeError, match="Other has the same kind as Depthwise; choose another name"):
        type("Other", (KINDS["depthwise"],), {"__module__": __name__})


def test_a_new_join_requires_two_inputs(spec: NetworkSpec) -> None:
    layers = [{"kind": "mean", "name": "mean"}]
    with pytest.raises(
        ValueError, match="concat, add, multiply and mean read two or more, every other kind reads one"
    ):
        NetworkSpec.model_validate({"name": "net", "layers": layers})


def test_shapes_of_a_new_kind_equal_those_of_a_forward_pass(network: Network, images: Tensor) -> None:
    traced_shapes = {name: values.shape[1:] for name, values in trace(network, images).outputs.items()}
    assert {name: torch.Size(shape) for name, shape in shapes(network.spec).items()} == traced_shapes
    assert network.shapes["apart"] == (4, 15, 15)
    assert multiplications(network.spec) == 4 * 27 * 30 * 30 + 4 * 9 * 15 * 15 + 4 * 225 * 4
    assert network.spec.convolutions == ("conv1", "apart")


def test_receptive_fields_of_a_new_kind_follow_from_its_window(spec: NetworkSpec) -> None:
    field = receptive_fields(spec)["apart"]
    assert (field.size, field.jump, field.top, field.left) == (5, 2, 0, -1)


def test_projections_through_a_new_kind_equal_autograd(network: Network, images: Tensor) -> None:
    traced = trace(network, images)
    images.requires_grad_()
    (expected,) = torch.autograd.grad(network(images)[0, 1], images)
    unit = Unit(0, 1)
    pixels = project(network, traced, "scores", [unit], rule="gradient")[0]
    torch.testing.assert_close(pixels, expected[0] * traced.outputs["scores"][0, 1])


def test_projections_of_a_new_kind_are_zero_outside_the_receptive_field(
    network: Network, images: Tensor
) -> None:
    pixels = project(network, trace(network, images), "apart", [Unit(0, 2, 4, 5)])[0]
    left, top, right, bottom = receptive_fields(network.spec)["apart"].box(4, 5)
    assert pixels[:, top:bottom, left:right].any()
    pixels[:, top:bottom, left:right] = 0
    assert not pixels.any()


@pytest.mark.parametrize(("size", "position"), [((3, 4), (2, 5)), ((5, 5), (0, 27)), ((32, 32), (0, 0))])
def test_recomputation_through_a_new_kind_equals_a_whole_pass(
    network: Network, images: Tensor, size: tuple[int, int], position: tuple[int, int]
) -> None:
    traced, names = trace(network, images), list(shapes(network.spec))[1:]
    y, x = position
    new = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(1), dtype=images.dtype)
    changed = images[1:].clone()
    changed[:, :, y : y + size[0], x : x + size[1]] = new
    expected, recomputed = trace(network, changed).outputs, set()
    for part in recompute(network, traced, Signal(new, torch.tensor([1]), torch.tensor([position])), names):
        for name, signal in part.outputs.items():
            maps = traced.outputs[name][1:].clone()
            if signal.values.dim() == 4:
                (top, left), (rows, columns) = signal.origins[0].tolist(), signal.size
                maps[:, :, top : top + rows, left : left + columns] = signal.values
            else:
                maps = signal.values
            torch.testing.assert_close(maps, expected[name], msg=name)
            recomputed.add(name)
    assert recomputed == set(names)


def test_a_new_kind_runs_in_onnx_runtime(runtime: OnnxRuntime, network: Network, images: Tensor) -> None:
    expected, pixels = outputs_of(network, images), images.float().numpy()
    np.testing.assert_allclose(runtime.forward(pixels), expected["scores"], rtol=1e-4, atol=1e-5)
    for name, values in runtime.outputs(pixels, ["apart", "both"]).items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-4, atol=1e-5)


def test_map_maxima_of_a_new_kind_equal_those_of_its_outputs(
    runtime: OnnxRuntime, network: Network, images: Tensor
) -> None:
    expected = outputs_of(network, images)
    for layer, result in runtime.map_maxima(images.float().numpy(), ["apart", "both"], sums=True).items():
        maxima = compute_maxima(expected[layer], sums=True)
        assert np.array_equal(result.indices, maxima.indices)
        np.testing.assert_allclose(result.values, maxima.values, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(result.sums, maxima.sums, rtol=1e-4, atol=1e-4)


def test_a_new_kind_is_described(spec: NetworkSpec) -> None:
    described = {layer.name: layer for layer in describe(spec)}
    apart = described["apart"]
    assert (apart.kind, apart.shape, apart.parameters) == ("depthwise", (4, 15, 15), 4 * 9 + 4)
    assert (described["both"].kind, described["both"].parameters) == ("mean", 0)


def kinds_named_in(path: Path) -> set[str]:
    """Return the names of kinds and of their classes that a module imports, compares with or accesses."""
    names = {*KINDS, *(kind.__name__ for kind in KINDS.values())}
    tree, mentioned = ast.parse(path.read_text(encoding="utf-8")), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("zfscope.networks"):
            mentioned |= {alias.name for alias in node.names}
        if isinstance(node, ast.Compare | ast.MatchValue):
            mentioned |= {part.value for part in ast.walk(node) if isinstance(part, ast.Constant)}
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "layers":
            mentioned.add(node.attr)
    return mentioned & names


def test_no_other_module_refers_to_particular_kinds() -> None:
    violations = {}
    for folder in ("service", "analyzers"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if not name.startswith(MAY_NAME_KINDS) and (kinds := kinds_named_in(path)):
                violations[name] = kinds
    assert violations == {}


def test_the_search_finds_all_kinds_in_the_tables() -> None:
    classes = {KINDS[name].__name__ for name in computed_kinds()}
    for name in MAY_NAME_KINDS[1:2] + MAY_NAME_KINDS[3:5]:
        assert classes <= kinds_named_in(ROOT / name), name


def test_no_kind_of_a_test_remains_registered() -> None:
    assert all(kind.__module__ == "zfscope.networks.layers" for kind in KINDS.values())
