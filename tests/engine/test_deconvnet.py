"""The deconvnet, by the defects that others have: each test says which of them must not be here.

The oracle is autograd over torch's own layers, with the backward of ReLU replaced (conftest.py).
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import pytest
import torch
from torch import Tensor

from zfscope.engine import Maps, Seed, Trace, Unit, project, receptive_fields, strongest_units, trace
from zfscope.engine.backward import Normalisation, Rule
from zfscope.engine.deconvnet import BATCH_VALUES
from zfscope.errors import InputError, NotFound
from zfscope.networks import Network

NETWORKS = ["tiny", "branchy"]
RULES: list[Rule] = ["deconvnet", "guided", "gradient"]
NORMALISATIONS: list[Normalisation] = ["skip", "gradient"]
MixedSeeds = Callable[[Trace, str], list[Seed]]


def given(request: pytest.FixtureRequest, name: str) -> tuple[Network, Tensor, Trace]:
    parts = ("network", "images", "trace")
    network, images, seen = (request.getfixturevalue(f"{name}_{part}") for part in parts)
    return network, images, seen


def layers(network: Network) -> list[str]:
    return [layer.name for layer in network.spec.layers]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_a_projection_of_any_layer_is_what_autograd_gives_with_relus_backward_replaced(
    name: str,
    rule: Rule,
    normalisation: Normalisation,
    request: pytest.FixtureRequest,
    by_autograd: Callable[..., Tensor],
    mixed_seeds: MixedSeeds,
) -> None:
    """Defects 1, 2, 3, 6, 8 in one: units, whole maps, fully connected units, class scores, two images."""
    network, images, seen = given(request, name)
    for layer in layers(network):
        seeds = mixed_seeds(seen, layer)
        pixels = project(network, seen, layer, seeds, rule=rule, normalisation=normalisation)
        expected = by_autograd(network, images, layer, seeds, rule=rule, normalisation=normalisation)
        torch.testing.assert_close(pixels, expected, rtol=1e-9, atol=1e-12, msg=layer)


@pytest.mark.parametrize("rule", RULES)
def test_zfnet_in_its_full_size_gives_what_autograd_gives(
    rule: Rule,
    narrow_zfnet: Network,
    images_for: Callable[..., Tensor],
    by_autograd: Callable[..., Tensor],
    mixed_seeds: MixedSeeds,
) -> None:
    images = images_for(narrow_zfnet)
    seen = trace(narrow_zfnet, images)
    for layer in ("conv2", "conv5", "fc8"):
        seeds = mixed_seeds(seen, layer)
        expected = by_autograd(narrow_zfnet, images, layer, seeds, rule=rule)
        pixels = project(narrow_zfnet, seen, layer, seeds, rule=rule)
        torch.testing.assert_close(pixels, expected, rtol=1e-9, atol=1e-12, msg=layer)


def windowed_and_full(network: Network, seen: Trace, layer: str, units: list[Seed], rule: Rule) -> None:
    """Compare a walk inside the receptive fields with one over the full maps, which a whole map forces."""
    inside = project(network, seen, layer, units, rule=rule, normalisation="gradient")
    full = project(network, seen, layer, [*units, Maps(0, (0,))], rule=rule, normalisation="gradient")[:-1]
    torch.testing.assert_close(inside, full, rtol=1e-9, atol=1e-12, msg=layer)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("rule", RULES)
def test_a_walk_inside_the_receptive_field_gives_what_the_full_walk_gives_for_every_unit(
    name: str, rule: Rule, request: pytest.FixtureRequest
) -> None:
    network, _, seen = given(request, name)
    for layer in layers(network):
        shape = seen.outputs[layer].shape
        if len(shape) == 4:
            places = product(range(shape[2]), range(shape[3]))
            units: list[Seed] = [
                Unit(place % 2, place % shape[1], y, x) for place, (y, x) in enumerate(places)
            ]
            windowed_and_full(network, seen, layer, units, rule)


@pytest.mark.parametrize("layer", ["conv1", "pool1", "conv2", "pool2", "conv3", "conv4", "conv5", "pool5"])
def test_zfnets_corners_edges_and_middle_give_what_the_full_walk_gives(
    layer: str, narrow_zfnet: Network, images_for: Callable[..., Tensor]
) -> None:
    seen = trace(narrow_zfnet, images_for(narrow_zfnet, 1))
    last = seen.outputs[layer].shape[2] - 1
    places = product((0, 1, last // 2, last), repeat=2)
    windowed_and_full(narrow_zfnet, seen, layer, [Unit(0, 1, y, x) for y, x in places], "deconvnet")


@pytest.mark.parametrize("name", NETWORKS)
def test_nothing_is_projected_outside_of_the_receptive_field(
    name: str, request: pytest.FixtureRequest
) -> None:
    network, _, seen = given(request, name)
    for layer, field in receptive_fields(network.spec).items():
        if layer != "input" and seen.outputs[layer].dim() == 4:
            last = seen.outputs[layer].shape[2] - 1
            for y, x in product((0, last // 2, last), repeat=2):
                (pixels,) = project(network, seen, layer, [Unit(0, 0, y, x)])
                left, top, right, bottom = field.box(y, x)
                pixels[:, max(top, 0) : bottom, max(left, 0) : right] = 0
                assert not pixels.any(), layer


def test_one_seed_gives_the_same_alone_and_among_many(tiny_network: Network, tiny_trace: Trace) -> None:
    units = [unit for image in (0, 1) for unit in strongest_units(tiny_trace, "conv3", image, 8)]
    together = project(tiny_network, tiny_trace, "conv3", units)
    alone = torch.cat([project(tiny_network, tiny_trace, "conv3", [unit]) for unit in units])
    torch.testing.assert_close(together, alone, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("values", [1, 1000])
def test_seeds_that_go_down_in_parts_give_the_same_in_the_same_order(
    name: str,
    values: int,
    request: pytest.FixtureRequest,
    mixed_seeds: MixedSeeds,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network, _, seen = given(request, name)
    units = [
        unit for unit in mixed_seeds(seen, "norm1" if name == "tiny" else "both") if isinstance(unit, Unit)
    ]
    layer = "norm1" if name == "tiny" else "both"
    at_once = project(network, seen, layer, units)
    monkeypatch.setitem(BATCH_VALUES, "cpu", values)  # type: ignore[misc]  # a dict, made smaller for the test
    torch.testing.assert_close(project(network, seen, layer, units), at_once, rtol=1e-12, atol=1e-14)


def test_seeds_of_one_image_are_the_same_in_whichever_place_of_the_trace_it_is(
    tiny_network: Network, tiny_images: Tensor, tiny_trace: Trace
) -> None:
    alone = trace(tiny_network, tiny_images[1:])
    expected = project(tiny_network, alone, "conv3", [Unit(0, 2, 1, 1), Maps(0, (3,))])
    pixels = project(tiny_network, tiny_trace, "conv3", [Unit(1, 2, 1, 1), Maps(1, (3,))])
    torch.testing.assert_close(pixels, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("rule", RULES)
def test_a_zero_seed_gives_an_image_of_exact_zeros(
    name: str, rule: Rule, request: pytest.FixtureRequest
) -> None:
    """Defect 5: transposed filters that add biases."""
    network, _, seen = given(request, name)
    for layer in layers(network):
        silent = Trace({**seen.outputs, layer: torch.zeros_like(seen.outputs[layer])}, seen.switches)
        seeds: list[Seed] = [Unit(0, 1), Maps(1, (0, 1))]
        assert not project(network, silent, layer, seeds, rule=rule).any(), layer
        assert not project(network, seen, layer, [Maps(0, ())], rule=rule).any(), layer


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("rule", RULES)
def test_biases_change_nothing_on_the_way_down(
    name: str, rule: Rule, request: pytest.FixtureRequest, mixed_seeds: MixedSeeds
) -> None:
    """Defect 5, with the trace of the network as it was."""
    network, _, seen = given(request, name)
    seeds = {layer: mixed_seeds(seen, layer) for layer in layers(network)}
    before = {layer: project(network, seen, layer, seeds[layer], rule=rule) for layer in seeds}
    for filters in network.filters.values():
        filters.bias.normal_(0, 10)
    for layer, expected in before.items():
        assert torch.equal(project(network, seen, layer, seeds[layer], rule=rule), expected), layer


@pytest.mark.parametrize("rule", RULES)
def test_a_projection_starts_from_the_activation_itself(
    rule: Rule, tiny_network: Network, tiny_trace: Trace
) -> None:
    """Defect 7: a seed of 1 loses how strong the units are beside each other."""
    units = strongest_units(tiny_trace, "conv3", 0, 3)
    threefold = Trace({**tiny_trace.outputs, "conv3": tiny_trace.outputs["conv3"] * 3}, tiny_trace.switches)
    pixels = project(tiny_network, tiny_trace, "conv3", units, rule=rule)
    torch.testing.assert_close(project(tiny_network, threefold, "conv3", units, rule=rule), pixels * 3)


def test_a_seed_before_the_rectification_is_not_one_after_it(
    tiny_network: Network, tiny_trace: Trace
) -> None:
    """Defect 7: conv3 is seeded with what may be negative, relu3 with what is not."""
    place = (tiny_trace.outputs["conv3"][0, 0] < 0).nonzero()[0].tolist()
    unit = Unit(0, 0, *place)
    assert project(tiny_network, tiny_trace, "conv3", [unit]).any()
    assert not project(tiny_network, tiny_trace, "relu3", [unit]).any()


def test_pixels_are_signed(tiny_network: Network, tiny_trace: Trace) -> None:
    """Defect 3: no rectification at the pixels."""
    pixels = project(tiny_network, tiny_trace, "conv3", strongest_units(tiny_trace, "conv3", 0, 3))
    assert pixels.min() < 0 < pixels.max()


def test_the_rules_differ_and_gradients_ignore_the_signs_of_the_signal(
    tiny_network: Network, tiny_trace: Trace
) -> None:
    """Defect 3: rectification in the classifier too, not on feature maps alone."""
    deconvnet, guided, gradient = (
        project(tiny_network, tiny_trace, "fc8", [Unit(0, 1)], rule=rule) for rule in RULES
    )
    assert not torch.allclose(deconvnet, guided)
    assert not torch.allclose(guided, gradient)


def test_contrast_normalisation_is_skipped_unless_asked_for(tiny_network: Network, tiny_trace: Trace) -> None:
    """Defect 8."""
    seeds = strongest_units(tiny_trace, "conv3", 0, 3)
    skipped = project(tiny_network, tiny_trace, "conv3", seeds)
    assert torch.equal(skipped, project(tiny_network, tiny_trace, "conv3", seeds, normalisation="skip"))
    assert not torch.allclose(
        skipped, project(tiny_network, tiny_trace, "conv3", seeds, normalisation="gradient")
    )


def test_a_trace_that_ends_at_the_layer_is_enough(
    tiny_network: Network, tiny_images: Tensor, tiny_trace: Trace
) -> None:
    short = trace(tiny_network, tiny_images, until="conv3")
    units = strongest_units(short, "conv3", 1, 4)
    assert torch.equal(
        project(tiny_network, short, "conv3", units), project(tiny_network, tiny_trace, "conv3", units)
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_float32_gives_what_float64_gives(
    name: str, request: pytest.FixtureRequest, mixed_seeds: MixedSeeds
) -> None:
    network, images, seen = given(request, name)
    layer = layers(network)[-1]
    seeds = mixed_seeds(seen, layer)
    expected = project(network, seen, layer, seeds)
    network = network.float()
    pixels = project(network, trace(network, images.float()), layer, seeds)
    assert pixels.dtype == torch.float32
    torch.testing.assert_close(pixels.double(), expected, rtol=1e-4, atol=float(expected.abs().max()) * 1e-5)


def test_sixteen_threads_at_once_give_what_one_gives(
    branchy_network: Network, images_for: Callable[..., Tensor]
) -> None:
    """Defect 4: hooks on a shared module make two requests interfere."""
    start = threading.Barrier(16)

    def request(number: int, *, wait: bool) -> Tensor:
        images = images_for(branchy_network, 1, seed=number)
        if wait:
            start.wait()
        seen = trace(branchy_network, images)
        layer = ("both", "sum", "scores", "joined")[number % 4]
        units = strongest_units(seen, layer, 0, 3)
        return project(branchy_network, seen, layer, units, rule=RULES[number % 3])

    expected = [request(number, wait=False) for number in range(16)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda number: request(number, wait=True), range(16)))
    for answer, right in zip(answers, expected, strict=True):
        torch.testing.assert_close(answer, right, rtol=1e-12, atol=1e-14)


def test_nothing_is_left_on_the_module_or_in_the_trace(
    tiny_network: Network, tiny_images: Tensor, mixed_seeds: MixedSeeds
) -> None:
    """Defect 4: no hooks, no change to the model; a trace is a value."""
    state = {key: value.clone() for key, value in tiny_network.state_dict().items()}
    kept = [dict(vars(module)) for module in tiny_network.modules()]
    seen = trace(tiny_network, tiny_images)
    recorded = {name: output.clone() for name, output in (seen.outputs | seen.switches).items()}  # type: ignore[operator]  # both are dicts
    for rule, layer in product(RULES, layers(tiny_network)):
        project(tiny_network, seen, layer, mixed_seeds(seen, layer), rule=rule, normalisation="gradient")
    assert [dict(vars(module)) for module in tiny_network.modules()] == kept
    assert not any(module._forward_hooks or module._backward_hooks for module in tiny_network.modules())
    for key, value in tiny_network.state_dict().items():
        assert torch.equal(value, state[key]), key
    for name, output in (seen.outputs | seen.switches).items():  # type: ignore[operator]  # both are dicts
        assert torch.equal(output, recorded[name]), name


def test_weights_that_want_gradients_get_none(tiny_network: Network, tiny_images: Tensor) -> None:
    tiny_network.requires_grad_(True)
    pixels = project(tiny_network, trace(tiny_network, tiny_images), "fc8", [Unit(0, 0)])
    assert not pixels.requires_grad
    assert all(parameter.grad is None for parameter in tiny_network.parameters())


def test_an_unknown_layer_is_refused_with_the_names_there_are(
    tiny_network: Network, tiny_trace: Trace
) -> None:
    with pytest.raises(
        NotFound, match=r"layer 'conv9' not found; available: conv1, relu1, pool1, .*, fc8"
    ) as caught:
        project(tiny_network, tiny_trace, "conv9", [Unit(0, 0)])
    assert caught.value.field == "layer"


def test_the_image_itself_is_no_layer_to_project(tiny_network: Network, tiny_trace: Trace) -> None:
    with pytest.raises(NotFound, match="layer 'input' not found"):
        project(tiny_network, tiny_trace, "input", [Unit(0, 0)])


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"rule": "lrp"}, "rule = 'lrp' is invalid; allowed: deconvnet, guided, gradient"),
        ({"normalisation": "keep"}, "normalisation = 'keep' is invalid; allowed: skip, gradient"),
    ],
)
def test_an_unknown_option_is_refused_with_what_is_allowed(
    option: dict[str, str], message: str, tiny_network: Network, tiny_trace: Trace
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        project(tiny_network, tiny_trace, "conv3", [Unit(0, 0)], **option)  # type: ignore[arg-type]  # what the test is about
    assert caught.value.field == next(iter(option))


def test_units_out_of_range_and_no_seeds_are_refused(tiny_network: Network, tiny_trace: Trace) -> None:
    with pytest.raises(NotFound, match=r"no unit with map = 8 in layer 'conv3'; map runs from 0 to 7"):
        project(tiny_network, tiny_trace, "conv3", [Unit(0, 8)])
    with pytest.raises(NotFound, match=r"no unit with x = 3 in layer 'conv3'; x runs from 0 to 2"):
        project(tiny_network, tiny_trace, "conv3", [Unit(0, 0, 0, 3)])
    with pytest.raises(InputError, match="no units to project"):
        project(tiny_network, tiny_trace, "conv3", [])


@pytest.mark.gpu
@pytest.mark.parametrize("name", NETWORKS)
def test_a_gpu_gives_what_the_cpu_gives(
    name: str, request: pytest.FixtureRequest, mixed_seeds: MixedSeeds
) -> None:
    network, images, seen = given(request, name)
    seeds = {layer: mixed_seeds(seen, layer) for layer in layers(network)}
    expected = {
        (layer, rule): project(network, seen, layer, seeds[layer], rule=rule, normalisation="gradient")
        for layer, rule in product(seeds, RULES)
    }
    network = network.cuda()
    seen = trace(network, images.cuda())
    for (layer, rule), right in expected.items():
        pixels = project(network, seen, layer, seeds[layer], rule=rule, normalisation="gradient")
        assert pixels.is_cuda
        torch.testing.assert_close(pixels.cpu(), right, rtol=1e-9, atol=1e-12, msg=layer)
