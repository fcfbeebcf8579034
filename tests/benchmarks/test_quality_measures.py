"""The measures of `benchmarks.quality`, on networks, maps and lists made by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

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
from zfscope_analyzers.architectures.grids import Grid
from zfscope_analyzers.architectures.layers import Lattice


def test_photos_are_evenly_spaced() -> None:
    assert evenly_spaced(10, 5) == [1, 3, 5, 7, 9]
    assert evenly_spaced(3, 5) == [0, 1, 2]


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
