"""Moving networks to devices."""

import pytest
import torch

from zfscope.networks import Network, build, zfnet
from zfscope.networks.network import on_device


@pytest.fixture
def network() -> Network:
    return build(zfnet(classes=2, hidden=2))


@pytest.mark.parametrize(("device", "tf32"), [("cpu", True), ("cuda", False)])
def test_moving_to_cuda_disables_tf32(
    network: Network, monkeypatch: pytest.MonkeyPatch, device: str, tf32: bool
) -> None:
    moved: list[str] = []
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    monkeypatch.setattr(Network, "to", lambda self, target: moved.append(target) or self)
    assert on_device(network, device) is network
    assert moved == [device]
    assert torch.backends.cudnn.allow_tf32 is tf32
