"""Captions and warnings about the backward rules on a given network."""

import pytest
import torch

from zfscope.engine import Unit, project, trace
from zfscope.networks import NetworkSpec, build
from zfscope.networks.layer import Layer
from zfscope.networks.layers import Activation, Clip, Conv, LocalResponseNorm, MaxPool, Multiply, ReLU
from zfscope_analyzers.rules import gradients_caption, photo_notices

FIRST, SECOND = Conv(name="conv1", channels=4, kernel=3), Conv(name="conv2", channels=4, kernel=3)
RELU, RELU6 = ReLU(name="relu"), Clip(name="relu6")
GATE = (Activation(name="gate", function="sigmoid"), Multiply(name="gated", inputs=("relu", "gate")))


def network(*between: Layer) -> NetworkSpec:
    """Return a network with layers between two convolutions."""
    return NetworkSpec(name="net", input_size=12, layers=(FIRST, *between, SECOND))


def test_the_caption_counts_the_layers_that_are_passed_by_their_gradient() -> None:
    spec = NetworkSpec(
        name="swish",
        input_size=8,
        layers=(
            Conv(name="conv1", channels=2, kernel=3),
            Activation(name="gate", function="sigmoid"),
            Multiply(name="swish", inputs=("conv1", "gate")),
            Conv(name="conv2", channels=2, kernel=3),
        ),
    )
    assert gradients_caption(spec, "conv1") == ""
    assert gradients_caption(spec, "gate") == "; of 1 other activation or product: gradient"
    assert gradients_caption(spec, "conv2") == "; of 2 other activations or products: gradient"


def differ_between_photos(spec: NetworkSpec, rule: str, normalisation: str) -> bool:
    """Return whether the pattern of a unit's projection, without its scale, differs between two photos."""
    generator = torch.Generator().manual_seed(0)
    known = build(spec, generator=generator).requires_grad_(False)
    known.filters["conv2"].bias.fill_(100)  # rectifiers let through other signals if activations are negative
    patterns = []
    for _ in range(2):
        traced = trace(known, torch.rand(1, 3, 12, 12, generator=generator) * 9)
        pixels = project(
            known,
            traced,
            "conv2",
            [Unit(0, 1, 2, 2)],
            rule=rule,  # type: ignore[arg-type]
            normalisation=normalisation,  # type: ignore[arg-type]
        )
        patterns.append(pixels[0] / traced.outputs["conv2"][0, 1, 2, 2])
    return not torch.allclose(*patterns, atol=1e-5 * float(patterns[0].abs().max()))


@pytest.mark.parametrize("rule", ["deconvnet", "guided", "gradient"])
@pytest.mark.parametrize("normalisation", ["skip", "gradient"])
@pytest.mark.parametrize(
    "between",
    [
        (RELU,),
        (RELU6,),
        (RELU, MaxPool(name="pool", kernel=2, stride=2)),
        (RELU, *GATE),
        (RELU, LocalResponseNorm(name="norm", size=3, alpha=1.0)),
        (RELU, Clip(name="clip", low=-1.0, high=2.0)),
    ],
    ids=lambda layers: layers[-1].name,
)
def test_the_warning_is_given_if_projections_are_the_same_for_every_photo(
    between: tuple[Layer, ...], rule: str, normalisation: str
) -> None:
    spec = network(*between)
    notices = photo_notices(spec, "conv2", rule, normalisation)  # type: ignore[arg-type]
    assert bool(notices) != differ_between_photos(spec, rule, normalisation)
    assert all(notice.message.startswith("there is no max pooling below layer 'conv2'") for notice in notices)


def test_a_layer_below_all_rectifiers_causes_no_warning() -> None:
    assert photo_notices(network(RELU), "conv1", "deconvnet", "skip") == ()
    assert photo_notices(network(RELU), "relu", "deconvnet", "skip") == ()
