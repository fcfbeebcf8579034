"""The measures of `benchmarks.quality`, on networks, maps and lists made by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from benchmarks.quality_features import SPLITS, TESTED, TRAINED, accuracies, choose_photos, reduced, splits
from benchmarks.quality_layers import activation_of, deep_stages, rectified_stages, stages
from benchmarks.quality_objects import (
    OcclusionHit,
    hit_shares,
    is_lowest_inside,
    part_boxes,
    read_boxes,
    read_named,
    read_points,
)
from benchmarks.quality_projections import means, summed
from benchmarks.sample_photos import evenly_spaced
from zfscope.analysis.control import Similarity
from zfscope.datasets import open_data
from zfscope.errors import InputError, NotFound
from zfscope.images.geometry import Box
from zfscope.networks import NetworkSpec, zfnet
from zfscope.networks.layers import Conv, MaxPool, ReLU, Scale
from zfscope.networks.spec import convolutional_part
from zfscope.networks.squeezenet import squeezenet
from zfscope_analyzers.architectures.grids import Grid
from zfscope_analyzers.architectures.layers import Lattice


def test_the_stages_of_zfnet_are_its_convolutions_and_fully_connected_layers() -> None:
    convolutions = ("conv1", "conv2", "conv3", "conv4", "conv5")
    assert stages(zfnet(), has_classes=True) == (*convolutions, "fc6", "fc7")
    assert stages(convolutional_part(zfnet()), has_classes=False) == convolutions
    assert deep_stages(zfnet(), has_classes=True) == ("conv3", "conv4", "conv5")
    assert rectified_stages(zfnet(), has_classes=True) == tuple(f"relu{n}" for n in range(1, 8))


def test_the_stages_of_squeezenet_join_branches() -> None:
    fires = tuple(f"fire{number}" for number in range(2, 10))
    assert stages(squeezenet(), has_classes=True) == ("conv1", *fires)
    assert deep_stages(squeezenet(), has_classes=True) == ("fire7", "fire8", "fire9")
    assert rectified_stages(squeezenet(), has_classes=True) == ("relu1", *fires)


def test_an_activation_function_is_found_behind_a_normalisation_but_not_behind_a_pool() -> None:
    spec = NetworkSpec(
        name="odd",
        input_size=16,
        layers=(
            Conv(name="a", channels=2, kernel=3),
            Scale(name="norm"),
            ReLU(name="relu-a"),
            Conv(name="b", channels=2, kernel=3),
            MaxPool(name="pool", kernel=2, stride=2),
            ReLU(name="relu-b"),
        ),
    )
    assert (activation_of(spec, "a"), activation_of(spec, "b")) == ("relu-a", "b")


def test_photos_are_evenly_spaced() -> None:
    assert evenly_spaced(10, 5) == [1, 3, 5, 7, 9]
    assert evenly_spaced(3, 5) == [0, 1, 2]


def test_maps_are_reduced_to_the_roots_of_their_maxima_in_nine_cells() -> None:
    outputs = np.zeros((1, 1, 6, 6), np.float32)
    outputs[0, 0, 0, 0], outputs[0, 0, 1, 1], outputs[0, 0, 5, 3] = 9, 4, 16
    roots = np.array([[3, 0, 0, 0, 0, 0, 0, 4, 0]])
    np.testing.assert_allclose(
        reduced(outputs), roots / 5 * 3, rtol=1e-6
    )  # length 5 becomes that of nine ones
    np.testing.assert_allclose(reduced(np.array([[-4, 0, 0, 4]], np.float32)), [[-(2**0.5), 0, 0, 2**0.5]])


def test_25_photos_of_each_class_are_drawn_and_divided_five_times() -> None:
    labels = [*"a" * 40, *"b" * 25, *"c" * 24, *"d" * 30, *[""] * 30]
    numbers, classes = choose_photos(labels, ["d"])
    assert [labels[number] for number in numbers] == [*"a" * 25, *"b" * 25]
    assert len({*numbers}) == 50
    assert classes.tolist() == [0] * 25 + [1] * 25
    divided = list(splits(classes))
    assert len(divided) == SPLITS
    for trained, tested in divided:
        assert np.bincount(classes[trained]).tolist() == [TRAINED] * 2
        assert np.bincount(classes[tested]).tolist() == [TESTED] * 2
        assert sorted([*trained, *tested]) == list(range(50))
    assert len({tuple(trained) for trained, _ in divided}) == SPLITS


def test_features_that_show_the_class_are_classified_and_others_are_not() -> None:
    classes = np.repeat(np.arange(4), TRAINED + TESTED)
    noise = np.random.default_rng(0).normal(size=(100, 8)).astype(np.float32)
    shown = np.eye(4, dtype=np.float32)[classes] * 2
    assert accuracies(np.hstack([shown, noise / 100]), classes) == [1] * SPLITS
    assert max(accuracies(noise, classes)) < 0.5


def test_similarities_are_averaged_without_those_of_constant_projections() -> None:
    similar = [Similarity(0.5, 0.2), Similarity(None, 0.4), Similarity(None, None)]
    assert means(similar) == {"units": 2, "rank": pytest.approx(0.3), "ssim": 0.5}


def test_the_energy_on_all_lattices_of_a_layer_is_summed() -> None:
    grids = [
        Grid(Lattice("conv1", 2, 1), np.array([0.1, 0.3]), np.array([0.1, 0.1])),
        Grid(Lattice("pool1", 4, 2), np.array([0.2, 0.2]), np.array([0.0, 0.1])),
    ]
    assert summed(grids) == {"share": pytest.approx(0.4), "excess": pytest.approx(0.25)}


def test_the_lowest_pixel_of_a_map_is_inside_a_box_if_its_centre_is() -> None:
    values = np.ones((4, 6), np.float32)
    values[1, 4], values[3, 0] = 0, 1e-9  # equal up to rounding: the first counts
    assert is_lowest_inside(values, Box(4.5, 1, 5, 2))
    assert not is_lowest_inside(values, Box(4.6, 1, 6, 2))
    assert not is_lowest_inside(values, Box(0, 3, 1, 4))


def test_hits_are_counted_for_all_photos_and_by_class() -> None:
    hits = [OcclusionHit("n1", True, 0.2), OcclusionHit("n2", False, 0.4), OcclusionHit("n1", True, 0.3)]
    assert hit_shares(hits, {"n1": "cat", "n2": "dog", "n3": "owl"}) == {
        "all": {"photos": 3, "inside": pytest.approx(2 / 3), "chance": pytest.approx(0.3)},
        "cat": {"photos": 2, "inside": 1, "chance": 0.25},
        "dog": {"photos": 1, "inside": 0, "chance": 0.4},
    }


def test_a_part_is_a_square_of_half_the_mean_distance_of_the_points() -> None:
    boxes = part_boxes({"left": (0, 0), "right": (3, 0), "nose": (0, 4)})  # distances 3, 4 and 5
    assert boxes == {"left": Box(-1, -1, 1, 1), "right": Box(2, -1, 4, 1), "nose": Box(-1, 3, 1, 5)}


def test_annotations_of_another_form_are_rejected(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text(json.dumps({"a.jpg": {"class": "n1", "box": [0, 0, 4]}}))
    with pytest.raises(ValidationError, match=r"`a\.jpg`\.box"):
        read_boxes(file)
    file.write_text(json.dumps({"a.jpg": {"eye": [1, 2]}, "b.jpg": {"nose": [1, 2]}}))
    with pytest.raises(InputError, match=r"photo 'b.jpg' has the points \['nose'\]; the first has \['eye'\]"):
        read_points(file)


def test_a_photo_is_read_from_the_first_data_set_that_has_it(tmp_path: Path) -> None:
    for folder, text in (("one", b"1"), ("two", b"2")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.png").write_bytes(text)
    (tmp_path / "two" / "b.png").write_bytes(b"3")
    data = [open_data(tmp_path / "one"), open_data(tmp_path / "two")]
    assert (read_named(data, "a.png"), read_named(data, "b.png")) == (b"1", b"3")
    with pytest.raises(NotFound, match=r"no photo 'c.png' in .*one, .*two"):
        read_named(data, "c.png")
