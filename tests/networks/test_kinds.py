"""A kind of layer is a class and a row in each of three tables: a new one goes through everything else."""

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
from zfscope.networks.layers import KINDS, Layer
from zfscope.networks.spec import multiplications, shapes
from zfscope.runtimes.onnx.runtime import OnnxRuntime
from zfscope.runtimes.protocol import compute_maxima
from zfscope.store import Label, Manifest, Model, Provenance, Weights

ROOT = Path(__file__).parents[2]

# Where kinds are named: the classes and the three tables (with one row's arithmetic). Exempt
# are architectures, which list layers, and importers, which build those of others.
NAMES_KINDS = (
    "service/zfscope/networks/layers.py",
    "service/zfscope/networks/forward.py",
    "service/zfscope/networks/normalisation.py",
    "service/zfscope/engine/backward.py",
    "service/zfscope/runtimes/onnx/graph.py",
    "service/zfscope/networks/alexnet.py",
    "service/zfscope/networks/squeezenet.py",
    "service/zfscope/networks/zfnet.py",
    "service/zfscope/store/importing/",
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


def whole(network: Network, images: Tensor) -> dict[str, np.ndarray]:
    """Return what every layer gives, and that in float32, as runtimes do."""
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


def test_a_new_kind_is_read_from_json_and_written_with_all_it_has(spec: NetworkSpec) -> None:
    text = spec.model_dump_json()
    assert '"kind":"depthwise"' in text
    assert '"padding":[1,0,0,2]' in text
    assert NetworkSpec.model_validate_json(text) == spec


def test_a_new_kind_is_gone_with_its_class() -> None:
    with toy_kinds() as spec:
        assert "depthwise" in KINDS
    with pytest.raises(ValueError, match="Input tag 'depthwise' found"):
        NetworkSpec.model_validate_json(spec.model_dump_json())


def test_two_kinds_of_one_name_are_refused(spec: NetworkSpec) -> None:
    with pytest.raises(TypeError, match="Other has the same kind as Depthwise; choose another name"):
        type("Other", (KINDS["depthwise"],), {"__module__": __name__})


def test_a_new_join_reads_two_inputs(spec: NetworkSpec) -> None:
    layers = [{"kind": "mean", "name": "mean"}]
    with pytest.raises(
        ValueError, match="concat and add and mean read two or more, every other kind reads one"
    ):
        NetworkSpec.model_validate({"name": "net", "layers": layers})


def test_sizes_and_weights_of_a_new_kind_are_those_of_a_forward_pass(
    network: Network, images: Tensor
) -> None:
    found = {name: values.shape[1:] for name, values in trace(network, images).outputs.items()}
    assert {name: torch.Size(shape) for name, shape in shapes(network.spec).items()} == found
    assert network.shapes["apart"] == (4, 15, 15)
    assert multiplications(network.spec) == 4 * 27 * 30 * 30 + 4 * 9 * 15 * 15 + 4 * 225 * 4
    assert network.spec.convolutions == ("conv1", "apart")


def test_fields_of_a_new_kind_are_those_of_its_window(spec: NetworkSpec) -> None:
    field = receptive_fields(spec)["apart"]
    assert (field.size, field.jump, field.top, field.left) == (5, 2, 0, -1)


def test_a_new_kind_is_projected_as_autograd_does(network: Network, images: Tensor) -> None:
    traced = trace(network, images)
    images.requires_grad_()
    (expected,) = torch.autograd.grad(network(images)[0, 1], images)
    unit = Unit(0, 1)
    found = project(network, traced, "scores", [unit], rule="gradient")[0]
    torch.testing.assert_close(found, expected[0] * traced.outputs["scores"][0, 1])


def test_a_unit_of_a_new_kind_is_projected_inside_its_field(network: Network, images: Tensor) -> None:
    found = project(network, trace(network, images), "apart", [Unit(0, 2, 4, 5)])[0]
    left, top, right, bottom = receptive_fields(network.spec)["apart"].box(4, 5)
    assert found[:, top:bottom, left:right].any()
    found[:, top:bottom, left:right] = 0
    assert not found.any()


@pytest.mark.parametrize(("size", "place"), [((3, 4), (2, 5)), ((5, 5), (0, 27)), ((32, 32), (0, 0))])
def test_what_a_change_makes_of_a_new_kind_is_what_a_whole_pass_gives(
    network: Network, images: Tensor, size: tuple[int, int], place: tuple[int, int]
) -> None:
    traced, names = trace(network, images), list(shapes(network.spec))[1:]
    y, x = place
    new = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(1), dtype=images.dtype)
    changed = images[1:].clone()
    changed[:, :, y : y + size[0], x : x + size[1]] = new
    expected, met = trace(network, changed).outputs, set()
    for part in recompute(network, traced, Signal(new, torch.tensor([1]), torch.tensor([place])), names):
        for name, signal in part.outputs.items():
            maps = traced.outputs[name][1:].clone()
            if signal.values.dim() == 4:
                (top, left), (rows, columns) = signal.origins[0].tolist(), signal.size
                maps[:, :, top : top + rows, left : left + columns] = signal.values
            else:
                maps = signal.values
            torch.testing.assert_close(maps, expected[name], msg=name)
            met.add(name)
    assert met == set(names)


def test_a_new_kind_runs_in_onnx_runtime(runtime: OnnxRuntime, network: Network, images: Tensor) -> None:
    expected, pixels = whole(network, images), images.float().numpy()
    np.testing.assert_allclose(runtime.forward(pixels), expected["scores"], rtol=1e-4, atol=1e-5)
    for name, values in runtime.outputs(pixels, ["apart", "both"]).items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-4, atol=1e-5)


def test_a_new_kind_is_scanned(runtime: OnnxRuntime, network: Network, images: Tensor) -> None:
    expected = whole(network, images)
    for layer, found in runtime.map_maxima(images.float().numpy(), ["apart", "both"], sums=True).items():
        own = compute_maxima(expected[layer], sums=True)
        assert np.array_equal(found.indices, own.indices)
        np.testing.assert_allclose(found.values, own.values, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found.sums, own.sums, rtol=1e-4, atol=1e-4)


def test_a_new_kind_is_described(spec: NetworkSpec) -> None:
    described = {layer.name: layer for layer in describe(spec)}
    apart = described["apart"]
    assert (apart.kind, apart.shape, apart.parameters) == ("depthwise", (4, 15, 15), 4 * 9 + 4)
    assert (described["both"].kind, described["both"].parameters) == ("mean", 0)


def named_kinds(path: Path) -> set[str]:
    """Return the kinds, and their classes, that are named in a module: as a name or as a text."""
    words = {*KINDS, *(kind.__name__ for kind in KINDS.values())}
    tree, found = ast.parse(path.read_text(encoding="utf-8")), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("zfscope.networks"):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.Compare | ast.MatchValue):
            found |= {part.value for part in ast.walk(node) if isinstance(part, ast.Constant)}
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "layers":
            found.add(node.attr)
    return found & words


def test_nothing_but_the_classes_and_the_three_tables_names_a_kind() -> None:
    found = {}
    for folder in ("service", "analyzers"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if not name.startswith(NAMES_KINDS) and (kinds := named_kinds(path)):
                found[name] = kinds
    assert found == {}


def test_the_search_finds_the_kinds_in_the_tables() -> None:
    classes = {kind.__name__ for kind in KINDS.values()}
    for name in NAMES_KINDS[1:2] + NAMES_KINDS[3:5]:
        assert classes <= named_kinds(ROOT / name), name


def test_no_kind_of_a_test_is_left() -> None:
    assert all(kind.__module__ == Layer.__module__ for kind in KINDS.values())
