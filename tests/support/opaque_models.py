"""Small opaque networks with seeded weights, exported by torch or quantised, in model stores."""

import logging
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import ModelProto
from onnxruntime.quantization import CalibrationDataReader, quantize_dynamic, quantize_static
from torch import Tensor, nn

from tests.support.onnx_exports import export
from zfscope.images.preprocess import Preprocessing
from zfscope.networks.layers import GraphTensor
from zfscope.store import Model, ModelStore, Provenance
from zfscope.store.importing import ImportedModel, OpaqueNetwork, publish
from zfscope.store.importing.onnx.opaque import read_opaque
from zfscope.store.importing.onnx.options import ReadOptions

SIZE, CLASSES = 32, 5
COLOURS = Preprocessing(
    short_side=36, centre=36, crop=SIZE, mean=(120.0, 110.0, 100.0), std=(60, 60, 60), interpolation="bicubic"
)
# The networks by name: a ViT with a class token, a ConvNeXt, and a convolutional network in int8, with
# ranges measured before (static), and with those of each pass (dynamic), whose images run one by one.
NAMES = ("vit", "convnext", "int8", "int8-dynamic")


class _Attention(nn.Module):
    """Self-attention and a multilayer perceptron, each after a normalisation and added to its input."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.heads = heads

    def forward(self, tokens: Tensor) -> Tensor:
        batch, count, width = tokens.shape
        qkv = self.qkv(self.norm1(tokens)).reshape(batch, count, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        weights = (query @ key.transpose(-1, -2) * (width // self.heads) ** -0.5).softmax(-1)
        joined = (weights @ value).transpose(1, 2).reshape(batch, count, width)
        tokens = tokens + self.project(joined)
        result: Tensor = tokens + self.mlp(self.norm2(tokens))
        return result


class VisionTransformer(nn.Module):
    """A ViT with a class token."""

    def __init__(self, *, size: int = SIZE, patch: int = 8, width: int = 24, depth: int = 2) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, patch)
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.zeros(1, (size // patch) ** 2 + 1, width))
        self.blocks = nn.Sequential(*(_Attention(width, 4) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_token.expand(len(images), -1, -1), tokens], 1) + self.positions
        scores: Tensor = self.head(self.norm(self.blocks(tokens))[:, 0])
        return scores


class _ConvNextBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm, self.act = nn.LayerNorm(width), nn.GELU()
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, maps: Tensor) -> Tensor:
        rows = self.norm(self.depthwise(maps).permute(0, 2, 3, 1))
        result: Tensor = maps + self.narrow(self.act(self.wide(rows))).permute(0, 3, 1, 2)
        return result


class ConvNext(nn.Module):
    """A ConvNeXt of two stages."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.block1 = nn.Conv2d(3, 8, 4, 4), _ConvNextBlock(8)
        self.down, self.block2 = nn.Conv2d(8, 16, 2, 2), _ConvNextBlock(16)
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.block2(self.down(self.block1(self.stem(images))))
        scores: Tensor = self.head(self.norm(maps.mean((2, 3))))
        return scores


def plain_network() -> nn.Module:
    """Return a convolutional network, to be quantised."""
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 5, 2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, CLASSES)),
    )


def seeded(module: nn.Module) -> nn.Module:
    """Draw all weights, large enough for scores that depend on the image."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            fan_in = parameter[0].numel() if parameter.dim() > 1 else 4
            parameter.normal_(
                1.0 if "norm" in name and "weight" in name else 0, fan_in**-0.5, generator=generator
            )
    return module.eval()


class _Calibration(CalibrationDataReader):
    def __init__(self, name: str) -> None:
        generator = np.random.default_rng(0)
        images = generator.standard_normal((4, 1, 3, SIZE, SIZE)).astype(np.float32)
        self._feeds = iter([{name: image} for image in images])

    def get_next(self) -> dict[str, NDArray[np.float32]]:
        return next(self._feeds, None)  # type: ignore[return-value]  # None ends the data


@cache
def opaque_graph(name: str) -> bytes:
    """Return the ONNX file of one of `NAMES`, for batches of one image, as it was exported."""
    if not name.startswith("int8"):
        module = VisionTransformer() if name == "vit" else ConvNext()
        return export(seeded(module), "script", size=SIZE).SerializeToString()
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.ERROR)  # the quantiser advises to run a shape inference before
    try:
        with TemporaryDirectory() as folder:
            source, target = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
            model = export(seeded(plain_network()), "script", size=SIZE)
            onnx.save(model, source)
            if name == "int8-dynamic":
                quantize_dynamic(source, target)
            else:
                quantize_static(source, target, _Calibration(model.graph.input[0].name))
            return target.read_bytes()
    finally:
        logging.getLogger().setLevel(level)


@cache
def opaque_network(name: str) -> OpaqueNetwork:
    """Return one of `NAMES` as it is imported."""
    reading = read_opaque(onnx.load_from_string(opaque_graph(name)), ReadOptions(name))
    return OpaqueNetwork(reading.spec, reading.graph, reading.info)


def add_opaque_model(store: Path, name: str, *, labels: Mapping[str, str] | None = None) -> Model:
    """Add one of `NAMES` to a store, with the classes a to e; return it loaded."""
    names = labels or {letter: f"class {letter}" for letter in "abcde"}
    imported = ImportedModel(opaque_network(name), COLOURS, f"The test network {name}")
    publish(store, name, imported, provenance=Provenance(source="seeded"), names=names)
    return ModelStore(store).load(name)


def reference_scores(name: str, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return class scores by ONNX Runtime on the exported file, image by image."""
    return reference_tensors(name, images, [])[0]


def reference_tensors(
    name: str, images: NDArray[np.float32], tensors: list[str]
) -> list[NDArray[np.float32]]:
    """Return the class scores, and tensors by their names in the exported file, image by image."""
    import onnxruntime

    model: ModelProto = onnx.load_from_string(opaque_graph(name))
    scores = model.graph.output[0].name
    model.graph.output.extend(onnx.ValueInfoProto(name=tensor) for tensor in tensors if tensor != scores)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    feed = session.get_inputs()[0].name
    passes = [session.run([scores, *tensors], {feed: image[None]}) for image in images]
    return [np.concatenate(arrays) for arrays in zip(*passes, strict=True)]


def layer_by_hand(layer: GraphTensor, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
    """Arrange a tensor of the graph as maps or units, value by value."""
    result = np.zeros((len(tensor), *layer.shape), np.float32)
    for index in np.ndindex(result.shape):
        image, number, *position = index
        if layer.layout == "tokens":
            token = layer.skipped + position[0] * layer.shape[2] + position[1]
            result[index] = tensor[image, token, number]
        elif layer.layout == "channels_last":
            result[index] = tensor[image, position[0], position[1], number]
        else:
            result[index] = tensor[index]
    return result


def reference_outputs(
    model: Model, images: NDArray[np.float32], layers: Sequence[str]
) -> dict[str, NDArray[np.float32]]:
    """Return the outputs of layers by ONNX Runtime on the exported file, image by image."""
    found = [layer for layer in map(model.spec.layer, layers) if isinstance(layer, GraphTensor)]
    _, *tensors = reference_tensors(model.name, images, [layer.tensor for layer in found])
    return {layer.name: layer_by_hand(layer, tensor) for layer, tensor in zip(found, tensors, strict=True)}


def input_by_hand(view: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the network's input, (3, rows, columns), for a crop, (rows, columns, 3), by `COLOURS`."""
    mean = np.array([120, 110, 100], np.float32)
    return np.ascontiguousarray(((view.astype(np.float32) - mean) / 60).transpose(2, 0, 1))
