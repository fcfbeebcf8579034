"""How the GPU multiplies float32 values: one precision for the whole process, by torch's switch for TF32."""

import subprocess
import sys

import pytest
import torch

from zfscope.errors import RuntimeUnavailable
from zfscope.networks import Network, build, zfnet
from zfscope.networks.gpu import gpu_precision, select_gpu_precision, temporary_gpu_precision
from zfscope.networks.network import on_device

pytestmark = pytest.mark.usefixtures("unused_gpu")


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    """A network that claims to move to any device."""
    monkeypatch.setattr(Network, "to", lambda self, target: self)
    return build(zfnet(classes=2, hidden=2))


def switches() -> tuple[bool, bool]:
    """Return whether torch allows TF32 in convolutions and in matrix products."""
    return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


@pytest.mark.parametrize(
    ("precision", "allowed"), [(None, False), ("float32", False), ("bfloat16", False), ("tf32", True)]
)
def test_moving_to_cuda_sets_the_switch_to_the_selected_precision(
    network: Network, precision: str | None, allowed: bool
) -> None:
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = not allowed
    if precision:
        select_gpu_precision(precision)
    assert on_device(network, "cuda") is network
    assert switches() == (allowed, allowed)


def test_moving_to_the_cpu_leaves_the_switch_and_selects_nothing(network: Network) -> None:
    before = switches()
    on_device(network, "cpu")
    assert switches() == before
    select_gpu_precision("tf32")


@pytest.mark.parametrize(
    ("first", "other", "selected"),
    [("float32", "tf32", "float32"), ("bfloat16", "tf32", "float32"), ("tf32", "float32", "tf32")],
)
def test_the_first_precision_stays_and_another_is_refused(first: str, other: str, selected: str) -> None:
    select_gpu_precision(first)
    select_gpu_precision(first)
    message = (
        f"precision {other} is not available in this process: it computes in {selected} on the GPU, and "
        "float32 and tf32 cannot be mixed there; use another process"
    )
    with pytest.raises(RuntimeUnavailable, match=message) as caught:
        select_gpu_precision(other)
    assert caught.value.field == "precision"
    assert gpu_precision() == selected


def test_float32_is_selected_by_moving_a_network(network: Network) -> None:
    on_device(network, "cuda")
    with pytest.raises(RuntimeUnavailable, match="it computes in float32 on the GPU"):
        select_gpu_precision("tf32")


def test_a_temporary_precision_ends(network: Network) -> None:
    on_device(network, "cuda")
    with temporary_gpu_precision("tf32"):
        assert (gpu_precision(), switches()) == ("tf32", (True, True))
    assert (gpu_precision(), switches()) == ("float32", (False, False))


def test_a_precision_is_selected_without_importing_torch() -> None:
    code = """
import sys
from zfscope.networks.gpu import select_gpu_precision
select_gpu_precision("float32")
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
