"""ZFNet-512 of the ONNX model zoo, which differs from Fig 3: layers and constants come from the file."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zfscope.images.preprocess import Preprocessing
from zfscope.networks.layer import Layer
from zfscope.networks.layers import Conv, Dropout, Flatten, Linear, LocalResponseNorm, MaxPool, ReLU
from zfscope.networks.spec import NetworkSpec
from zfscope.networks.windows import Padding
from zfscope.store.importing.imported import ImportedModel, build_network

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

PREPROCESSING = Preprocessing(
    short_side=224, centre=224, channels="BGR", mean=(103.939, 116.779, 123.68), std=(1.0, 1.0, 1.0)
)

_NUMBERED = {
    "Relu": "relu",
    "LRN": "norm",
    "MaxPool": "pool",
    "Dropout": "drop",
    "Conv": "conv",
    "Gemm": "fc",
}
_FLATTEN = ("Reshape", "Flatten")
# The only values of these attributes that can be imported, for convolutions and fully connected layers.
_REQUIRED = {"group": 1, "transA": 0, "alpha": 1.0, "beta": 1.0, "auto_pad": b"NOTSET"}


def onnx_zfnet512(path: Path) -> ImportedModel:
    """Return the zoo's ZFNet-512 from its ONNX file.

    Weights in a separate file (external data) are rejected: only the bytes of this file are verified. Raises
    ValueError for any other network, OSError if the file cannot be read.
    """
    model = _read(path)
    tensors = _initialisers(model)
    layers: list[Layer] = []
    weights: dict[str, Tensor] = {}
    for node, name in _chain(model, tensors):
        if node.op_type in ("Conv", "Gemm"):
            weights |= _weights(node, name, tensors)
        layers.append(_LAYERS[node.op_type](node, name, tensors))
    spec = NetworkSpec(name="zfnet-512-onnx", layers=tuple(layers))
    return ImportedModel(
        network=build_network(spec, weights),
        preprocessing=PREPROCESSING,
        summary="ZFNet-512 of the ONNX model zoo",
        notes=(
            "Contrast is normalised before pooling; layers 3 to 5 have 512 feature maps and fc7 1,024 units.",
            "The zoo measured its accuracy on photos resized to 224 x 224 pixels regardless of their aspect "
            "ratio; here the centre of the photo is cropped.",
        ),
    )


def _read(path: Path) -> "ModelProto":
    import onnx  # takes 0.25 s, which other formats need not pay

    data = path.read_bytes()
    try:
        return onnx.load_model_from_string(data)
    except Exception as error:  # protobuf's DecodeError; only wire/ may import it
        raise ValueError("not an ONNX model") from error


def _initialisers(model: "ModelProto") -> Mapping[str, Tensor]:
    from onnx import TensorProto, numpy_helper

    for tensor in model.graph.initializer:
        if tensor.data_location == TensorProto.EXTERNAL:
            raise ValueError(
                f"'{tensor.name}' is stored in a separate file (external data), which is not supported"
            )
    arrays = ((tensor.name, numpy_helper.to_array(tensor)) for tensor in model.graph.initializer)
    return {name: torch.from_numpy(array.copy()) for name, array in arrays}


def _chain(model: "ModelProto", tensors: Mapping[str, Tensor]) -> "list[tuple[NodeProto, str]]":
    """Return the nodes from the image to the class scores with their layer names; omit the softmax.

    Raises ValueError for an operator that the zoo's file does not use, and for a graph that is not a chain.
    """
    inputs = [value.name for value in model.graph.input if value.name not in tensors]
    previous, number, chain = inputs[:1], 0, []
    for node in model.graph.node:
        if list(node.input[:1]) != previous:
            raise ValueError(
                f"node '{node.name or node.output[0]}' does not read the output of the node before it"
            )
        previous = list(node.output[:1])
        if node.op_type == "Softmax":
            break
        if node.op_type not in _LAYERS:
            raise ValueError(f"operator {node.op_type} is not supported; supported: {', '.join(_LAYERS)}")
        number += node.op_type in ("Conv", "Gemm")
        name = "flatten" if node.op_type in _FLATTEN else f"{_NUMBERED[node.op_type]}{number}"
        chain.append((node, name))
    if not chain or previous != [value.name for value in model.graph.output[:1]]:
        raise ValueError("the output of the graph is not that of its last node")
    return chain


def _weights(node: "NodeProto", name: str, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    expected = [f"gpu_0/{name}_w_0", f"gpu_0/{name}_b_0"]
    if list(node.input[1:]) != expected or not all(key in tensors for key in expected):
        raise ValueError(
            f"layer '{name}' lacks the weights {expected[0]} and {expected[1]} of the zoo's file"
        )
    weight, bias = (tensors[key] for key in expected)
    if node.op_type == "Gemm" and not _attributes(node).get("transB", 0):
        weight = weight.T
    return {f"{name}.weight": weight.contiguous(), f"{name}.bias": bias}


def _attributes(node: "NodeProto") -> dict[str, Any]:
    from onnx import helper

    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def _required_attributes(node: "NodeProto", name: str) -> dict[str, Any]:
    """Return the attributes of a Conv, MaxPool or Gemm node. Raises ValueError for unsupported values."""
    stated = _attributes(node)
    for key, value in _REQUIRED.items():
        if stated.get(key, value) != value:
            raise ValueError(f"layer '{name}' has {key} = {stated[key]}; it must be {value}")
    return stated


def _window(node: "NodeProto", name: str) -> dict[str, Any]:
    """Return kernel, stride and padding. ONNX orders the padding top, left, bottom, right."""
    stated = _required_attributes(node, name)
    sides, strides = stated.get("kernel_shape", []), stated.get("strides", [1, 1])
    if len(set(sides)) != 1 or len(set(strides)) != 1 or set(stated.get("dilations", [1])) != {1}:
        raise ValueError(f"layer '{name}' has windows that are not square or are dilated")
    top, left, bottom, right = stated.get("pads", [0, 0, 0, 0])
    return {"kernel": sides[0], "stride": strides[0], "padding": Padding(left, top, right, bottom)}


def _conv(node: "NodeProto", name: str, tensors: Mapping[str, Tensor]) -> Conv:
    return Conv(name=name, channels=len(tensors[node.input[1]]), **_window(node, name))


def _max_pool(node: "NodeProto", name: str, tensors: Mapping[str, Tensor]) -> MaxPool:
    rounding = "ceil" if _attributes(node).get("ceil_mode", 0) else "floor"
    return MaxPool(name=name, rounding=rounding, **_window(node, name))


def _norm(node: "NodeProto", name: str, tensors: Mapping[str, Tensor]) -> LocalResponseNorm:
    """Return the norm with the file's constants. alpha is as here: ONNX too divides it by the size."""
    stated = {"size": 0, "alpha": 1e-4, "beta": 0.75, "bias": 1.0, **_attributes(node)}
    size, alpha, beta, k = (stated[key] for key in ("size", "alpha", "beta", "bias"))
    return LocalResponseNorm(name=name, size=size, alpha=alpha, beta=beta, k=k)


def _linear(node: "NodeProto", name: str, tensors: Mapping[str, Tensor]) -> Linear:
    transposed = _required_attributes(node, name).get("transB", 0)
    return Linear(name=name, units=tensors[node.input[1]].shape[0 if transposed else 1])


_LAYERS: Mapping[str, Callable[..., Layer]] = {
    "Conv": _conv,
    "Relu": lambda node, name, tensors: ReLU(name=name),
    "LRN": _norm,
    "MaxPool": _max_pool,
    "Reshape": lambda node, name, tensors: Flatten(name=name),
    "Flatten": lambda node, name, tensors: Flatten(name=name),
    "Gemm": _linear,
    "Dropout": lambda node, name, tensors: Dropout(name=name),
}
