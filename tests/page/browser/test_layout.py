"""What is shown of unusual photos and models, and in narrow windows."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.cli.conftest import SPEC, write_tiny
from tests.page.browser.conftest import Open, choose, drag, picture, place
from tests.support.page_server import PageClient, running_page
from zfscope.local import LocalClient
from zfscope.networks import NetworkSpec

STAGE = "#photo-view .stage"


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageClient]:
    """A page whose only model ends in feature maps and has no classes."""
    folder = tmp_path_factory.mktemp("bare")
    network = NetworkSpec(name="tiny", input_size=SPEC.input_size, layers=SPEC.layers[:-2])
    write_tiny(folder, 1, network=network, ids=())
    with LocalClient(Path(folder)) as client, running_page(client) as served:
        yield served


@pytest.mark.parametrize("size", [(2000, 50), (50, 2000)])
def test_the_middle_of_an_extreme_photo_is_shown(open_page: Open, size: tuple[int, int]) -> None:
    tab = open_page()
    choose(tab, picture(3, size))
    expect(tab.locator(".grid.nine img")).to_have_count(9)
    box = tab.locator(STAGE).bounding_box()
    assert box
    assert box["height"] <= 700
    assert max(box["width"] / box["height"], box["height"] / box["width"]) == pytest.approx(2.5, rel=0.02)
    tab.mouse.move(*place(tab, 0.45, 0.45))
    tab.mouse.move(*place(tab, 0.5, 0.5))
    middle = f"conv5 at {size[0] // 2}, {size[1] // 2}"
    expect(tab.locator("#units-heading")).to_have_text(middle)
    frame = tab.locator(f"{STAGE} .frame").bounding_box()
    assert frame
    assert frame["width"] > 200


def test_a_photo_after_one_that_browsers_cannot_show_fills_the_stage(open_page: Open) -> None:
    tab = open_page()
    choose(tab, picture(3, kind="TIFF"), "photo.tif", "image/tiff")
    expect(tab.locator(".grid.nine img")).to_have_count(9)
    shown, stage = tab.locator(f"{STAGE} img.photo"), tab.locator(STAGE)
    expect(shown).to_have_js_property("naturalWidth", SPEC.input_size)
    choose(tab, picture(4))
    expect(shown).to_have_js_property("naturalWidth", 60)
    assert shown.bounding_box() == stage.bounding_box()


@pytest.mark.parametrize("width", [320, 768])
def test_every_view_is_reachable_in_a_narrow_window(open_page: Open, width: int) -> None:
    tab = open_page("sample=first.png", viewport={"width": width, "height": 800})
    expect(tab.locator(".grid.nine img")).to_have_count(9)
    links = [link.bounding_box() for link in tab.locator(".top nav a").all()]
    assert len(links) == 3
    nav = tab.locator(".top nav").bounding_box()
    assert nav
    assert all(link and link["x"] + link["width"] <= nav["x"] + nav["width"] + 1 for link in links)
    assert tab.evaluate("document.documentElement.scrollWidth") == width


def test_a_model_without_classes_says_so(open_page: Open, bare: PageClient, photo: bytes) -> None:
    tab = open_page(url=bare.url)
    choose(tab, photo)
    expect(tab.locator(".grid.nine img")).to_have_count(9)
    expect(tab.locator("#photo-view .panel >> nth=0")).to_contain_text("This model has no classes")
    tab.keyboard.press("s")
    expect(tab.locator("#notices p")).to_contain_text("no classes, so there is none to sweep for.")
    tab.keyboard.press("b")
    expect(tab.locator("#notices p").last).to_contain_text("no classes, so there are no probabilities")
    drag(tab, (0.4, 0.4), (0.5, 0.5))
    expect(tab.locator("#notices .error")).to_have_count(0)
    tab.keyboard.press("2")
    expect(tab.locator(".pane .note >> nth=1")).to_contain_text("point at a place")
    tab.click("text=Difference of occlusion maps")
    expect(tab.locator("#notices p").last).to_contain_text("A model without classes has no occlusion map.")


def test_a_warning_about_the_photo_is_shown_with_its_classes(open_page: Open) -> None:
    tab = open_page()
    file = io.BytesIO()
    Image.new("RGBA", (60, 48), (200, 10, 10, 0)).save(file, "PNG")
    choose(tab, file.getvalue())
    expect(tab.locator(".warning")).to_contain_text("is transparent and was read as grey")


def test_pictures_of_one_kind_never_stand_for_another(open_page: Open) -> None:
    tab = open_page("sample=first.png&layer=conv1")
    expect(tab.locator(".grid.nine img")).to_have_count(6)
    tab.click("text=Top 9")
    expect(tab.locator(".panel .note").last).to_contain_text("index")
    expect(tab.locator(".grid.nine img")).to_have_count(0)
    tab.click("button:text-is('Patch')")
    expect(tab.locator(".grid.nine img")).to_have_count(6)
    expect(tab.locator(".panel .note").last).to_contain_text("The strongest unit of each map")


def test_the_toolbar_stays_when_an_occlusion_map_is_drawn(open_page: Open) -> None:
    tab = open_page("sample=first.png")
    expect(tab.locator(".grid.nine img")).to_have_count(9)
    tab.keyboard.press("b")
    before = tab.locator(STAGE).bounding_box()
    drag(tab, (0.4, 0.4), (0.5, 0.5))
    tab.keyboard.press("s")
    expect(tab.locator("text=Hide map")).to_be_visible()
    assert tab.locator(STAGE).bounding_box() == before


@pytest.mark.parametrize("width", [360, 1200])
def test_nothing_moves_while_a_sweep_is_in_progress(open_page: Open, width: int) -> None:
    tab = open_page("sample=first.png", viewport={"width": width, "height": 850})
    expect(tab.locator(".layers li").last.locator(".tile")).to_have_count(4)
    strip = tab.locator(".strip")
    before = strip.bounding_box()
    tab.evaluate(
        """() => {
            const original = window.fetch;
            window.fetch = async (path, options) => {
                if (path === "v1/occlude") await new Promise((resolve) => { window.proceed = resolve; });
                return original(path, options);
            };
        }"""
    )
    tab.click("text=Sweep")
    expect(tab.locator("#photo-view .progress")).to_be_visible()
    assert strip.bounding_box() == before
    tab.evaluate("window.proceed()")
    expect(tab.locator("#photo-view .legend")).to_be_visible()
    assert strip.bounding_box() == before
    tab.click("text=Hide map")
    expect(tab.locator(".readout")).to_be_visible()
    assert strip.bounding_box() == before


def test_a_tap_looks_at_a_place_of_both_photos_of_a_comparison(open_page: Open) -> None:
    tab = open_page("view=compare&sample=first.png", has_touch=True)
    expect(tab.locator(".pane .note").last).to_contain_text("point at a place")
    tab.locator(".pane .stage").first.tap()
    expect(tab.locator(".pane .tile")).to_have_count(6)
