"""SqueezeNet v1.1: its shapes and its size, as published."""

from zfscope.networks.receptive import receptive_fields
from zfscope.networks.spec import parameter_count, shapes
from zfscope.networks.squeezenet import squeezenet


def test_maps_have_the_sizes_that_caffe_gives_them() -> None:
    known = shapes(squeezenet())
    sizes = {"conv1": 113, "pool1": 56, "fire3": 56, "pool3": 28, "fire5": 28, "pool5": 14, "fire9": 14}
    assert {layer: known[layer][1] for layer in sizes} == sizes
    assert known["scores"] == (1000,)


def test_it_has_as_many_weights_as_published() -> None:
    assert parameter_count(squeezenet()) == 1_235_496


def test_both_branches_of_a_module_have_one_field() -> None:
    fields = receptive_fields(squeezenet())
    assert fields["fire2"] == fields["fire2-expand3"]
    assert fields["fire2"].size == fields["fire2-expand1"].size + 2 * fields["fire2"].jump
