"""torchvision's AlexNet: every layer matches a torch module with its layers and names."""

import torch
from torch import Tensor, nn

from tests.store.importing.conftest import Outputs, assert_layers_agree, photos, seeded
from zfscope.store.importing.torchvision_alexnet import NAMES, torchvision_alexnet

REFERENCE_NAMES = {
    **NAMES,
    "relu1": "features.1",
    "pool1": "features.2",
    "relu2": "features.4",
    "pool2": "features.5",
    "relu5": "features.11",
    "pool5": "avgpool",
    "relu6": "classifier.2",
    "relu7": "classifier.5",
}


class AlexNet(nn.Module):
    """Return torchvision's `alexnet` module, with narrower fully connected layers."""

    def __init__(self, *, classes: int = 5, hidden: int = 32) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(192, 384, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2)),
        )
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        self.classifier = nn.Sequential(
            *(nn.Dropout(), nn.Linear(256 * 6 * 6, hidden), nn.ReLU()),
            *(nn.Dropout(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, classes)),
        )

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.classifier(self.avgpool(self.features(images)).flatten(1))
        return scores


def test_every_layer_matches_torchvision() -> None:
    reference = seeded(AlexNet())
    imported = torchvision_alexnet(reference.state_dict())
    outputs, images = Outputs(reference, REFERENCE_NAMES), photos(224)
    with torch.no_grad():
        reference(images)
    assert_layers_agree(imported.network, images, outputs.by_layer)
    assert imported.classes == 5
