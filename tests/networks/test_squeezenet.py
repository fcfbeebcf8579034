"""SqueezeNet v1.1: shapes and number of parameters."""

from zfscope.networks.receptive import receptive_fields
from zfscope.networks.spec import parameter_count, shapes
from zfscope.networks.squeezenet import squeezenet


def test_maps_have_the_sizes_of_caffe() -> None:
    known = shapes(squeezenet())
    sizes = {"conv1": 113, "pool1": 56, "fire3": 56, "pool3": 28, "fire5": 28, "pool5": 14, "fire9": 14}
    assert {layer: known[layer][1] for layer in sizes} == sizes
    assert known["scores"] == (1000,)


def test_the_number_of_parameters_equals_the_published_one() -> None:
    assert parameter_count(squeezenet()) == 1_235_496


def test_a_fire_module_has_the_field_of_its_larger_branch() -> None:
    fields = receptive_fields(squeezenet())
    assert fields["fire2"] == fields["fire2-expand3"]
    assert fields["fire2"].size == fields["fire2-expand1"].size + 2 * fields["fire2"].jump
