"""Narrow and shallow variants of pytorchcv's networks, for small images."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import torch
from torch import nn

from tests.support.onnx_exports import randomise
from tests.support.programs import require_module

CLASSES = 10


def _make(module: str, kind: str, **fields: Any) -> nn.Module:
    """Build a network by one module of pytorchcv; its index of all models imports torchvision."""
    require_module("pytorchcv", "pip install --no-deps pytorchcv==0.0.74")
    made: nn.Module = getattr(import_module(f"pytorchcv.models.{module}"), kind)(
        **fields, num_classes=CLASSES
    )
    return made


def _narrow_output(network: nn.Module, inputs: int) -> nn.Module:
    """Replace the fully connected layers of 4096 units."""
    output: Any = network.output
    output.fc1.fc, output.fc2.fc = nn.Linear(inputs, 16), nn.Linear(16, 12)
    output.fc3 = nn.Linear(12, CLASSES)
    return network


def _global_pool(network: nn.Module) -> nn.Module:
    """Replace the last pooling, whose window is as large as the maps of an image of 224 pixels."""
    features: Any = network.features
    side = nn.AdaptiveAvgPool2d(1)
    features.final_pool = side
    return network


def _alexnet() -> nn.Module:
    network = _make(
        "alexnet",
        "AlexNet",
        channels=[[4], [6], [8, 6, 6]],
        kernel_sizes=[[11], [5], [3, 3, 3]],
        strides=[[4], [1], [1, 1, 1]],
        paddings=[[2], [2], [1, 1, 1]],
        use_lrn=True,
    )
    return _narrow_output(network, 6 * 6 * 6)


def _vgg16(**fields: bool) -> nn.Module:
    channels = [[4, 4], [4, 4], [6, 6, 6], [6, 6, 6], [6, 6, 6]]
    return _narrow_output(_make("vgg", "VGG", channels=channels, **fields), 6 * 7 * 7)


def _squeezenet() -> nn.Module:
    network = _make(
        "squeezenet",
        "SqueezeNet",
        channels=[[16, 16], [24, 24], [32, 32]],
        residuals=None,
        init_block_kernel_size=3,
        init_block_channels=8,
    )
    output: Any = network.output
    output.final_pool = nn.AdaptiveAvgPool2d(1)
    return network


def _resnet(channels: list[list[int]], *, bottleneck: bool) -> nn.Module:
    return _global_pool(
        _make(
            "resnet",
            "ResNet",
            channels=channels,
            init_block_channels=4,
            bottleneck=bottleneck,
            conv1_stride=True,
        )
    )


def _resnext() -> nn.Module:
    return _global_pool(
        _make(
            "resnext",
            "ResNeXt",
            channels=[[32, 32], [64]],
            init_block_channels=8,
            cardinality=4,
            bottleneck_width=16,
        )
    )


def _densenet() -> nn.Module:
    channels = [[10, 12], [8, 10], [7, 9]]
    return _global_pool(_make("densenet", "DenseNet", channels=channels, init_block_channels=8))


def _mobilenetv2() -> nn.Module:
    return _global_pool(
        _make(
            "mobilenetv2",
            "MobileNetV2",
            channels=[[4], [6, 6], [8, 8]],
            init_block_channels=4,
            final_block_channels=12,
            remove_exp_conv=False,
        )
    )


def _mobilenetv3() -> nn.Module:
    return _global_pool(
        _make(
            "mobilenetv3",
            "MobileNetV3",
            channels=[[8], [8, 8], [12, 12]],
            exp_channels=[[8], [16, 16], [24, 24]],
            init_block_channels=8,
            final_block_channels=24,
            classifier_mid_channels=16,
            kernels3=[[1], [1, 1], [0, 0]],
            use_relu=[[1], [1, 1], [0, 0]],
            use_se=[[1], [0, 0], [1, 1]],
            first_stride=True,
            final_use_se=False,
        )
    )


def _efficientnet() -> nn.Module:
    return _global_pool(
        _make(
            "efficientnet",
            "EfficientNet",
            channels=[[4], [6, 6], [8, 8]],
            init_block_channels=8,
            final_block_channels=16,
            kernel_sizes=[[3], [3, 3], [5, 5]],
            strides_per_stage=[1, 2, 2],
            expansion_factors=[[1], [6, 6], [6, 6]],
        )
    )


def _inceptionv3() -> nn.Module:
    """Return Inception-v3 at full width, which its definition requires."""
    channels = [[256, 288, 288], [768] * 5, [1280, 2048, 2048]]
    return _global_pool(
        _make(
            "inceptionv3",
            "InceptionV3",
            channels=channels,
            init_block_channels=192,
            b_mid_channels=[128, 160, 160, 192],
        )
    )


def _shufflenetv2() -> nn.Module:
    return _global_pool(
        _make(
            "shufflenetv2",
            "ShuffleNetV2",
            channels=[[8, 8], [16, 16]],
            init_block_channels=8,
            final_block_channels=16,
        )
    )


def _regnet() -> nn.Module:
    channels = [[8, 8], [16, 16]]
    return _make("regnet", "RegNet", channels=channels, init_block_channels=8, groups=[2, 4], use_se=True)


# Functions that build a network, with the rows and columns of its images.
_NETWORKS: Mapping[str, tuple[Callable[[], nn.Module], int]] = {
    "alexnet": (_alexnet, 224),
    "vgg16": (_vgg16, 224),
    "bn_vgg16": (lambda: _vgg16(use_bn=True, bias=False), 224),
    "resnet18": (lambda: _resnet([[4, 4], [6, 6], [8, 8], [8]], bottleneck=False), 64),
    "resnet50": (lambda: _resnet([[8, 8], [16, 16], [16]], bottleneck=True), 64),
    "resnext50_32x4d": (_resnext, 64),
    "densenet121": (_densenet, 64),
    "squeezenet_v1_1": (_squeezenet, 64),
    "mobilenetv2_w1": (_mobilenetv2, 64),
    "mobilenetv3_small_w1": (_mobilenetv3, 64),
    "efficientnet_b0": (_efficientnet, 64),
    "inceptionv3": (_inceptionv3, 75),
    "shufflenetv2_wd2": (_shufflenetv2, 64),
    "regnety004": (_regnet, 64),
}

NAMES = tuple(_NETWORKS)


def narrow_convnet(name: str) -> tuple[nn.Module, int]:
    """Return a network with random weights, and the rows and columns of its images."""
    create, size = _NETWORKS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return randomise(create()), size
