"""Plans of a scan: defaults and limits."""

import pytest

from zfscope.errors import InputError, NotFound
from zfscope.networks import NetworkSpec
from zfscope.networks.layers import Flatten, Linear
from zfscope.scan import ScanPlan, plan_scan


def test_the_default_is_the_papers_top_9_of_every_convolution(spec: NetworkSpec) -> None:
    assert plan_scan(spec) == ScanPlan(("conv1", "conv2"), top=9, rank="max")


def test_layers_are_deduplicated_in_the_order_of_evaluation(spec: NetworkSpec) -> None:
    assert plan_scan(spec, ["fc3", "conv1", "fc3"]).layers == ("conv1", "fc3")


def test_an_unknown_layer_is_reported_with_the_available_ones(spec: NetworkSpec) -> None:
    with pytest.raises(NotFound, match=r"layer 'conv9' not found; available: conv1, .*, fc4") as caught:
        plan_scan(spec, ["conv1", "conv9"])
    assert caught.value.field == "layers"


@pytest.mark.parametrize("top", [0, -1, 257])
def test_a_top_out_of_range_is_rejected(spec: NetworkSpec, top: int) -> None:
    with pytest.raises(InputError, match=f"top is {top}; allowed: 1 to 256") as caught:
        plan_scan(spec, top=top)
    assert caught.value.field == "top"


def test_a_model_without_convolutions_has_no_default_layers() -> None:
    layers = (Flatten(name="flatten"), Linear(name="fc1", units=2))
    with pytest.raises(InputError, match="the model has no convolutional layers; name the layers"):
        plan_scan(NetworkSpec(name="flat", input_size=4, layers=layers))
