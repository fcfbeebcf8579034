"""Seeds: which units are strongest, and the signal that starts from them."""

import re
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from zfscope.engine import Maps, Seed, Trace, Unit, strongest_unit, strongest_units
from zfscope.engine.seeds import activation, is_silent, seed_signal
from zfscope.errors import InputError, NotFound

MAPS = torch.tensor(
    [
        [[1.0, 5.0], [5.0, 0.0]],  # its largest value twice
        [[9.0, 0.0], [0.0, 0.0]],  # the strongest unit
        [[4.0, 4.0], [4.0, 4.0]],  # the largest sum
        [[0.0, 0.0], [9.0, 0.0]],  # as strong as map 1
    ]
)


def trace_of(*outputs: Tensor) -> Trace:
    return Trace({"layer": torch.stack(outputs)}, {})


def test_the_strongest_unit_of_a_map_is_the_first_in_reading_order() -> None:
    assert strongest_unit(trace_of(MAPS), "layer", 0, 0) == Unit(0, 0, y=0, x=1)
    assert strongest_unit(trace_of(MAPS), "layer", 0, 3) == Unit(0, 3, y=1, x=0)


def test_maps_are_ranked_by_their_strongest_unit_ties_to_the_lower_map() -> None:
    units = strongest_units(trace_of(MAPS), "layer", 0, 3)
    assert units == (Unit(0, 1, 0, 0), Unit(0, 3, 1, 0), Unit(0, 0, 0, 1))


def test_maps_are_ranked_by_their_sum_when_asked_for() -> None:
    units = strongest_units(trace_of(MAPS), "layer", 0, 4, rank="sum")
    assert [unit.map for unit in units] == [2, 0, 1, 3]


def test_each_image_has_strongest_units_of_its_own() -> None:
    seen = trace_of(MAPS, MAPS.flip(0))
    assert strongest_units(seen, "layer", 1, 1) == (Unit(1, 0, 1, 0),)


def test_fully_connected_units_are_maps_of_one_place() -> None:
    seen = trace_of(torch.tensor([0.0, 3.0, 1.0, 3.0]))
    assert strongest_units(seen, "layer", 0, 3) == (Unit(0, 1), Unit(0, 3), Unit(0, 2))
    assert activation(seen, "layer", Unit(0, 2)) == 1.0


def test_an_activation_is_read_at_its_place() -> None:
    assert activation(trace_of(MAPS), "layer", Unit(0, 0, y=1, x=0)) == 5.0


def test_single_units_start_from_one_place_each() -> None:
    signal = seed_signal(trace_of(MAPS, MAPS * 10), "layer", [Unit(0, 1, 0, 0), Unit(1, 3, 1, 0)])
    assert signal.values.flatten(1).tolist() == [[0, 9, 0, 0], [0, 0, 0, 90]]
    assert signal.origins.tolist() == [[0, 0], [1, 0]]
    assert signal.images.tolist() == [0, 1]


def test_whole_maps_start_from_all_of_their_units() -> None:
    signal = seed_signal(trace_of(MAPS), "layer", [Maps(0, (0, 3)), Unit(0, 2, 1, 1)])
    expected = MAPS.clone()
    expected[[1, 2]] = 0
    alone = torch.zeros_like(MAPS)
    alone[2, 1, 1] = 4
    assert torch.equal(signal.values, torch.stack([expected, alone]))


def test_full_units_start_from_themselves() -> None:
    signal = seed_signal(trace_of(torch.tensor([1.0, 2.0, 3.0])), "layer", [Unit(0, 1), Maps(0, (0, 2))])
    assert signal.values.tolist() == [[0, 2, 0], [1, 0, 3]]


def test_a_projection_needs_a_seed() -> None:
    with pytest.raises(InputError, match="no units to project; specify at least one unit or map") as caught:
        seed_signal(trace_of(MAPS), "layer", [])
    assert caught.value.field == "units"


@pytest.mark.parametrize(
    ("seeds", "message", "field"),
    [
        ([Unit(0, 4, 0, 0)], "no unit with map = 4 in layer 'layer'; map runs from 0 to 3", "units[0].map"),
        ([Unit(0, 0), Unit(0, -1)], "no unit with map = -1 in layer", "units[1].map"),
        ([Unit(0, 0, y=2)], "no unit with y = 2 in layer 'layer'; y runs from 0 to 1", "units[0].y"),
        ([Unit(0, 0, x=-1)], "no unit with x = -1", "units[0].x"),
        ([Unit(1, 0)], "no unit with image = 1 in layer 'layer'; image runs from 0 to 0", "units[0].image"),
        ([Maps(0, (0, 7))], "no unit with map = 7", "units[0].map"),
    ],
)
def test_units_that_there_are_not_are_refused_by_name(
    seeds: Sequence[Seed], message: str, field: str
) -> None:
    with pytest.raises(NotFound, match=re.escape(message)) as caught:
        seed_signal(trace_of(MAPS), "layer", seeds)
    assert caught.value.field == field


def test_a_place_in_a_fully_connected_layer_is_refused() -> None:
    with pytest.raises(NotFound, match="no unit with y = 1 in layer 'layer'; y runs from 0 to 0"):
        seed_signal(trace_of(torch.zeros(3)), "layer", [Unit(0, 0, y=1)])


def test_a_layer_that_the_trace_did_not_reach_is_refused() -> None:
    with pytest.raises(
        InputError, match="layer 'conv5' is not in the trace; the trace ends at 'layer'"
    ) as caught:
        seed_signal(trace_of(MAPS), "conv5", [Unit(0, 0)])
    assert caught.value.field == "layer"


@pytest.mark.parametrize(("value", "silent"), [(0.0, True), (1e-6, True), (-1e-6, True), (1e-4, False)])
def test_a_unit_is_silent_where_its_activation_is_rounding_of_the_layers_largest(
    value: float, silent: bool
) -> None:
    maps = MAPS.clone()
    maps[1, 1, 1] = value
    quiet = torch.full_like(MAPS, 1e-9)
    seen = trace_of(maps, quiet)
    assert is_silent(seen, "layer", Unit(0, 1, 1, 1)) is silent
    assert not is_silent(seen, "layer", Unit(1, 1, 1, 1))  # the largest of its own image
