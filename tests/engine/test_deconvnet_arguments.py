"""Invalid arguments of `project`."""

import pytest

from zfscope.engine import Trace, Unit, project
from zfscope.errors import InputError, NotFound
from zfscope.networks import Network


def test_an_unknown_layer_is_rejected_with_the_available_ones(
    tiny_network: Network, tiny_trace: Trace
) -> None:
    with pytest.raises(
        NotFound, match=r"layer 'conv9' not found; available: conv1, relu1, .*, fc8 \.\.\. and 5 more"
    ) as caught:
        project(tiny_network, tiny_trace, "conv9", [Unit(0, 0)])
    assert caught.value.field == "layer"


def test_the_input_is_not_a_layer(tiny_network: Network, tiny_trace: Trace) -> None:
    with pytest.raises(NotFound, match="layer 'input' not found"):
        project(tiny_network, tiny_trace, "input", [Unit(0, 0)])


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"rule": "lrp"}, "rule = 'lrp' is invalid; allowed: deconvnet, guided, gradient"),
        ({"normalisation": "keep"}, "normalisation = 'keep' is invalid; allowed: skip, gradient"),
    ],
)
def test_an_invalid_option_is_rejected_with_the_allowed_ones(
    option: dict[str, str], message: str, tiny_network: Network, tiny_trace: Trace
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        project(tiny_network, tiny_trace, "conv3", [Unit(0, 0)], **option)  # type: ignore[arg-type]  # expected to fail
    assert caught.value.field == next(iter(option))


def test_units_out_of_range_and_empty_seeds_are_rejected(tiny_network: Network, tiny_trace: Trace) -> None:
    with pytest.raises(NotFound, match=r"no unit with map = 8 in layer 'conv3'; allowed: 0 to 7"):
        project(tiny_network, tiny_trace, "conv3", [Unit(0, 8)])
    with pytest.raises(NotFound, match=r"no unit with x = 3 in layer 'conv3'; allowed: 0 to 2"):
        project(tiny_network, tiny_trace, "conv3", [Unit(0, 0, 0, 3)])
    with pytest.raises(InputError, match="no units to project"):
        project(tiny_network, tiny_trace, "conv3", [])
