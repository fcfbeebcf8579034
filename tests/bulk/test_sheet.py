"""The contact sheet: every picture of every photo, and the photos without one."""

from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np

from tests.bulk.conftest import BROKEN, PHOTOS
from zfscope.analysis.contract import Analysis, Context, Picture
from zfscope.bulk import RunManifest
from zfscope.images.render import encode_png

Make = Callable[..., RunManifest]


class Page(HTMLParser):
    """The pictures and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.pictures: list[dict[str, str | None]] = []
        self.text = ""
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "img":
            self.pictures.append(dict(attrs))

    def handle_data(self, data: str) -> None:
        self.text += data


def draw(context: Context) -> Analysis:
    height, width, _ = context.images[0].photo.shape
    png = encode_png(np.zeros((height, width, 3), np.uint8), text={})
    names = ("first", "se/cond", "se cond")
    return Analysis(numbers={"width": width}, pictures=tuple(Picture(name, png, "grey") for name in names))


def test_every_picture_is_shown_once_under_its_photo(make: Make, tmp_path: Path) -> None:
    manifest = make(function=draw, pictures=True)
    out = tmp_path / "out" / "it"
    page = Page((out / "index.html").read_text(encoding="utf-8"))
    shown = [unquote(str(picture["src"])) for picture in page.pictures]
    assert sorted(shown) == sorted(f"pictures/{path.name}" for path in (out / "pictures").iterdir())
    assert len(set(shown)) == manifest.pictures == 3 * len(PHOTOS)
    assert shown[:3] == [
        f"pictures/000000-two_words-{name}.png" for name in ("first", "se_cond", "se_cond-2")
    ]
    assert (page.pictures[-1]["width"], page.pictures[-1]["height"]) == ("44", "44")
    assert all(name in page.text for name in PHOTOS)
    assert "b/窓.png · b · width 44" in page.text


def test_names_are_escaped_and_photos_without_an_analysis_are_listed(make: Make, tmp_path: Path) -> None:
    make(function=draw, pictures=True)
    page = Page((tmp_path / "out" / "it" / "index.html").read_text(encoding="utf-8"))
    assert f"{BROKEN}: the file is not an image" in page.text
    assert page.tags.count("b") == len(PHOTOS) + 1
