"""Filters of one network as initial filters of another."""

import pytest
import torch

from zfscope.networks import NetworkSpec, build
from zfscope.networks.layers import Conv, Flatten, Linear, ReLU
from zfscope.networks.spec import NetworkSpec as Spec
from zfscope.networks.transfer import common_layers, same_windows, transfer_filters
from zfscope.networks.windows import Padding

SAME = Padding(1, 1, 1, 1)


def spec(first: Conv, second: Conv) -> Spec:
    return NetworkSpec(name="two", input_size=16, layers=(first, ReLU(name="relu"), second))


def test_filters_are_cut_padded_and_copied_as_far_as_both_layers_have_them() -> None:
    source = build(
        spec(
            Conv(name="one", channels=2, kernel=5, padding=Padding(2, 2, 2, 2)),
            Conv(name="two", channels=3, kernel=1),
        )
    )
    own = build(
        spec(
            Conv(name="one", channels=4, kernel=3, padding=SAME),
            Conv(name="two", channels=2, kernel=3, padding=SAME),
        )
    )
    arrays = source.layers.state_dict()
    arrays["one.bias"].copy_(torch.tensor([0.5, -0.5]))
    arrays["one.weight"][1] *= 10
    transfer_filters(own, arrays, common_layers(own.spec, source.spec))
    now = own.layers.state_dict()
    assert torch.equal(now["one.weight"][:2], arrays["one.weight"][:, :, 1:4, 1:4])
    torch.testing.assert_close(now["one.weight"][2:], 0.1 * now["one.weight"][[1, 0]].flip(3))
    torch.testing.assert_close(now["one.bias"], torch.tensor([0.5, -0.5, -0.05, 0.05]))
    assert torch.equal(now["two.weight"][:, :2, 1, 1], arrays["two.weight"][:2, :, 0, 0])
    edge = now["two.weight"][:, :2].clone()
    edge[..., 1, 1] = 0
    assert not edge.any()
    assert not now["two.weight"][:, 2:].any()


def test_copied_filters_compute_the_same_and_further_ones_stay_random() -> None:
    source = build(spec(Conv(name="one", channels=2, kernel=3), Conv(name="two", channels=3, kernel=3)))
    own = build(spec(Conv(name="one", channels=5, kernel=3), Conv(name="two", channels=4, kernel=3)))
    before = own.layers.state_dict()["two.weight"][3].clone()
    transfer_filters(own, source.layers.state_dict(), common_layers(own.spec, source.spec))
    images = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(own(images)[:, :3], source(images))
    assert torch.equal(own.layers.state_dict()["two.weight"][3], before)


def test_a_network_of_the_same_form_computes_the_same() -> None:
    form = spec(Conv(name="one", channels=4, kernel=3), Conv(name="two", channels=5, kernel=3, stride=2))
    source, own = build(form), build(form)
    transfer_filters(own, source.layers.state_dict(), common_layers(form, form))
    images = torch.randn(2, 3, 16, 16)
    assert torch.equal(own(images), source(images))


def test_layers_of_other_kinds_and_grouped_ones_are_not_common() -> None:
    source = spec(Conv(name="one", channels=6, kernel=3), Conv(name="two", channels=6, kernel=3, groups=3))
    layers = (
        Conv(name="one", channels=6, kernel=3),
        Conv(name="two", channels=6, kernel=3),
        Flatten(name="flatten"),
        Linear(name="three", units=2),
    )
    assert common_layers(Spec(name="own", input_size=16, layers=layers), source) == {"one"}


@pytest.mark.parametrize(
    ("layer", "same"),
    [
        (Conv(name="one", channels=9, kernel=3, stride=2), True),
        (Conv(name="one", channels=4, kernel=5, stride=2), False),
        (Conv(name="one", channels=4, kernel=3), False),
        (Conv(name="other", channels=4, kernel=3, stride=2), False),
        (ReLU(name="relu"), False),
    ],
)
def test_windows_are_the_same_if_kernel_and_stride_are(layer: Conv | ReLU, same: bool) -> None:
    source = spec(Conv(name="one", channels=4, kernel=3, stride=2), Conv(name="two", channels=4, kernel=3))
    assert same_windows(layer, source) is same
