"""The zoo's ZFNet-512: a file with its names and shapes (narrower fc layers), run by ONNX Runtime."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from tests.store.importing.conftest import assert_layers_agree, photos
from zfscope.store.importing.onnx_zfnet512 import onnx_zfnet512

MAPS = {"conv1": (96, 3, 7), "conv2": (256, 96, 5), "conv3": (512, 256, 3), "conv4": (512, 512, 3)}
MAPS["conv5"] = (512, 512, 3)
UNITS = {"fc6": (40, 18_432), "fc7": (30, 40), "fc8": (10, 30)}
NORM = {"size": 5, "alpha": 4e-3, "beta": 0.75, "bias": 2.0}


def zoo_model(*, widths: int = 1) -> onnx.ModelProto:
    """Return the zoo's graph. widths: divisor of the numbers of maps."""
    generator = np.random.default_rng(0)
    nodes, tensors = [], []

    def add_tensor(name: str, *shape: int) -> str:
        size = (2 / np.prod(shape[1:])) ** 0.5 if len(shape) > 1 else 0.1
        values = generator.normal(0, size, shape).astype(np.float32)
        tensors.append(numpy_helper.from_array(values, f"gpu_0/{name}"))
        return f"gpu_0/{name}"

    def add(op: str, inputs: list[str], name: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(op, inputs, [f"gpu_0/{name}"], **attributes))
        return f"gpu_0/{name}"

    def pool(x: str, number: int, *pads: int) -> str:
        return add("MaxPool", [x], f"pool{number}_1", kernel_shape=[3, 3], strides=[2, 2], pads=list(pads))

    x = "gpu_0/data_0"
    for index, (name, (maps, channels, side)) in enumerate(MAPS.items()):
        maps, channels = maps // widths, channels if channels == 3 else channels // widths
        weights = [add_tensor(f"{name}_w_0", maps, channels, side, side), add_tensor(f"{name}_b_0", maps)]
        step, pad = (2, 0) if index < 2 else (1, 1)
        x = add(
            "Conv", [x, *weights], f"{name}_1", kernel_shape=[side] * 2, strides=[step] * 2, pads=[pad] * 4
        )
        x = add("Relu", [x], f"{name}_2")
        if index < 2:
            x = add("LRN", [x], f"norm{index + 1}_1", **NORM)
            x = pool(x, index + 1, 0, 0, 0, 0)
    x = pool(x, 5, 0, 0, 1, 1)
    tensors.append(numpy_helper.from_array(np.array([1, -1], np.int64), "gpu_0/shape"))
    x = add("Reshape", [x, "gpu_0/shape"], "flat")
    for name, (units, features) in UNITS.items():
        features = features // widths if name == "fc6" else features
        weights = [add_tensor(f"{name}_w_0", units, features), add_tensor(f"{name}_b_0", units)]
        x = add("Gemm", [x, *weights], "pred_1" if name == "fc8" else f"{name}_1", transB=1)
        x = x if name == "fc8" else add("Relu", [x], f"{name}_2")
    x = add("Softmax", [x], "softmax_1", axis=1)
    graph = helper.make_graph(
        nodes,
        "zfnet512",
        [helper.make_tensor_value_info("gpu_0/data_0", TensorProto.FLOAT, [1, 3, 224, 224])],
        [helper.make_tensor_value_info(x, TensorProto.FLOAT, [1, 10])],
        tensors,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)], ir_version=7)


def layer_name(output: str) -> str:
    """Return the layer name of a node's output: `gpu_0/conv1_2` is `relu1`."""
    name, _, index = output.removeprefix("gpu_0/").partition("_")
    if name == "pred":
        return "fc8"
    return f"relu{name[-1]}" if index == "2" else name


def onnx_runtime_outputs(model: onnx.ModelProto, image: torch.Tensor) -> dict[str, torch.Tensor]:
    """Run a model and return the outputs of all nodes except the softmax, by layer name."""
    names = [node.output[0] for node in model.graph.node if node.op_type != "Softmax"]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    outputs = session.run(names, {"gpu_0/data_0": image.numpy()})
    return {
        layer_name(name).replace("flat", "flatten"): torch.from_numpy(values)
        for name, values in zip(names, outputs, strict=True)
    }


def save_model(model: onnx.ModelProto, path: Path) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def test_every_layer_matches_onnx_runtime(tmp_path: Path) -> None:
    model, image = zoo_model(), photos(224, 1)
    imported = onnx_zfnet512(save_model(model, tmp_path / "zfnet.onnx"))
    assert imported.network.shapes["conv1"] == (96, 109, 109)
    assert imported.network.shapes["pool5"] == (512, 6, 6)
    outputs = onnx_runtime_outputs(model, image)
    assert set(outputs) == {layer.name for layer in imported.network.spec.layers}
    assert_layers_agree(imported.network, image, outputs)
    assert imported.classes == 10


def test_the_image_is_bgr_and_only_its_mean_is_subtracted(tmp_path: Path) -> None:
    preprocessing = onnx_zfnet512(save_model(zoo_model(widths=16), tmp_path / "a.onnx")).preprocessing
    assert (preprocessing.channels, preprocessing.std) == ("BGR", (1, 1, 1))
    assert preprocessing.mean == (103.939, 116.779, 123.68)


def external(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")


def unsupported_operator(model: onnx.ModelProto) -> None:
    model.graph.node[1].op_type = "Sigmoid"


def branching(model: onnx.ModelProto) -> None:
    model.graph.node[2].input[0] = "gpu_0/conv1_1"


def grouped(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute.append(helper.make_attribute("group", 2))


def other_names(model: onnx.ModelProto) -> None:
    model.graph.node[0].input[1], model.graph.node[0].input[2] = "gpu_0/conv2_w_0", "gpu_0/conv2_b_0"


def truncated(model: onnx.ModelProto) -> None:
    del model.graph.node[-3:]


def dilated(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute.append(helper.make_attribute("dilations", [2, 2]))


def without_kernel_shape(model: onnx.ModelProto) -> None:
    del model.graph.node[0].attribute[:]


def without_bias(model: onnx.ModelProto) -> None:
    del model.graph.node[0].input[2:]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_kernel_shape, "layer 'conv1' has windows that are not square"),
        (without_bias, "layer 'conv1' lacks the weights gpu_0/conv1_w_0"),
        (external, r"'gpu_0/conv1_w_0' is stored in a separate file \(external data\), which is not"),
        (unsupported_operator, "operator Sigmoid is not supported; supported: Conv, Relu"),
        (branching, "node 'gpu_0/norm1_1' does not read the output of the node before it"),
        (grouped, "layer 'conv1' has group = 2; it must be 1"),
        (other_names, "layer 'conv1' lacks the weights gpu_0/conv1_w_0"),
        (truncated, "the output of the graph is not that of its last node"),
        (dilated, "layer 'conv1' has windows that are not square or are dilated"),
    ],
)
def test_another_graph_is_rejected_with_the_difference(
    tmp_path: Path, change: Callable[[onnx.ModelProto], None], message: str
) -> None:
    model = zoo_model(widths=16)
    change(model)
    with pytest.raises(ValueError, match=message):
        onnx_zfnet512(save_model(model, tmp_path / "a.onnx"))


@pytest.mark.parametrize("data", [b"", b"no model"])
def test_bytes_that_are_not_onnx_are_rejected(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.onnx").write_bytes(data)
    with pytest.raises(ValueError, match=r"not an ONNX model|the output of the graph"):
        onnx_zfnet512(tmp_path / "a.onnx")
