"""The files of `zfscope project`."""

from pathlib import Path

from zfscope.cli.files import Files, contents, files_of
from zfscope.client import Picture, Projection, Projections
from zfscope.images.geometry import Box

PICTURE = Picture(name="conv1", png=b"png", scale="grey is zero")


def projection(layer: str, picture: Picture | None) -> Projection:
    return Projection(layer, 7, 1, 2, 0.5, Box(0, 0, 1, 1), picture, None, None, None, None)


def test_a_layer_s_name_cannot_lead_out_of_the_folder() -> None:
    seen = Projections("tiny", 1, (projection("../../etc/conv1", PICTURE),), None, (1, 1))
    assert contents(seen, layer="conv1") == {"______etc_conv1-7-1-2.png": b"png"}


def test_what_was_not_asked_for_has_no_file() -> None:
    seen = Projections("tiny", 1, (projection("conv1", None),), None, (1, 1))
    assert contents(seen, layer="conv1") == {}
    assert files_of(seen.projections[0], {}) == Files()


def test_a_projection_knows_its_files_among_those_that_were_written() -> None:
    written = {"conv1-7-1-2.png": Path("a"), "conv1-7-1-2-control.npy": Path("b"), "conv1.png": Path("c")}
    assert files_of(projection("conv1", PICTURE), written) == Files(Path("a"), None, Path("b"))
