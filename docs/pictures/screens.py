"""Pictures of the page and the gallery in a browser."""

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image
from playwright.sync_api import Page

from docs.pictures.material import Material
from docs.pictures.photos import COFFEE, ROCKET, SamplePhoto

_SIZE = {"width": 1280, "height": 800}
_STAGE = "#photo-view .stage"
_TIMEOUT_MS = 120_000


def look(material: Material) -> Image.Image:
    """Return the page with the cursor on the rocket."""
    with _page(material, ROCKET, "layer=conv3") as tab:
        return _point(tab)


def look_dark(material: Material) -> Image.Image:
    """Return the page in a browser with dark colours."""
    with _page(material, ROCKET, "layer=conv3", dark=True) as tab:
        return _point(tab)


def brush(material: Material) -> Image.Image:
    """Return the page with a box over the rocket."""
    with _page(material, ROCKET) as tab:
        tab.click("#photo-view >> text=Box")
        _move(tab, 0.44, 0.3)
        tab.mouse.down()
        _move(tab, 0.5, 0.5)
        _move(tab, 0.57, 0.92)
        tab.mouse.up()
        tab.wait_for_selector("text=Thin: the photo as it is")
        return _shot(tab)


def sweep(material: Material) -> Image.Image:
    """Return the page with the complete occlusion map of a class."""
    with _page(material, ROCKET) as tab:
        tab.click("#photo-view >> text=Sweep")
        tab.wait_for_selector("#photo-view .progress", state="visible")
        tab.wait_for_selector("#photo-view .progress", state="hidden")
        return _shot(tab)


def unit(material: Material) -> Image.Image:
    """Return the page of a unit of the strongest map on the coffee cup."""
    with _page(material, COFFEE, "layer=conv5") as tab:
        tab.wait_for_selector(".grid.nine img >> nth=8")
        tab.click(".grid.nine .tile >> nth=0")
        tab.wait_for_selector("#unit-view > .note:has-text('SSIM')")
        return _shot(tab)


def compare(material: Material) -> Image.Image:
    """Return two models side by side."""
    view = "view=compare&model=zfnet-imagenette&model2=alexnet-imagenette&layer=conv3"
    with _page(material, ROCKET, view) as tab:
        tab.wait_for_selector("#compare-view tbody tr >> nth=3")
        box = tab.locator("#compare-view .stage").first.bounding_box()
        assert box
        for across in (0.4, 0.5):
            tab.mouse.move(box["x"] + box["width"] * across, box["y"] + box["height"] * 0.6)
        tab.wait_for_selector("#compare-view .grid.three img >> nth=5")
        return _shot(tab)


def gallery_layer(material: Material) -> Image.Image:
    """Return the gallery's page of conv5."""
    return _gallery(material, "conv5/index.html")


def gallery_map(material: Material) -> Image.Image:
    """Return the gallery's page of a map of conv5 that responds to faces, whole."""
    return _gallery(material, "conv5/59.html", whole=True)


@contextmanager
def _page(material: Material, photo: SamplePhoto, view: str = "", *, dark: bool = False) -> Iterator[Page]:
    """Open a view of the page, and wait until the photo is shown and nothing is loaded any more.

    view: parameters of the address.
    """
    context = material.browser.new_context(viewport=_SIZE, color_scheme="dark" if dark else "light")  # type: ignore[arg-type]
    try:
        tab = context.new_page()
        tab.set_default_timeout(_TIMEOUT_MS)
        digest = hashlib.sha256(photo.file.read_bytes()).hexdigest()
        tab.goto(f"{material.page_url}#photo={digest}&sample={photo.name}&{view}")
        tab.wait_for_selector(".stage >> visible=true")
        tab.wait_for_load_state("networkidle")
        yield tab
    finally:
        context.close()


def _gallery(material: Material, file: str, *, whole: bool = False) -> Image.Image:
    context = material.browser.new_context(viewport=_SIZE)  # type: ignore[arg-type]
    try:
        tab = context.new_page()
        tab.goto((material.gallery / file).as_uri())
        return _shot(tab, whole=whole)
    finally:
        context.close()


def _point(tab: Page) -> Image.Image:
    """Point at the rocket, and wait for the projections of the units there."""
    for across in (0.4, 0.505):
        _move(tab, across, 0.62)
        tab.wait_for_timeout(500)
    tab.wait_for_selector(".grid.nine img >> nth=8")
    return _shot(tab)


def _move(tab: Page, across: float, down: float) -> None:
    box = tab.locator(_STAGE).bounding_box()
    assert box
    tab.mouse.move(box["x"] + box["width"] * across, box["y"] + box["height"] * down)


def _shot(tab: Page, *, whole: bool = False) -> Image.Image:
    """Return a picture of the window. whole: of the whole document."""
    tab.wait_for_timeout(1_000)  # for transitions, and the decoding of pictures
    return Image.open(io.BytesIO(tab.screenshot(full_page=whole))).convert("RGB")
