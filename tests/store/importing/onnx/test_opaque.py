"""Graphs imported as a whole: tensors as layers, a free batch dimension, and what is refused."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper
from torch import Tensor, nn

from tests.support.onnx_exports import EXPORTERS, export
from tests.support.onnx_graphs import make_model, node, random_array
from tests.support.opaque_models import (
    CLASSES,
    SIZE,
    ConvNext,
    VisionTransformer,
    opaque_graph,
    opaque_network,
    seeded,
)
from zfscope.errors import InputError
from zfscope.networks.landmarks import blocks, default_layers
from zfscope.networks.layers import GraphTensor
from zfscope.networks.stages import stages
from zfscope.store.importing import read_onnx, read_opaque
from zfscope.store.importing.onnx import opaque
from zfscope.store.importing.onnx.opaque import OpaqueReading
from zfscope.store.importing.onnx.options import ReadOptions
from zfscope.store.importing.onnx.protobuf import read_model


def read(model: ModelProto, *, size: int | None = None, output: str = "") -> OpaqueReading:
    copy = ModelProto()
    copy.CopyFrom(model)
    return opaque.read_opaque(copy, ReadOptions("graph", size, output))


def scores_of(graph: bytes, images: NDArray[np.float32]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    scores: NDArray[np.float32] = session.run(None, {session.get_inputs()[0].name: images})[0]
    return scores


def images(count: int, size: int = SIZE) -> NDArray[np.float32]:
    return random_array(count, 3, size, size, seed=1)


class TorchTransformer(nn.Module):
    """A ViT in the form of torchvision's: torch's own attention, which merges images and heads."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 8, 8)
        self.class_token = nn.Parameter(torch.zeros(1, 1, 16))
        self.norm, self.attention = nn.LayerNorm(16), nn.MultiheadAttention(16, 4, batch_first=True)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        patches = self.patches(images).reshape(len(images), 16, -1).permute(0, 2, 1)
        tokens = torch.cat([self.class_token.expand(len(images), -1, -1), patches], 1)
        before = self.norm(tokens)
        tokens = tokens + self.attention(before, before, before, need_weights=False)[0]
        scores: Tensor = self.head(tokens[:, 0])
        return scores


class ShiftedWindows(nn.Module):
    """Attention within windows of channels-last maps, moved by a cyclic shift, as in a Swin transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.qkv = nn.Conv2d(3, 8, 4, 4), nn.Linear(8, 24)
        self.merge, self.head = nn.Linear(32, 16), nn.Linear(16, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.patches(images).permute(0, 2, 3, 1).roll((-2, -2), (1, 2))
        batch, side, _, width = maps.shape
        windows = maps.view(batch, side // 4, 4, side // 4, 4, width).permute(0, 1, 3, 2, 4, 5)
        windows = windows.reshape(-1, 16, width)
        query, key, value = self.qkv(windows).reshape(-1, 16, 3, 2, 4).permute(2, 0, 3, 1, 4)
        mixed = ((query @ key.transpose(-1, -2)).softmax(-1) @ value).transpose(1, 2).reshape(-1, 4, 4, width)
        mixed = mixed.view(batch, side // 4, side // 4, 4, 4, width).permute(0, 1, 3, 2, 4, 5)
        maps = maps + mixed.reshape(batch, side, side, width)
        corners = [maps[:, y::2, x::2] for y in (0, 1) for x in (0, 1)]
        scores: Tensor = self.head(self.merge(torch.cat(corners, -1)).relu().mean((1, 2)))
        return scores


MODULES: dict[str, Callable[[], nn.Module]] = {
    "vit": VisionTransformer,
    "convnext": ConvNext,
    "torchvision": TorchTransformer,
    "swin": ShiftedWindows,
}


@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.parametrize("name", MODULES)
def test_a_fixed_batch_is_made_free(name: str, exporter: str) -> None:
    module = seeded(MODULES[name]())
    reading = read(
        export(module, exporter, size=SIZE, **({"external_data": False} if exporter == "dynamo" else {}))
    )
    assert reading.info.batches
    assert reading.tensors == len(reading.spec.layers)
    assert reading.difference < 1e-5
    batch = images(7)
    with torch.no_grad():
        expected = module(torch.from_numpy(batch)).numpy()
    np.testing.assert_allclose(scores_of(reading.graph, batch), expected, rtol=0, atol=1e-5)


def test_a_free_batch_stays_free_even_if_constants_fix_it() -> None:
    model = export(
        seeded(VisionTransformer()),
        "script",
        size=SIZE,
        input_names=["image"],
        dynamic_axes={"image": {0: "n"}},
    )
    reading = read(model)
    assert reading.info.batches
    np.testing.assert_allclose(
        scores_of(reading.graph, images(4)), scores_of(opaque_network("vit").graph, images(4)), atol=1e-5
    )


def test_images_run_one_by_one_if_their_results_depend_on_each_other() -> None:
    network = opaque_network("int8-dynamic")
    assert not network.info.batches
    assert network.graph == onnx.load_from_string(network.graph).SerializeToString()
    assert scores_of(network.graph, images(1)).shape == (1, CLASSES)
    # The reason: the range of the quantisation is that of the whole batch.
    model = onnx.load_from_string(opaque_graph("int8-dynamic"))
    assert "DynamicQuantizeLinear" in {each.op_type for each in model.graph.node}


def test_a_batch_that_cannot_be_freed_stays_one() -> None:
    """A sum over the batch, which only batches of one leave alone."""
    nodes = [
        node("ReduceSum", ["image", "axes"], ["sum"], keepdims=1),
        node("Sub", ["image", "sum"], ["other"]),
        node("Add", ["sum", "other"], ["same"]),
        node("Mul", ["same", "sum"], ["squared"]),
        node("Flatten", ["squared"], ["flat"]),
        node("Gemm", ["flat", "w"], ["scores"]),
    ]
    constants = {"axes": np.array([0], np.int64), "w": random_array(192, 4)}
    reading = read(make_model(nodes, constants))
    assert not reading.info.batches
    assert reading.tensors == 0
    assert scores_of(reading.graph, images(1, 8)).shape == (1, 4)


def by_name(reading: OpaqueReading) -> dict[str, GraphTensor]:
    return {layer.name: layer for layer in reading.spec.layers if isinstance(layer, GraphTensor)}


def test_tokens_are_maps_of_patches_without_the_class_token() -> None:
    layer = by_name(read(onnx.load_from_string(opaque_graph("vit"))))["blocks.0.add_1"]
    assert (layer.shape, layer.layout, layer.skipped) == ((24, 4, 4), "tokens", 1)


def test_channels_last_maps_are_maps() -> None:
    layers = by_name(read(onnx.load_from_string(opaque_graph("convnext"))))
    assert (layers["block1.norm"].shape, layers["block1.norm"].layout) == ((8, 8, 8), "channels_last")
    assert (layers["block1.add"].shape, layers["block1.add"].layout) == ((8, 8, 8), "maps")
    merged = by_name(read(export(seeded(ShiftedWindows()), "script", size=SIZE)))["relu"]
    assert (merged.shape, merged.layout) == ((16, 4, 4), "channels_last")


def test_weights_of_an_attention_between_tokens_are_no_maps() -> None:
    operators = {
        layer.operator for layer in by_name(read(onnx.load_from_string(opaque_graph("vit")))).values()
    }
    assert "Softmax" not in operators
    assert {"Conv", "LayerNormalization", "Add", "Gemm"} <= operators


def test_blocks_are_where_branches_join() -> None:
    spec = opaque_network("vit").spec
    joins = ("blocks.0.add", "blocks.0.add_1", "blocks.1.add", "blocks.1.add_1")
    assert stages(spec, has_classes=True) == joins
    assert set(joins) < set(blocks(spec))
    assert default_layers(spec).last_convolution == "blocks.1.add_1"
    assert default_layers(spec).upper_features == "gather"
    assert spec.sources["blocks.0.add"] == ("add", "blocks.0.project")
    assert spec.scores == "head"


def test_layers_that_the_class_scores_do_not_need_are_left_out() -> None:
    nodes = [
        node("Conv", ["image", "w"], ["maps"], name="stem"),
        node("Erf", ["maps"], ["unused"]),
        node("GlobalAveragePool", ["maps"], ["mean"]),
        node("Flatten", ["mean"], ["scores"]),
        node("Softmax", ["scores"], ["probabilities"]),
    ]
    model = make_model(nodes, {"w": random_array(4, 3, 3, 3)}, outputs=["probabilities", "unused"])
    reading = read(model, output="probabilities")
    assert [layer.tensor for layer in by_name(reading).values()] == ["maps", "mean", "scores"]
    assert reading.spec.layers[-1].output_shape([]) == (4,)
    with pytest.raises(ValueError, match="several outputs"):
        read(model)


def test_a_graph_may_end_in_maps() -> None:
    nodes = [node("Conv", ["image", "w"], ["maps"]), node("Erf", ["maps"], ["y"])]
    reading = read(make_model(nodes, {"w": random_array(4, 3, 3, 3)}))
    assert reading.spec.has_maps(reading.spec.scores)


def test_channels_last_images_and_half_precision_are_read() -> None:
    nodes = [
        node("Transpose", ["image"], ["planes"], perm=[0, 3, 1, 2]),
        node("Conv", ["planes", "w"], ["maps"]),
        node("Erf", ["maps"], ["soft"]),
        node("GlobalAveragePool", ["soft"], ["mean"]),
        node("Flatten", ["mean"], ["scores"]),
    ]
    weight = random_array(4, 3, 3, 3).astype(np.float16)
    model = make_model(nodes, {"w": weight}, image=("n", 8, 8, 3), dtype=TensorProto.FLOAT16)
    reading = read(model)
    assert reading.info.channels_last
    assert reading.info.batches
    assert (reading.spec.input_channels, reading.spec.input_size) == (3, 8)
    assert reading.info.parameters == 108
    assert scores_of(reading.graph, images(2, 8).transpose(0, 2, 3, 1)).shape == (2, 4)


def test_a_free_size_needs_a_size() -> None:
    nodes = [
        node("Conv", ["image", "w"], ["maps"]),
        node("Erf", ["maps"], ["soft"]),
        node("GlobalAveragePool", ["soft"], ["mean"]),
        node("Flatten", ["mean"], ["scores"]),
    ]
    model = make_model(nodes, {"w": random_array(4, 3, 3, 3)}, image=("n", 3, "h", "w"))
    with pytest.raises(ValueError, match="set one with --size"):
        read(model)
    assert read(model, size=16).spec.input_size == 16


def test_the_node_in_the_way_is_recorded() -> None:
    assert opaque_network("convnext").info.obstacle.startswith("LayerNormalization '")
    plain = [node("Conv", ["image", "w"], ["maps"]), node("Relu", ["maps"], ["y"])]
    assert read(make_model(plain, {"w": random_array(4, 3, 3, 3)})).info.obstacle == ""


REFUSED: dict[str, tuple[ModelProto, str]] = {
    "no-scores": (
        make_model([node("ReduceMean", ["image"], ["y"], axes=[0, 1, 2], keepdims=0)]),
        r"output 'y' has the shape \(8,\); class scores have the shape \(N, classes\)",
    ),
    "integers": (
        make_model([node("ArgMax", ["image"], ["y"], axis=1, keepdims=0)], outputs=["y"]),
        "ONNX Runtime rejects the graph|class scores have the shape",
    ),
    "constant": (
        make_model([node("Relu", ["w"], ["y"])], {"w": random_array(1, 4)}),
        "does not depend on the image",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_outputs_that_are_no_class_scores_are_refused(name: str) -> None:
    model, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        read(model)


def with_control_flow() -> ModelProto:
    value = helper.make_tensor_value_info("branch", TensorProto.FLOAT, None)
    branches = {
        f"{name}_branch": helper.make_graph([node(operator, ["image"], ["branch"])], name, [], [value])
        for name, operator in (("then", "Relu"), ("else", "Erf"))
    }
    nodes = [
        node("ReduceMax", ["image"], ["peak"], keepdims=0),
        node("Greater", ["peak", "zero"], ["positive"]),
        node("If", ["positive"], ["y"], name="which", **branches),
    ]
    return make_model(nodes, {"zero": np.array(0, np.float32)})


def with_external_data() -> ModelProto:
    model = make_model([node("Conv", ["image", "w"], ["y"])], {"w": random_array(4, 3, 3, 3)})
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="../weights.bin")
    return model


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (with_control_flow(), "If 'which' is control flow"),
        (with_external_data(), "tensor 'w' is stored in another file"),
        (
            make_model([node("Fancy", ["image"], ["y"], name="custom", domain="org.example")]),
            "Fancy 'custom' is an operator of the domain 'org.example'",
        ),
        (
            make_model([node("QLinearAdd", ["image"], ["y"], name="sum", domain="com.microsoft")]),
            r"'com.microsoft'; only ONNX's own can be imported: quantise the model in the format QDQ",
        ),
    ],
    ids=["control-flow", "external-data", "custom-operator", "quantised-operator"],
)
def test_graphs_that_nobody_should_run_are_refused(model: ModelProto, message: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ValueError, match=message):
        read(read_model(path))


@settings(max_examples=100)
@given(data=st.data())
def test_a_damaged_graph_is_refused_or_read(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever byte is changed: a ValueError at most."""
    content = bytearray(opaque_graph("vit")[:])
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged-opaque.onnx"
    path.write_bytes(content)
    with suppress(ValueError):
        read(read_model(path))


def test_a_graph_is_read_in_a_process_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "vit.onnx"
    path.write_bytes(opaque_graph("vit"))
    reading = read_opaque(path, name="vit")
    expected = opaque_network("vit")
    assert reading.network.spec == expected.spec
    assert reading.network.info == expected.info
    assert reading.network.graph == expected.graph


def test_the_importer_of_layers_proposes_to_import_the_graph_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "vit.onnx"
    path.write_bytes(opaque_graph("vit"))
    with pytest.raises(
        InputError, match=r"cannot be imported: \w+ '.*: .*; or import it as a whole with --opaque"
    ):
        read_onnx(path, name="vit")


def test_no_other_refusal_proposes_it(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(with_control_flow().SerializeToString())
    with pytest.raises(InputError) as caught:
        read_onnx(path, name="net")
    assert "--opaque" not in str(caught.value)


@pytest.mark.parametrize(
    ("shape", "layout", "message"),
    [
        ((4,), "maps", "1 axes; 3 with"),
        ((4, 2, 2), "units", "3 axes; 1 with"),
        ((0,), "units", "greater than 0"),
    ],
)
def test_shapes_of_layers_are_checked(shape: Any, layout: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GraphTensor(name="a", tensor="t", operator="Add", shape=shape, layout=layout)
