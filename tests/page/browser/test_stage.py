"""Look at a place, brush, sweep, and the strip of layers."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.page.browser.conftest import Open, choose, drag, place, wait_until
from zfscope.client import ClientMethods
from zfscope.images.geometry import Box
from zfscope.local import LocalClient


@pytest.fixture
def tab(open_page: Open, photo: bytes) -> Page:
    """The page with a photo, of which everything is drawn."""
    tab = open_page()
    choose(tab, photo)
    expect(tab.locator(".grid.nine img")).to_have_count(9)
    return tab


def numbers(tab: Page) -> list[int]:
    """Return the maps of the tiles."""
    return [int(each.get_attribute("data-map") or -1) for each in tab.locator(".grid.nine .tile").all()]


def heading(tab: Page) -> tuple[float, float]:
    """Return the place in the heading of the units, x and y."""
    match = re.search(r"at (\d+), (\d+)", tab.locator("#units-heading").inner_text())
    assert match
    return float(match[1]), float(match[2])


def outlined(tab: Page) -> dict[str, float]:
    """Return the receptive field that is drawn."""
    field = tab.locator(".field.first")
    x, y, width, height = (float(field.get_attribute(side) or 0) for side in ("x", "y", "width", "height"))
    return {"x0": x, "y0": y, "x1": x + width, "y1": y + height}


def test_the_strongest_units_follow_the_mouse(tab: Page, local: LocalClient, photo: bytes) -> None:
    tab.mouse.move(*place(tab, 0.3, 0.4))
    tab.mouse.move(*place(tab, 0.5, 0.5))
    expect(tab.locator("#units-heading")).to_have_text("conv5 at 30, 24")
    expected = local.activations(photo, layer="conv5", top=9, y=24, x=30)
    expect(tab.locator(".grid.nine img")).to_have_count(9)
    assert numbers(tab) == [unit.map for unit in expected.units]
    assert outlined(tab) == pytest.approx(vars(expected.units[0].receptive_field), abs=0.01)


def test_units_that_are_not_active_are_pale(tab: Page, local: LocalClient, photo: bytes) -> None:
    tab.mouse.move(*place(tab, 0.3, 0.4))
    tab.mouse.move(*place(tab, 0.5, 0.5))
    expect(tab.locator("#units-heading")).to_have_text("conv5 at 30, 24")
    units = local.activations(photo, layer="conv5", top=9, y=24, x=30).units
    inactive = [unit.map for unit in units if unit.activation <= 0]
    assert 0 < len(inactive) < len(units)
    pale = tab.locator(".grid.nine .tile.inactive").all()
    assert [int(tile.get_attribute("data-map") or -1) for tile in pale] == inactive


def test_a_click_pins_the_place_until_escape(tab: Page) -> None:
    tab.mouse.click(*place(tab, 0.4, 0.5))
    expect(tab.locator(".cursor .ring")).to_have_count(1)
    pinned = heading(tab)
    tab.mouse.move(*place(tab, 0.6, 0.6))
    tab.mouse.move(*place(tab, 0.62, 0.6))
    assert heading(tab) == pinned
    tab.keyboard.press("Escape")
    expect(tab.locator("#units-heading")).to_have_text("Strongest of conv5")


def test_the_cursor_moves_by_the_arrow_keys(tab: Page) -> None:
    tab.focus("#photo-view .stage")
    tab.keyboard.press("ArrowRight")
    expect(tab.locator("#units-heading")).to_contain_text("conv5 at")
    first = heading(tab)
    tab.keyboard.press("ArrowRight")
    expect(tab.locator("#units-heading")).not_to_have_text(f"conv5 at {first[0]:g}, {first[1]:g}")
    assert heading(tab)[0] > first[0]
    tab.keyboard.press("Enter")
    expect(tab.locator(".cursor .ring")).to_have_count(1)


def test_tiles_show_patches_and_the_strongest_photos_of_the_index(tab: Page) -> None:
    tab.click("text=Patch")
    assert tab.locator(".grid.nine img").first.evaluate("(each) => each.style.objectPosition") == "100% 50%"
    tab.click("text=Top 9")
    expect(tab.locator(".grid.nine canvas")).to_have_count(9)


def test_a_box_is_occluded_at_once(tab: Page, local: LocalClient, photo: bytes) -> None:
    tab.click("#photo-view >> text=Box")
    drag(tab, (0.3, 0.3), (0.5, 0.6))
    expect(tab.locator(".class.changed").first).to_be_visible()
    drawn = tab.locator(".occluded")
    x, y, width, height = (float(drawn.get_attribute(side) or 0) for side in ("x", "y", "width", "height"))
    tab.wait_for_load_state("networkidle")
    assert after(tab) == pytest.approx(
        occluded(local, photo, boxes=[Box(x, y, x + width, y + height)]), abs=0.11
    )
    drag(tab, (0.4, 0.45), (0.55, 0.45))
    assert float(drawn.get_attribute("x") or 0) > x
    assert float(drawn.get_attribute("width") or 0) == pytest.approx(width)
    tab.keyboard.press("Escape")
    expect(tab.locator(".class.changed")).to_have_count(0)


def test_a_free_shape_is_occluded(tab: Page, local: LocalClient, photo: bytes) -> None:
    tab.click("#photo-view >> text=Shape")
    drag(tab, (0.3, 0.3), (0.6, 0.35), (0.45, 0.7))
    expect(tab.locator(".class.changed").first).to_be_visible()
    tab.wait_for_load_state("networkidle")
    path = tab.locator("path.occluded").get_attribute("d") or ""
    corners = [tuple(map(float, part.split())) for part in path.strip("MZ").split("L")]
    assert len(corners) > 2
    assert after(tab) == pytest.approx(occluded(local, photo, polygons=[corners]), abs=0.11)


def test_the_box_is_moved_and_resized_by_the_keyboard(tab: Page) -> None:
    tab.focus("#photo-view .stage")
    tab.keyboard.press("b")
    tab.keyboard.press("ArrowRight")
    expect(tab.locator(".class.changed").first).to_be_visible()
    x, width = (float(tab.locator(".occluded").get_attribute(side) or 0) for side in ("x", "width"))
    tab.keyboard.press("ArrowRight")
    assert float(tab.locator(".occluded").get_attribute("x") or 0) > x
    tab.keyboard.press("Shift+ArrowLeft")
    assert float(tab.locator(".occluded").get_attribute("width") or 0) < width


def test_only_one_request_of_the_brush_is_in_flight_and_the_newest_wins(tab: Page) -> None:
    tab.evaluate(
        """() => {
            const original = window.fetch;
            Object.assign(window, { flying: 0, most: 0, sent: [] });
            window.fetch = async (path, options) => {
                if (path !== "v1/occlude") return original(path, options);
                window.sent.push(JSON.parse(options.body).boxes[0]);
                window.flying += 1;
                window.most = Math.max(window.most, window.flying);
                await new Promise((resolve) => setTimeout(resolve, 150));
                return original(path, options).finally(() => { window.flying -= 1; });
            };
        }"""
    )
    tab.click("#photo-view >> text=Box")
    drag(tab, (0.3, 0.3), (0.35, 0.4), (0.4, 0.5), (0.45, 0.55), (0.5, 0.6))
    wait_until(tab, lambda: tab.evaluate("window.sent.length > 1 && window.flying === 0"))
    tab.wait_for_timeout(200)
    assert tab.evaluate("window.most") == 1
    sent, drawn = tab.evaluate("window.sent"), tab.locator(".occluded")
    assert len(sent) < 12
    assert sent[-1]["x0"] == pytest.approx(float(drawn.get_attribute("x") or 0), abs=0.1)
    assert sent[-1]["x1"] - sent[-1]["x0"] == pytest.approx(float(drawn.get_attribute("width") or 0), abs=0.1)


def after(tab: Page) -> list[float]:
    """Return the percentages after the occlusion."""
    texts = tab.locator(".class .value").all_inner_texts()
    return [float(text.split("%")[1]) for text in texts]


def occluded(local: ClientMethods, photo: bytes, **region: object) -> list[float]:
    """Return the percentages of all classes with a region occluded, most likely first without it."""
    names = [score.label_id for score in local.classify(photo).classes]
    result = local.occlude(photo, classes=names, pictures=False, **region)  # type: ignore[arg-type]
    return [100 * score.lowest for score in result.classes]


def test_a_sweep_draws_the_map_over_the_photo(tab: Page, local: LocalClient, photo: bytes) -> None:
    tab.click("text=Sweep")
    expect(tab.locator("#photo-view .legend")).to_be_visible()
    expect(tab.locator("#photo-view .legend")).not_to_contain_text("so far")
    label = local.classify(photo).classes[0].label
    values = local.occlude(photo, tensors=True, pictures=False).classes[0].value_map
    assert values is not None
    expect(tab.locator("#photo-view .legend")).to_contain_text(label)
    expect(tab.locator("#photo-view .legend .low")).to_have_text(f"{100 * values.min():.1f} %")
    expect(tab.locator("#photo-view .legend .high")).to_have_text(f"{100 * values.max():.1f} %")
    size = tab.locator(".heat").first.evaluate("(canvas) => [canvas.height, canvas.width]")
    assert size == list(values.shape)
    tab.click("text=Hide map")
    expect(tab.locator("#photo-view .heat")).to_be_hidden()


def test_a_sweep_is_drawn_as_it_comes_in_and_can_be_cancelled(
    tab: Page, local: LocalClient, photo: bytes
) -> None:
    partial = {"fraction": 0.25, "seconds_left": 30.0}
    tab.evaluate(
        """(progress) => {
            const original = window.fetch;
            window.fetch = (path, options) => {
                if (path !== "v1/occlude") return original(path, options);
                const body = new ReadableStream({
                    start(controller) {
                        const text = `event: progress\\ndata: ${JSON.stringify(progress)}\\n\\n`;
                        controller.enqueue(new TextEncoder().encode(text));
                        options.signal.addEventListener("abort", () => {
                            window.aborted = true;
                            controller.error(new DOMException("aborted", "AbortError"));
                        });
                    },
                });
                return Promise.resolve(new Response(body));
            };
        }""",
        partial,
    )
    tab.click("text=Sweep")
    expect(tab.locator("#photo-view .progress .left")).to_have_text("25 %, 30 s left")
    tab.click("#photo-view .progress >> text=Cancel")
    expect(tab.locator("#photo-view .progress")).to_be_hidden()
    assert tab.evaluate("window.aborted")


def test_an_analysis_that_a_stopping_server_ended_begins_again(tab: Page) -> None:
    tab.evaluate(
        """() => {
            const original = window.fetch;
            const stopped = 'event: error\\ndata: {"error": {"reason": "CANCELLED"}}\\n\\n';
            const ended = ["", stopped];
            window.fetch = (path, options) => (path === "v1/occlude" && ended.length
                ? Promise.resolve(new Response(ended.pop())) : original(path, options));
        }"""
    )
    tab.keyboard.press("b")
    tab.locator("#photo-view .stage").focus()
    tab.keyboard.press("ArrowRight")
    expect(tab.locator(".class.changed").first).to_be_visible()
    expect(tab.locator("#notices p")).to_have_count(0)


def test_a_late_answer_does_not_end_the_sentence_about_a_server_that_is_away(tab: Page) -> None:
    tab.evaluate(
        """() => {
            const original = window.fetch;
            window.away = true;
            window.fetch = async (path, options) => {
                if (path === "v1/activations") await new Promise((resolve) => { window.answer = resolve; });
                else if (window.away) throw new TypeError("away");
                return original(path, options);
            };
        }"""
    )
    stage, away = tab.locator("#photo-view .stage"), tab.locator("#notices [data-key=away]")
    stage.focus()
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("b")
    tab.keyboard.press("ArrowRight")
    expect(away).to_be_visible()
    tab.evaluate("window.answer()")
    expect(tab.locator("#units-heading")).to_contain_text("conv5 at")
    expect(away).to_be_visible()
    tab.evaluate("window.away = false")
    expect(tab.locator(".class.changed").first).to_be_visible()
    expect(away).to_have_count(0)


def test_the_strip_shows_the_strongest_maps_of_each_layer(
    tab: Page, local: LocalClient, photo: bytes
) -> None:
    columns = tab.locator(".layers li")
    expect(columns.last.locator(".tile")).to_have_count(4)
    shown = columns.locator("button b").all_inner_texts()
    assert shown == [layer.name for layer in local.model().layers if layer.block]
    expected = local.activations(photo, layer=shown[0], top=4, pictures=False)
    assert columns.first.locator(".tile .name").all_inner_texts() == [
        str(unit.map) for unit in expected.units
    ]


def test_arrow_keys_walk_layers_and_maps(tab: Page, local: LocalClient) -> None:
    first, second = [layer.name for layer in local.model().layers if layer.block][:2]
    expect(tab.locator(".layers li").last.locator(".tile")).to_have_count(4)
    tab.focus(".layers li:first-child button")
    tab.keyboard.press("ArrowRight")
    assert tab.evaluate("document.activeElement.querySelector('b').textContent") == second
    tab.keyboard.press("ArrowDown")
    assert tab.evaluate("document.activeElement.className") == "tile"
    tab.keyboard.press("ArrowUp")
    tab.keyboard.press("Enter")
    expect(tab.locator("#layer")).to_have_value(second)
    tab.evaluate("document.activeElement.blur()")
    tab.keyboard.press("[")
    expect(tab.locator("#layer")).to_have_value(first)
