"""Keys, screen readers, narrow screens, dark and light; and the size of the first load."""

import pytest
from axe_core_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.page.browser.conftest import Open, choose

VIEWS = ("start", "photo", "unit", "compare", "analyzers", "keys", "calls")


def show(tab: Page, view: str, photo: bytes) -> None:
    """Open a view and wait until it is drawn."""
    if view == "start":
        return
    choose(tab, photo)
    expect(tab.locator(".grid.nine img")).to_have_count(9)
    expect(tab.locator(".layers li").last.locator(".tile")).to_have_count(4)
    if view == "unit":
        tab.click(".grid.nine .tile >> nth=0")
        expect(tab.locator(".trio img")).to_have_count(3)
        expect(tab.locator(".training .note")).not_to_be_empty()
    elif view == "compare":
        tab.keyboard.press("2")
        expect(tab.locator("#compare-view tbody tr")).to_have_count(4)
        tab.click("text=Difference of occlusion maps")
        expect(tab.locator(".difference figcaption")).to_be_visible()
    elif view == "analyzers":
        tab.keyboard.press("3")
        tab.click(".side >> text=project")
        tab.click("#analyze-view button.primary")
        expect(tab.locator(".result img").first).to_be_visible()
    elif view == "keys":
        tab.keyboard.press("?")
    elif view == "calls":
        tab.click("text=Copy as")


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_is_accessible_in_light_and_dark_and_fits_320_pixels(
    view: str, open_page: Open, photo: bytes
) -> None:
    tab = open_page(color_scheme="light")
    show(tab, view, photo)
    assert grave(tab) == []
    tab.emulate_media(color_scheme="dark")
    assert grave(tab) == []
    tab.set_viewport_size({"width": 320, "height": 640})
    assert tab.evaluate("document.documentElement.scrollWidth") <= 320


def grave(tab: Page) -> list[tuple[str, list[str]]]:
    """Return the serious and critical violations of axe's rules, with their elements."""
    # Without the option, every element that passes a rule is described and sent, too.
    violations = Axe().run(tab, options={"resultTypes": ["violations"]})["violations"]
    return [
        (each["id"], [node["html"] for node in each["nodes"]])
        for each in violations
        if each["impact"] in ("serious", "critical")
    ]


def test_every_picture_has_words(open_page: Open, photo: bytes) -> None:
    tab = open_page()
    show(tab, "photo", photo)
    without = """() => [
        ...[...document.images].filter((each) => each.src && !each.alt && !each.closest("button")),
        ...document.querySelectorAll("canvas:not([aria-label]), svg[role=img]:not([aria-label])"),
    ].map((each) => each.outerHTML)"""
    assert tab.evaluate(without) == []


def test_a_sample_is_examined_by_keyboard_alone(open_page: Open) -> None:
    tab = open_page()
    press_until(tab, "Tab", ".samples .tile")
    tab.keyboard.press("Enter")
    expect(tab.locator(".grid.nine img")).to_have_count(9)
    press_until(tab, "Tab", ".stage")
    tab.keyboard.press("ArrowRight")
    expect(tab.locator("#units-heading")).to_contain_text("conv5 at")
    tab.keyboard.press("Enter")
    press_until(tab, "Tab", ".class")
    press_until(tab, "Tab", ".grid.nine .tile")
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("ArrowDown")
    tab.keyboard.press("Enter")
    expect(tab.locator(".trio img")).to_have_count(3)


def press_until(tab: Page, key: str, selector: str) -> None:
    """Press a key until an element that matches has the focus, which must be visible."""
    for _ in range(80):
        tab.keyboard.press(key)
        if tab.evaluate("(selector) => document.activeElement.matches(selector)", selector):
            assert tab.evaluate("document.activeElement.matches(':focus-visible')")
            return
    pytest.fail(f"{selector} is not reached by {key}")


def test_the_focus_is_never_lost_between_views(open_page: Open) -> None:
    tab = open_page()
    tab.keyboard.press("Tab")
    expect(tab.locator("#skip")).to_be_focused()
    tab.keyboard.press("Enter")
    expect(tab.locator("#photo-view button >> nth=0")).to_be_focused()
    tab.locator(".samples button >> nth=0").focus()
    tab.keyboard.press("Enter")
    expect(tab.locator("#photo-view .stage")).to_be_focused()
    tile = tab.locator(".layers .tile >> nth=1")
    tile.focus()
    tab.keyboard.press("Enter")
    expect(tab.locator("#unit-view h1 a")).to_be_focused()
    tab.keyboard.press("ArrowRight")
    expect(tab.locator("#unit-view h1 a")).to_be_focused()
    tab.keyboard.press("Escape")
    expect(tile).to_be_focused()
    tab.keyboard.press("2")
    expect(tab.locator("#compare-view .stage >> nth=0")).to_be_focused()
    tab.keyboard.press("3")
    expect(tab.locator("a[aria-current]:focus")).to_be_visible()


def test_a_tap_pins_a_place_on_a_touch_screen(open_page: Open, photo: bytes) -> None:
    tab = open_page(has_touch=True, viewport={"width": 400, "height": 800})
    show(tab, "photo", photo)
    tab.tap("#photo-view .stage")
    expect(tab.locator(".cursor .ring")).to_have_count(1)


def test_nothing_moves_for_people_who_prefer_that(open_page: Open) -> None:
    tab = open_page(reduced_motion="reduce")
    durations = "[...document.querySelectorAll('*')].map((each) => getComputedStyle(each).transitionDuration)"
    assert {float(each.rstrip("s")) for each in tab.evaluate(durations)} == {0}


def test_the_first_load_is_small(open_page: Open) -> None:
    tab = open_page()
    sizes = tab.evaluate(
        """() => [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
            .filter((each) => !each.name.includes("/samples/")).map((each) => each.encodedBodySize)"""
    )
    assert sum(sizes) < 200_000
