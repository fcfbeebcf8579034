"""The pictures of the documentation: their files, pages, sizes, photos and licences."""

from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token
from PIL import Image

from docs.pictures.files import FOLDER, PICTURES, WIDTH_PX, path_of
from docs.pictures.photos import CROP_PX, CROPPED, SHOWN, SamplePhoto, write_crops
from tests.support.pages import PAGES, ROOT

MAX_BYTES = 2_000_000
PHOTOS = tuple(dict.fromkeys((*SHOWN, *CROPPED)))


def images_of(page: Path) -> list[Token]:
    """Return the pictures of a page."""
    tokens = MarkdownIt("commonmark").parse(page.read_text(encoding="utf-8"))
    nodes = [node for token in tokens for node in token.children or ()]
    return [node for node in nodes if node.type == "image"]


def opened(path: Path) -> Image.Image:
    """Return a loaded picture."""
    with Image.open(path) as image:
        image.load()
        return image


def test_the_pictures_are_those_that_the_code_makes() -> None:
    assert sorted(FOLDER.iterdir()) == sorted(map(path_of, PICTURES))


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_on_a_page_with_a_text_that_describes_it(name: str) -> None:
    texts = [
        image.content
        for page in PAGES
        for image in images_of(page)
        if (page.parent / str(image.attrs["src"])).resolve() == path_of(name)
    ]
    assert texts
    assert all(len(text.split()) >= 5 for text in texts), texts


def test_pictures_are_small() -> None:
    assert sum(path_of(name).stat().st_size for name in PICTURES) <= MAX_BYTES
    assert max(opened(path_of(name)).width for name in PICTURES) <= WIDTH_PX


@pytest.mark.parametrize("photo", PHOTOS, ids=lambda photo: photo.name)
def test_the_licence_of_every_photo_is_stated(photo: SamplePhoto) -> None:
    page = (ROOT / "docs" / "reference" / "pictures.md").read_text(encoding="utf-8")
    assert f"| `{photo.name}` | {photo.package} | {photo.author} | {photo.licence} |" in page
    assert photo.file.is_file()


def test_crops_are_cut_from_all_photos_and_have_no_colour_profile(tmp_path: Path) -> None:
    write_crops(tmp_path)

    crops = [opened(file) for file in tmp_path.glob("*/*.png")]
    assert {folder.name for folder in tmp_path.iterdir()} == {photo.file.stem for photo in CROPPED}
    assert {crop.size for crop in crops} == {(CROP_PX, CROP_PX)}
    assert [crop for crop in crops if crop.mode != "RGB" or "icc_profile" in crop.info] == []
