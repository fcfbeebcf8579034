"""EfficientNet-Lite0 from a state dict, compared with a definition in torch with batch normalisation."""

import io
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.store.importing.conftest import assert_layers_agree, photos
from zfscope.store.fetching.efficientnet_lite import efficientnet_lite_weights, read_state_dict

# Kernel, stride, expansion and maps of each block, and the maps of its input.
BLOCKS = (
    *[(3, 1, 1, 32, 16)],
    *[(3, 2, 6, 16, 24), (3, 1, 6, 24, 24)],
    *[(5, 2, 6, 24, 40), (5, 1, 6, 40, 40)],
    *[(3, 2, 6, 40, 80), (3, 1, 6, 80, 80), (3, 1, 6, 80, 80)],
    *[(5, 1, 6, 80, 112), (5, 1, 6, 112, 112), (5, 1, 6, 112, 112)],
    *[(5, 2, 6, 112, 192), (5, 1, 6, 192, 192), (5, 1, 6, 192, 192), (5, 1, 6, 192, 192)],
    (3, 1, 6, 192, 320),
)


class SameConv(nn.Conv2d):
    """Convolution with TensorFlow's padding, and batch normalisation under the name of the package."""

    def forward(self, x: Tensor) -> Tensor:
        size, kernel, stride = x.shape[-1], self.kernel_size[0], self.stride[0]
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        before, after = total // 2, total - total // 2
        return self._conv_forward(F.pad(x, (before, after, before, after)), self.weight, self.bias)


def conv(maps_in: int, maps_out: int, kernel: int, stride: int = 1, groups: int = 1) -> SameConv:
    return SameConv(maps_in, maps_out, kernel, stride, bias=False, groups=groups)


def norm(maps: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(maps, eps=1e-3)


class Block(nn.Module):
    def __init__(self, kernel: int, stride: int, expansion: int, maps_in: int, maps_out: int) -> None:
        super().__init__()
        wide = maps_in * expansion
        self.skips = stride == 1 and maps_in == maps_out
        if expansion > 1:
            self._expand_conv, self._bn0 = conv(maps_in, wide, 1), norm(wide)
        self._depthwise_conv, self._bn1 = conv(wide, wide, kernel, stride, groups=wide), norm(wide)
        self._project_conv, self._bn2 = conv(wide, maps_out, 1), norm(maps_out)

    def forward(self, x: Tensor) -> Tensor:
        y = x
        if hasattr(self, "_expand_conv"):
            y = F.relu6(self._bn0(self._expand_conv(y)))
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.skips else y


class Reference(nn.Module):
    """The network with the names of the package's state dict."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = conv(3, 32, 3, 2), norm(32)
        self._blocks = nn.ModuleList([Block(*block) for block in BLOCKS])
        self._conv_head, self._bn1 = conv(320, 1280, 1), norm(1280)
        self._fc = nn.Linear(1280, classes)

    def outputs(self, x: Tensor) -> Mapping[str, Tensor]:
        """Return outputs by layer name of the store."""
        known = {"stem.relu6": F.relu6(self._bn0(self._conv_stem(x)))}
        x = known["stem.relu6"]
        for number, block in enumerate(self._blocks):
            x = block(x)
            known[f"blocks.{number}.{'add' if block.skips else 'project'}"] = x
        known["head.relu6"] = F.relu6(self._bn1(self._conv_head(x)))
        known["scores"] = self._fc(known["head.relu6"].mean((2, 3)))
        return known


@pytest.fixture
def reference() -> Reference:
    torch.manual_seed(0)
    module = Reference(classes=5).eval()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1)  # type: ignore[union-attr]  # typed as optional
            part.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]  # as above
            part.weight.data.uniform_(0.8, 1.4)
            part.bias.data.normal_(0, 0.2)
    return module


def state_of(module: nn.Module) -> bytes:
    buffer = io.BytesIO()
    torch.save(module.state_dict(), buffer)
    return buffer.getvalue()


def test_every_block_matches_the_reference(reference: Reference) -> None:
    imported = efficientnet_lite_weights(read_state_dict(state_of(reference)))
    assert imported.classes == 5
    images = photos(224, 1)
    with torch.no_grad():
        assert_layers_agree(imported.network, images, reference.outputs(images))


def test_photos_are_resampled_by_a_bicubic_filter(reference: Reference) -> None:
    steps = efficientnet_lite_weights(read_state_dict(state_of(reference))).preprocessing
    assert (steps.interpolation, steps.short_side, steps.crop) == ("bicubic", 256, 224)
    assert (steps.mean, steps.std) == ((127.0,) * 3, (128.0,) * 3)


def test_a_missing_tensor_is_named(reference: Reference) -> None:
    tensors = dict(read_state_dict(state_of(reference)))
    del tensors["_blocks.3._bn1.running_var"]
    with pytest.raises(ValueError, match=r"^tensor '_blocks\.3\._bn1\.running_var' is missing$"):
        efficientnet_lite_weights(tensors)


@pytest.mark.parametrize("data", [b"", b"PK", b"weights"])
def test_other_files_are_rejected(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a state dict that can be read without running code"):
        read_state_dict(data)


def test_a_pickled_module_is_rejected(reference: Reference) -> None:
    buffer = io.BytesIO()
    torch.save(reference, buffer)
    with pytest.raises(ValueError, match="not a state dict that can be read without running code"):
        read_state_dict(buffer.getvalue())
