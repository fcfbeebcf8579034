"""Names and results of modules of common designs, exported by both of torch's exporters."""

import pytest
import torch
from torch import Tensor, nn

from tests.support.onnx_exports import EXPORTERS, export, randomise
from tests.support.onnx_graphs import import_graph


class Block(nn.Module):
    """A residual block whose ReLU is applied twice, as in torchvision."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if inputs != outputs:
            shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        y += shortcut
        return self.relu(y)


class ResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = nn.Sequential(Block(4, 4), Block(4, 4))
        self.layer2 = nn.Sequential(Block(4, 6, 2))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return self.fc(torch.flatten(self.avgpool(self.layer2(self.layer1(x))), 1))


RESNET_LAYERS = """conv1 relu maxpool
    layer1.0.conv1 layer1.0.relu layer1.0.conv2 layer1.0.add layer1.0.relu_1
    layer1.1.conv1 layer1.1.relu layer1.1.conv2 layer1.1.add layer1.1.relu_1
    layer2.0.downsample.0 layer2.0.conv1 layer2.0.relu layer2.0.conv2 layer2.0.add layer2.0.relu_1
    avgpool flatten fc"""


class AlexNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 4, 7, 4, 2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(4, 6, 5, 1, 2),
            nn.ReLU(),
        )
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.classifier = nn.Sequential(
            nn.Dropout(), nn.Linear(6, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 5)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


ALEXNET_LAYERS = """features.0 features.1 features.2 features.3 features.4 avgpool flatten
    classifier.1 classifier.2 classifier.4"""


class SqueezeExcitation(nn.Module):
    def __init__(self, activation: nn.Module, gate: nn.Module) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.bn = nn.BatchNorm2d(8)
        self.act = activation
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1, self.activation = nn.Conv2d(8, 2, 1), nn.ReLU()
        self.fc2, self.scale_activation = nn.Conv2d(2, 8, 1), gate
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.bn(self.conv(x)))
        factors = self.scale_activation(self.fc2(self.activation(self.fc1(self.avgpool(x)))))
        return self.head((factors * x).mean((2, 3)))


SQUEEZE_LAYERS = """conv act.{} act avgpool fc1 activation fc2 scale_activation mul reducemean flatten
    head"""


class LinearExcitation(nn.Module):
    """Squeeze-and-excitation by fully connected layers, as in the authors' code."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Sequential(
            nn.Linear(8, 2, bias=False), nn.ReLU(inplace=True), nn.Linear(2, 8, bias=False), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        batch, maps, _, _ = x.size()
        factors = self.fc(self.avg_pool(x).view(batch, maps)).view(batch, maps, 1, 1)
        return x * factors.expand_as(x)


class Shuffle(nn.Module):
    """Halves of maps, a channel shuffle and a depthwise convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3)
        self.depthwise = nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False)
        self.bn = nn.BatchNorm2d(4)
        self.prelu = nn.PReLU(4)

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.stem(x).chunk(2, dim=1)
        x = torch.cat((left, self.prelu(self.bn(self.depthwise(right)))), dim=1)
        batch, maps, rows, columns = x.size()
        return x.view(batch, 2, maps // 2, rows, columns).transpose(1, 2).reshape(batch, maps, rows, columns)


class Branches(nn.Module):
    """Branches inside a branch, as in the last blocks of Inception-v3."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.branch1 = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 2, 1)
        self.branch2 = InnerBranches()

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return torch.cat((self.branch1(x), self.branch2(x)), dim=1)


class InnerBranches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1x3 = nn.Conv2d(6, 2, (1, 3), padding=(0, 1))
        self.conv3x1 = nn.Conv2d(6, 3, (3, 1), padding=(1, 0))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((self.conv1x3(x), self.conv3x1(x)), dim=1)


MODULES = {
    "resnet": (ResNet, RESNET_LAYERS),
    "alexnet": (AlexNet, ALEXNET_LAYERS),
    "swish": (lambda: SqueezeExcitation(nn.SiLU(), nn.Sigmoid()), SQUEEZE_LAYERS.format("sigmoid")),
    "hard swish": (
        lambda: SqueezeExcitation(nn.Hardswish(), nn.Hardsigmoid()),
        SQUEEZE_LAYERS.format("hardsigmoid"),
    ),
    "linear excitation": (LinearExcitation, "conv avg_pool fc.0 fc.1 fc.2 fc.3 mul"),
    "branches": (Branches, "stem branch1 branch2.conv1x3 branch2.conv3x1 concat"),
    "shuffle": (Shuffle, "stem select_maps depthwise prelu select_maps_1 concat select_maps_2"),
}


@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.parametrize("module", MODULES)
def test_names_are_those_of_the_modules_for_both_exporters(module: str, exporter: str) -> None:
    create, names = MODULES[module]
    torch.manual_seed(0)
    network = import_graph(export(randomise(create()), exporter))
    assert [layer.name for layer in network.spec.layers] == names.split()


@pytest.mark.parametrize("opset", [9, 13])
@pytest.mark.parametrize("module", MODULES)
def test_graphs_of_older_opsets_have_the_same_layers_with_weights(module: str, opset: int) -> None:
    create, names = MODULES[module]
    torch.manual_seed(0)
    network = import_graph(export(randomise(create()), "script", opset_version=opset))
    weighted = [layer.name for layer in network.spec.layers if layer.name in network.filters]
    assert weighted == [name for name in names.split() if name in network.filters]
