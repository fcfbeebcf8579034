"""What a network runs on."""

import pytest
import torch

from zfscope.networks import Network, build, zfnet
from zfscope.networks.network import on_device


@pytest.fixture
def network() -> Network:
    return build(zfnet(classes=2, hidden=2))


@pytest.mark.parametrize(("device", "rounded"), [("cpu", True), ("cuda", False)])
def test_on_cuda_convolutions_read_all_bits(
    network: Network, monkeypatch: pytest.MonkeyPatch, device: str, rounded: bool
) -> None:
    moved: list[str] = []
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    monkeypatch.setattr(Network, "to", lambda self, there: moved.append(there) or self)
    assert on_device(network, device) is network
    assert moved == [device]
    assert torch.backends.cudnn.allow_tf32 is rounded
