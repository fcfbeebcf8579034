"""The committed drawings are those that the code makes, and their numbers are the engine's."""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from docs.drawings import example, occlusion
from docs.drawings.deconvnet import whole
from docs.drawings.files import FOLDER, files
from tests.support.pages import PAGES, links_of
from zfscope.engine import project, trace
from zfscope.networks import build, zfnet
from zfscope.networks.spec import convolutional_part

SVG = "{http://www.w3.org/2000/svg}"
IMAGE = np.array(example.IMAGE)
FIRST = np.array(example.FIRST)[:, 0]
SECOND = np.array(example.SECOND)[0]

Maps = NDArray[np.int64]


def test_the_committed_drawings_are_those_that_the_code_makes() -> None:
    assert {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.svg")} == files()


def test_every_drawing_is_on_a_page() -> None:
    shown = {link.rpartition("/")[2] for page in PAGES for link in links_of(page)}
    assert set(files()) <= shown


def test_the_numbers_of_the_forward_pass_are_those_computed_by_hand() -> None:
    filtered, rectified, pooled, switches = forward_by_hand()
    convolution, pooling = grids("forward-filter"), grids("forward-pool")
    assert (convolution["image"] == IMAGE).all()
    for index, name in enumerate("AB"):
        assert (convolution[f"filter-{name}"] == FIRST[index]).all()
        assert (convolution[f"conv1-{name}"] == filtered[index]).all()
        assert (pooling[f"relu1-{name}"] == rectified[index]).all()
        assert (pooling[f"pool1-{name}"] == pooled[index]).all()
        assert (pooling[f"switches-{name}"] == switches[index]).all()


def test_the_numbers_of_the_way_down_are_those_computed_by_hand() -> None:
    *_, pooled, switches = forward_by_hand()
    seed = np.zeros_like(pooled)
    unit = example.FIRST_UNIT
    seed[unit.map, unit.y, unit.x] = pooled[unit.map, unit.y, unit.x]
    unpooled = unpool_by_hand(seed, switches)
    assert both(grids("backward-seed"), "after") == both_of(seed)
    assert both(grids("backward-unpool"), "after") == both_of(unpooled)
    assert both(grids("backward-rectify"), "after") == both_of(unpooled)
    assert (grids("backward-filter")["pixels"] == filter_by_hand(unpooled)).all()


def test_the_numbers_one_layer_higher_are_those_computed_by_hand() -> None:
    *_, pooled, switches = forward_by_hand()
    value = (pooled * SECOND).sum()
    signal = value * SECOND
    unpooled = unpool_by_hand(signal, switches)
    assert grids("second-filter")["conv2"].tolist() == [[value]]
    assert both(grids("second-filter"), "signal") == both_of(signal)
    assert both(grids("second-unpool"), "after") == both_of(unpooled)
    assert both(grids("second-rectify"), "after") == both_of(unpooled.clip(0))
    pixels = grids("second-pixels")
    assert (pixels["pixels"] == filter_by_hand(unpooled.clip(0))).all()
    assert (pixels["unrectified"] == filter_by_hand(unpooled)).all()
    assert (unpooled < 0).any()  # else the drawing would not show what rectification removes


def test_the_projections_in_the_drawings_are_those_of_the_engine() -> None:
    network = example.example_network()
    traced = example.example_trace(network)
    first = project(network, traced, "pool1", [example.FIRST_UNIT])[0, 0]
    second = project(network, traced, "conv2", [example.SECOND_UNIT])[0, 0]
    assert grids("backward-filter")["pixels"].tolist() == whole(first)
    assert grids("second-pixels")["pixels"].tolist() == whole(second)


def test_the_projection_without_rectification_is_the_gradient() -> None:
    image = torch.tensor(IMAGE).double()[None, None].requires_grad_()
    filtered = F.conv2d(image, torch.tensor(FIRST).double()[:, None])
    *_, pooled, switches = forward_by_hand()
    selected = filtered.flatten(2).gather(2, torch.tensor(switches).flatten(1)[None])
    unit = (selected.view(2, 2, 2) * torch.tensor(SECOND)).sum()
    (gradient,) = torch.autograd.grad(unit, image, torch.tensor((pooled * SECOND).sum()).double())
    unrectified = grids("second-pixels")["unrectified"].tolist()
    assert unrectified == whole(gradient[0, 0])
    network = example.example_network()
    traced = example.example_trace(network)
    masked = project(network, traced, "conv2", [example.SECOND_UNIT], rule="gradient")
    assert unrectified == whole(masked[0, 0])  # the forward ReLU was open at every switch


def test_the_covered_example_is_that_of_a_forward_pass_on_the_covered_image() -> None:
    row, column, rows, columns = occlusion.COVERED
    covered = torch.tensor(IMAGE).float()[None, None]
    covered[..., row : row + rows, column : column + columns] = 0
    expected = trace(example.example_network(), covered)
    shown = grids("occlusion-example")
    assert shown["covered"].tolist() == whole(covered[0, 0])
    for layer in ("conv1", "relu1", "pool1"):
        assert both(shown, layer) == [whole(part) for part in expected.maps(layer)[0]]


def test_the_shaded_regions_are_where_a_covered_window_changes_the_convolutions_of_zfnet() -> None:
    network = build(convolutional_part(zfnet()), generator=torch.Generator().manual_seed(0)).eval().double()
    image = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    covered, window = image.clone(), slice(occlusion.ORIGIN, occlusion.ORIGIN + occlusion.SIDE)
    covered[..., window, window] = 0
    with torch.no_grad():
        clean, changed = (trace(network, images, until="conv5") for images in (image, covered))
    shares = {share.name: share for share in occlusion.layer_shares()}
    for layer in ("input", "conv1", "conv2", "conv3", "conv4", "conv5"):
        differs = (clean.maps(layer) != changed.maps(layer)).any(1)[0].nonzero()
        first, last = differs.amin(0), differs.amax(0)
        assert shares[layer].cells == (*first.tolist(), *(last - first + 1).tolist())


def test_the_share_of_a_forward_pass_in_the_drawing_is_that_of_its_regions() -> None:
    text = (FOLDER / "occlusion-regions.svg").read_text(encoding="utf-8")
    sizes = {"conv1": 19, "conv2": 7, "conv3": 6, "conv4": 8, "conv5": 10}
    counts = [int(re.search(rf">{size} x {size} of", text) is not None) for size in sizes.values()]
    assert counts == [1] * len(sizes)
    parts = {
        "conv1": 96 * 147,
        "conv2": 256 * 2400,
        "conv3": 384 * 2304,
        "conv4": 384 * 3456,
        "conv5": 256 * 3456,
    }
    linear = 9216 * 4096 + 4096 * 4096 + 4096 * 1000
    work = sum(parts[name] * size**2 for name, size in sizes.items()) + linear
    assert f"{work / 1e6:.0f} million multiply-adds in place of 1,168 million" in text
    assert f"{100 * work / 1_167_944_000:.0f} % of a forward pass" in text


@pytest.mark.parametrize("name", sorted(files()))
def test_a_drawing_has_a_title_and_a_description(name: str) -> None:
    root = ElementTree.fromstring(files()[name])
    for part in ("title", "desc"):
        assert len(root.findtext(f"{SVG}{part}", "")) > 10


def grids(name: str) -> Mapping[str, Maps]:
    """Return the numbers of the grids in a committed drawing."""
    root = ElementTree.parse(FOLDER / f"{name}.svg").getroot()
    found = {}
    for group in root.iter(f"{SVG}g"):
        cells = [(float(cell.get("y", "")), cell.text or "") for cell in group.iter(f"{SVG}text")]
        rows = len({y for y, _ in cells})
        numbers = [int(text.replace("\N{MINUS SIGN}", "-")) for _, text in cells]
        found[group.get("id", "")] = np.array(numbers).reshape(rows, -1)
    return found


def both(drawn: Mapping[str, Maps], name: str) -> list[list[list[int]]]:
    """Return the two maps of a layer in a drawing."""
    return [drawn[f"{name}-{letter}"].tolist() for letter in "AB"]


def both_of(maps: Maps) -> list[list[list[int]]]:
    """Return two maps as lists."""
    result: list[list[list[int]]] = maps.tolist()
    return result


def forward_by_hand() -> tuple[Maps, Maps, Maps, Maps]:
    """Return the maps of conv1, relu1 and pool1, and the switches, in plain loops."""
    filtered = np.array(
        [
            [[(IMAGE[y : y + 3, x : x + 3] * weights).sum() for x in range(5)] for y in range(5)]
            for weights in FIRST
        ]
    )
    rectified = filtered.clip(0)
    pooled, switches = np.zeros((2, 2, 2), np.int64), np.zeros((2, 2, 2), np.int64)
    for index, y, x in np.ndindex(2, 2, 2):
        cells = [(2 * y + row, 2 * x + column) for row in range(3) for column in range(3)]
        best = max(cells, key=lambda cell: rectified[index][cell])
        pooled[index, y, x], switches[index, y, x] = rectified[index][best], 5 * best[0] + best[1]
    return filtered, rectified, pooled, switches


def unpool_by_hand(signal: Maps, switches: Maps) -> Maps:
    """Return the signal at relu1: each number at its switch."""
    maps = np.zeros((2, 5, 5), np.int64)
    for index, y, x in np.ndindex(2, 2, 2):
        maps[index][divmod(int(switches[index, y, x]), 5)] += signal[index, y, x]
    return maps


def filter_by_hand(signal: Maps) -> Maps:
    """Return the pixels: the filter of each map, times each number of the signal, at its window."""
    pixels = np.zeros((7, 7), np.int64)
    for index, y, x in np.ndindex(*signal.shape):
        pixels[y : y + 3, x : x + 3] += signal[index, y, x] * FIRST[index]
    return pixels
