"""Seeds: the strongest units, and the signal of seeds."""

import re
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from zfscope.engine import Maps, Seed, Trace, Unit, strongest_unit, strongest_units
from zfscope.engine.seeds import activation, is_silent, ranked_maps, seed_signal
from zfscope.errors import InputError, NotFound

MAPS = torch.tensor(
    [
        [[1.0, 5.0], [5.0, 0.0]],  # two equal maxima
        [[9.0, 0.0], [0.0, 0.0]],  # the strongest unit
        [[4.0, 4.0], [4.0, 4.0]],  # the largest sum
        [[0.0, 0.0], [9.0, 0.0]],  # tied with map 1
    ]
)


def trace_of(*outputs: Tensor) -> Trace:
    return Trace({"layer": torch.stack(outputs)}, {})


def test_ties_within_a_map_resolve_to_the_first_unit_in_row_major_order() -> None:
    assert strongest_unit(trace_of(MAPS), "layer", 0, 0) == Unit(0, 0, y=0, x=1)
    assert strongest_unit(trace_of(MAPS), "layer", 0, 3) == Unit(0, 3, y=1, x=0)


def test_maps_are_ranked_by_their_strongest_unit_and_then_by_index() -> None:
    units = strongest_units(trace_of(MAPS), "layer", 0, 3)
    assert units == (Unit(0, 1, 0, 0), Unit(0, 3, 1, 0), Unit(0, 0, 0, 1))


def test_maps_are_ranked_by_their_sum_on_request() -> None:
    units = strongest_units(trace_of(MAPS), "layer", 0, 4, rank="sum")
    assert [unit.map for unit in units] == [2, 0, 1, 3]


def test_strongest_units_are_those_of_the_given_image() -> None:
    traced = trace_of(MAPS, MAPS.flip(0))
    assert strongest_units(traced, "layer", 1, 1) == (Unit(1, 0, 1, 0),)


def test_only_units_in_a_region_of_the_maps_count() -> None:
    region = (slice(1, 2), slice(0, 2))
    assert strongest_unit(trace_of(MAPS), "layer", 0, 1, region=region) == Unit(0, 1, y=1, x=0)
    assert strongest_unit(trace_of(MAPS), "layer", 0, 0, region=(slice(0, 2), slice(1, 2))) == Unit(
        0, 0, 0, 1
    )
    assert ranked_maps(trace_of(MAPS), "layer", 0, region=region) == (3, 0, 2, 1)
    assert ranked_maps(trace_of(MAPS), "layer", 0, rank="sum", region=region) == (3, 2, 0, 1)


def test_fully_connected_units_count_as_maps_of_one_position() -> None:
    traced = trace_of(torch.tensor([0.0, 3.0, 1.0, 3.0]))
    assert strongest_units(traced, "layer", 0, 3) == (Unit(0, 1), Unit(0, 3), Unit(0, 2))
    assert activation(traced, "layer", Unit(0, 2)) == 1.0


def test_an_activation_is_read_at_its_position() -> None:
    assert activation(trace_of(MAPS), "layer", Unit(0, 0, y=1, x=0)) == 5.0


def test_windows_of_single_units_have_one_position() -> None:
    signal = seed_signal(trace_of(MAPS, MAPS * 10), "layer", [Unit(0, 1, 0, 0), Unit(1, 3, 1, 0)])
    assert signal.values.flatten(1).tolist() == [[0, 9, 0, 0], [0, 0, 0, 90]]
    assert signal.origins.tolist() == [[0, 0], [1, 0]]
    assert signal.images.tolist() == [0, 1]


def test_windows_of_whole_maps_have_all_activations() -> None:
    signal = seed_signal(trace_of(MAPS), "layer", [Maps(0, (0, 3)), Unit(0, 2, 1, 1)])
    expected = MAPS.clone()
    expected[[1, 2]] = 0
    single = torch.zeros_like(MAPS)
    single[2, 1, 1] = 4
    assert torch.equal(signal.values, torch.stack([expected, single]))


def test_other_units_of_a_fully_connected_layer_are_zero() -> None:
    signal = seed_signal(trace_of(torch.tensor([1.0, 2.0, 3.0])), "layer", [Unit(0, 1), Maps(0, (0, 2))])
    assert signal.values.tolist() == [[0, 2, 0], [1, 0, 3]]


def test_an_empty_list_of_seeds_is_rejected() -> None:
    with pytest.raises(InputError, match="no units to project; specify at least one unit or map") as caught:
        seed_signal(trace_of(MAPS), "layer", [])
    assert caught.value.field == "units"


@pytest.mark.parametrize(
    ("seeds", "message", "field"),
    [
        ([Unit(0, 4, 0, 0)], "no unit with map = 4 in layer 'layer'; allowed: 0 to 3", "units[0].map"),
        ([Unit(0, 0), Unit(0, -1)], "no unit with map = -1 in layer", "units[1].map"),
        ([Unit(0, 0, y=2)], "no unit with y = 2 in layer 'layer'; allowed: 0 to 1", "units[0].y"),
        ([Unit(0, 0, x=-1)], "no unit with x = -1", "units[0].x"),
        ([Unit(1, 0)], "no unit with image = 1 in layer 'layer'; allowed: 0 to 0", "units[0].image"),
        ([Maps(0, (0, 7))], "no unit with map = 7", "units[0].map"),
    ],
)
def test_a_unit_out_of_range_is_rejected_with_the_range(
    seeds: Sequence[Seed], message: str, field: str
) -> None:
    with pytest.raises(NotFound, match=re.escape(message)) as caught:
        seed_signal(trace_of(MAPS), "layer", seeds)
    assert caught.value.field == field


def test_a_position_in_a_fully_connected_layer_is_rejected() -> None:
    with pytest.raises(NotFound, match="no unit with y = 1 in layer 'layer'; allowed: 0 to 0"):
        seed_signal(trace_of(torch.zeros(3)), "layer", [Unit(0, 0, y=1)])


def test_a_layer_beyond_the_end_of_the_trace_is_rejected() -> None:
    with pytest.raises(
        InputError, match="layer 'conv5' is not in the trace; the trace ends at 'layer'"
    ) as caught:
        seed_signal(trace_of(MAPS), "conv5", [Unit(0, 0)])
    assert caught.value.field == "layer"


@pytest.mark.parametrize(("value", "silent"), [(0.0, True), (1e-6, True), (-1e-6, True), (1e-4, False)])
def test_a_unit_is_silent_if_its_activation_is_within_rounding_of_zero(value: float, silent: bool) -> None:
    maps = MAPS.clone()
    maps[1, 1, 1] = value
    quiet = torch.full_like(MAPS, 1e-9)
    traced = trace_of(maps, quiet)
    assert is_silent(traced, "layer", Unit(0, 1, 1, 1)) is silent
    assert not is_silent(traced, "layer", Unit(1, 1, 1, 1))  # the peak of its image
