"""The files of `zfscope project`."""

from pathlib import Path

from zfscope.cli.files import write_projection, write_sheet
from zfscope.client import Picture, Projection, Projections
from zfscope.images.geometry import Box

PICTURE = Picture(name="conv1", png=b"png", scale="grey is zero")


def projection(layer: str, picture: Picture | None) -> Projection:
    return Projection(layer, 7, 1, 2, 0.5, Box(0, 0, 1, 1), picture, None, None, None, None)


def test_a_layer_s_name_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    written = write_projection(tmp_path, projection("../../etc/conv1", PICTURE))
    assert written.picture == tmp_path / "______etc_conv1-7-1-2.png"


def test_what_was_not_asked_for_is_not_written(tmp_path: Path) -> None:
    seen = Projections("tiny", 1, (projection("conv1", None),), None, (1, 1))
    assert write_sheet(tmp_path, seen, layer="conv1") is None
    assert write_projection(tmp_path, seen.projections[0]).picture is None
    assert list(tmp_path.iterdir()) == []
