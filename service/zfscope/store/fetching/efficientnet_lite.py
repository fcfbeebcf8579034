"""EfficientNet-Lite0: TensorFlow's weights, as a torch state dict in a package."""

import io
from collections.abc import Mapping

import torch
from torch import Tensor

from zfscope.images.preprocess import Preprocessing
from zfscope.networks.efficientnet_lite import Block, blocks, efficientnet_lite0
from zfscope.store.importing.imported import ImportedModel, build_network

# Added to variances in batch normalisation.
_EPSILON = 1e-3

# The network's input: (level - 127) / 128, of photos resampled by a bicubic filter.
_PREPROCESSING = Preprocessing(mean=(127.0, 127.0, 127.0), std=(128.0, 128.0, 128.0), interpolation="bicubic")


def read_state_dict(data: bytes) -> Mapping[str, Tensor]:
    """Read a torch state dict without running code from it. Raises ValueError for anything else."""
    try:
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # torch has no common class for these
        raise ValueError("not a state dict that can be read without running code from it") from error
    if not isinstance(state, Mapping) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise ValueError("not a state dict: expected a mapping of names to tensors")
    return {str(name): tensor for name, tensor in state.items()}


def efficientnet_lite_weights(tensors: Mapping[str, Tensor]) -> ImportedModel:
    """Return EfficientNet-Lite0 from its state dict, with batch normalisation folded into convolutions.

    Raises ValueError if a tensor is missing or has the wrong shape.
    """
    weights = dict(_folded(tensors, "stem", "_conv_stem", "_bn0"))
    for block in blocks():
        weights |= _block_weights(tensors, block)
    weights |= _folded(tensors, "head", "_conv_head", "_bn1")
    weights |= {f"scores.{part}": _tensor(tensors, f"_fc.{part}") for part in ("weight", "bias")}
    return ImportedModel(
        network=build_network(efficientnet_lite0(classes=len(weights["scores.bias"])), weights),
        preprocessing=_PREPROCESSING,
        summary="EfficientNet-Lite0, trained on ImageNet's 1,000 classes",
        notes=("Batch normalisation is folded into the convolutions; activations are ReLU6.",),
    )


def _block_weights(tensors: Mapping[str, Tensor], block: Block) -> Mapping[str, Tensor]:
    theirs, weights = f"_blocks.{block.number}", dict[str, Tensor]()
    steps = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}
    for step, norm in steps.items():
        if step != "expand" or block.expansion > 1:
            names = f"{theirs}._{step}_conv", f"{theirs}.{norm}"
            weights |= _folded(tensors, f"{block.name}.{step}", *names)
    return weights


def _folded(tensors: Mapping[str, Tensor], layer: str, conv: str, norm: str) -> Mapping[str, Tensor]:
    """Return the weights of a convolution followed by batch normalisation, as one convolution."""
    scale, bias, mean, variance = (
        _tensor(tensors, f"{norm}.{part}").double()
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    factor = scale / (variance + _EPSILON).sqrt()
    weight = _tensor(tensors, f"{conv}.weight").double() * factor[:, None, None, None]
    return {f"{layer}.weight": weight.float(), f"{layer}.bias": (bias - mean * factor).float()}


def _tensor(tensors: Mapping[str, Tensor], name: str) -> Tensor:
    if name not in tensors:
        raise ValueError(f"tensor '{name}' is missing")
    return tensors[name]
