"""A unit, comparison, any analyzer, and what can be taken along."""

import io
import json
import time
import zipfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, Route, expect

from tests.page.browser.conftest import Open, choose, picture, place, wait_until
from tests.support.held_analyzer import HeldAnalyzer
from tests.support.page_server import running_page
from zfscope.analysis.registry import RegisteredAnalyzer, Registry
from zfscope.local import LocalClient


@pytest.fixture
def tab(open_page: Open, photo: bytes) -> Page:
    """The page with a photo."""
    tab = open_page()
    choose(tab, photo)
    expect(tab.locator(".grid.nine img")).to_have_count(9)
    return tab


def test_a_unit_has_projection_patch_and_control(tab: Page, local: LocalClient, photo: bytes) -> None:
    tab.click(".grid.nine .tile >> nth=0")
    expect(tab.locator(".trio img")).to_have_count(3)
    (expected,) = local.project(photo, layer="conv5", top=1, control=True, pictures=False).projections
    expect(tab.locator("#unit-view h1")).to_have_text(f"conv5 map {expected.map}")
    note = tab.locator("#unit-view > .note")
    expect(note).to_contain_text(f"at row {expected.y}, column {expected.x}")
    expect(note).to_contain_text(f"SSIM {float(f'{expected.control_ssim:.3g}'):g}")


def test_rule_and_normalisation_are_switches_and_part_of_the_address(tab: Page) -> None:
    tab.click(".grid.nine .tile >> nth=0")
    expect(tab.locator(".trio img")).to_have_count(3)
    first = tab.locator(".trio img").first.get_attribute("src")
    tab.click("text=guided")
    expect(tab.locator(".trio img").first).not_to_have_attribute("src", first or "")
    assert "rule=guided" in tab.url
    tab.click("[aria-label='Contrast normalisation'] >> text=gradient")
    assert "normalisation=gradient" in tab.url
    tab.reload()
    expect(tab.locator("[data-value=guided]")).to_have_attribute("aria-pressed", "true")


def test_a_unit_of_an_indexed_layer_shows_its_strongest_photos_histogram_and_classes(
    tab: Page, local: LocalClient
) -> None:
    tab.click(".grid.nine .tile >> nth=0")
    number = int(tab.url.partition("map=")[2].partition("&")[0])
    (expected,) = local.top_k(layer="conv5", maps=[number], pictures=False).maps
    records = tab.locator(".records")
    expect(records).to_contain_text(f"Active in {expected.alive} of {expected.images} photos.")
    expect(records.locator("img")).to_have_count(1)
    assert expected.histogram
    expect(records.locator(".histogram rect")).to_have_count(len(expected.histogram.counts))
    rows = [row.locator("td").all_inner_texts() for row in records.locator("tbody tr").all()]
    counted = [[each.label, str(each.photos), str(each.images)] for each in expected.classes]
    assert [row[:3] for row in rows] == counted


def test_a_layer_without_index_gives_a_sentence(open_page: Open, tab: Page) -> None:
    address = tab.url.partition("#")[2]
    other = open_page(f"{address}&view=unit&layer=conv2&map=1")
    expect(other.locator(".records .note")).to_contain_text("conv2")
    expect(other.locator(".training .note")).not_to_be_empty()


def test_arrow_keys_walk_the_maps_of_a_unit_page(tab: Page) -> None:
    tab.goto(f"{tab.url}&view=unit&layer=conv5&map=3")
    expect(tab.locator("#unit-view h1")).to_have_text("conv5 map 3")
    tab.keyboard.press("ArrowRight")
    expect(tab.locator("#unit-view h1")).to_have_text("conv5 map 4")
    tab.keyboard.press("ArrowLeft")
    tab.keyboard.press("ArrowLeft")
    expect(tab.locator("#unit-view h1")).to_have_text("conv5 map 2")
    tab.keyboard.press("Escape")
    expect(tab.locator("#photo-view .stage")).to_be_visible()


def test_two_versions_are_compared_with_a_linked_cursor(tab: Page, local: LocalClient, photo: bytes) -> None:
    tab.keyboard.press("2")
    rows = tab.locator("#compare-view tbody tr")
    expect(rows).to_have_count(4)
    probabilities = [
        {score.label: score.probability for score in local.classify(photo, version=version).classes}
        for version in (2, 1)
    ]
    for row in rows.all():
        label, a, b, change = row.locator("td").all_inner_texts()
        shown = [float(each.rstrip(" %")) for each in (a, b)]
        expected = [100 * each[label] for each in probabilities]
        assert shown == pytest.approx(expected, abs=0.06)
        assert float(change) == pytest.approx(expected[1] - expected[0], abs=0.06)
    tab.mouse.move(*place(tab, 0.3, 0.4, "#compare-view .stage"))
    tab.mouse.move(*place(tab, 0.5, 0.5, "#compare-view .stage"))
    expect(tab.locator("#compare-view .grid.three img")).to_have_count(6)
    notes = tab.locator("#compare-view .pane > .note").all_inner_texts()
    assert notes == ["conv5 at 30, 24"] * 2


def test_the_difference_of_two_occlusion_maps_is_drawn(tab: Page, local: LocalClient, photo: bytes) -> None:
    tab.keyboard.press("2")
    expect(tab.locator("#compare-view tbody tr")).to_have_count(4)
    tab.click("text=Difference of occlusion maps")
    expect(tab.locator(".difference figcaption")).to_be_visible()
    label = local.classify(photo).classes[0].label_id
    changes, cleans = [], []
    for version in (2, 1):
        options = {"version": version, "classes": [label], "tensors": True, "pictures": False}
        (score,) = local.occlude(photo, **options).classes  # type: ignore[arg-type]
        assert score.value_map is not None
        changes.append(score.value_map - score.clean)
        cleans.append(score.clean)
    limit = 100 * np.abs(changes[1] - changes[0]).max()
    expect(tab.locator(".difference figcaption")).to_contain_text(f"red +{limit:.1f} %")
    lowest = [f"{100 * (change.min() + clean):.1f} %" for change, clean in zip(changes, cleans, strict=True)]
    expect(tab.locator(".pane .legend .low")).to_have_text(lowest)
    expect(tab.locator(".pane .legend").last).to_be_visible()


def test_two_photos_are_compared(tab: Page, local: LocalClient) -> None:
    tab.keyboard.press("2")
    expect(tab.locator("#compare-view tbody tr")).to_have_count(4)
    other = picture(33)
    tab.set_input_files(
        "[aria-label='Photo B'][type=file]", {"name": "b.png", "mimeType": "image/png", "buffer": other}
    )
    top = local.classify(other, version=1).classes[0]
    cell = tab.locator("#compare-view tbody tr", has_text=top.label).locator("td").nth(2)
    expect(cell).to_have_text(f"{100 * top.probability:.1f} %")
    assert "photo2=" in tab.url


def test_any_analyzer_has_a_form_from_its_schema(tab: Page, local: LocalClient, photo: bytes) -> None:
    tab.keyboard.press("3")
    names = [analyzer.name for analyzer in local.analyzers()]
    expect(tab.locator(".side a")).to_have_text(names)
    tab.click(".side >> text=project")
    tab.fill("#parameter-layer", "conv3")
    tab.fill("#parameter-top", "2")
    tab.select_option("#parameter-rule", "guided")
    tab.click("#analyze-view button.primary")
    rows = tab.locator(".result tbody tr")
    expect(rows).to_have_count(2)
    expected = local.project(photo, layer="conv3", top=2, rule="guided", pictures=False).projections
    assert [int(row.locator("td").nth(1).inner_text()) for row in rows.all()] == [
        each.map for each in expected
    ]
    expect(tab.locator(".result img")).to_have_count(3)


def test_a_wrong_parameter_is_reported_next_to_its_field(open_page: Open, tab: Page) -> None:
    address = tab.url.partition("#")[2]
    other = open_page(f"{address}&view=analyze&analyzer=project", expected=(400, 404))
    other.fill("#parameter-layer", "conv9")
    other.click("#analyze-view button.primary")
    expect(other.locator("#parameter-layer-wrong")).to_contain_text("conv9")
    other.fill("#parameter-layer", "")
    other.fill("#parameter-units", "[{")
    other.click("#analyze-view button.primary")
    expect(other.locator("#parameter-units-wrong")).to_contain_text("JSON")
    expect(other.locator("#parameter-layer-wrong")).to_be_hidden()
    other.fill("#parameter-units", '[{"map": 1, "y": 1}, {"maps": 1}]')
    other.click("#analyze-view button.primary")
    expect(other.locator("#parameter-units-wrong")).to_contain_text("units[0]: give both y and x")
    expect(other.locator("#parameter-units-wrong")).to_contain_text(
        "units[1].maps is not known; allowed: map"
    )


def test_an_installed_analyzer_appears_and_is_cancelled(
    open_page: Open, stack: ExitStack, store: Path, photo: bytes, tmp_path: Path
) -> None:
    client = stack.enter_context(LocalClient(store))
    held = RegisteredAnalyzer(HeldAnalyzer(), "held-analyzer", "1.0")
    vars(client)["registry"] = Registry([*client.registry.values(), held])
    tab = open_page(url=stack.enter_context(running_page(client)).url, expected=(0, 499))
    choose(tab, photo)
    expect(tab.locator(".class").first).to_be_visible()
    tab.keyboard.press("3")
    tab.click(".side >> text=held")
    tab.fill("#parameter-folder", str(tmp_path))
    tab.click("#analyze-view button.primary")
    wait_for(tmp_path / "begun")
    tab.click("#analyze-view >> text=Cancel")
    wait_for(tmp_path / "cancelled")
    expect(tab.locator(".result")).to_have_text("Cancelled.")


def test_an_answer_about_a_former_model_is_not_shown(tab: Page) -> None:
    held: list[Route] = []
    tab.route("**/v1/analyzers?*version=2", lambda route: held.append(route))
    tab.keyboard.press("3")
    wait_until(tab, lambda: len(held) == 1)
    tab.select_option("#model", label="tiny")
    expect(tab.locator(".side a").first).to_be_visible()
    with tab.expect_response("**/v1/analyzers?*version=2"):
        held[0].fulfill(json={"analyzers": []})
    tab.wait_for_timeout(100)
    expect(tab.locator(".side a").first).to_be_visible()
    tab.click(".side >> text=occlude")
    expect(tab.locator("#analyze-view h1")).to_have_text("occlude")


def test_a_unit_is_not_asked_about_once_its_page_is_left(tab: Page) -> None:
    held: list[Route] = []
    asked: list[str] = []
    tab.route("**/v1/top-k", lambda route: held.append(route))
    tab.on("request", lambda request: asked.append(request.url.rpartition("/")[2]))
    tab.click(".grid.nine .tile >> nth=0")
    wait_until(tab, lambda: len(held) == 1)
    tab.go_back()
    expect(tab.locator("#photo-view .stage")).to_be_visible()
    held[0].fulfill(body="")
    tab.wait_for_timeout(300)
    assert "evolve" not in asked
    tab.unroute("**/v1/top-k")
    tab.go_forward()  # asks again for what was cancelled
    expect(tab.locator("#unit-view .records img")).to_be_visible()
    wait_until(tab, lambda: "evolve" in asked)


def test_a_comparison_shows_the_newest_choice(tab: Page) -> None:
    held: list[Route] = []
    tab.route("**/v1/view?*version=1", lambda route: held.append(route))
    tab.keyboard.press("2")
    wait_until(tab, lambda: len(held) == 1)
    tab.select_option("[aria-label='Model B']", label="tiny, version 2")
    ready = tab.locator(".pane .note", has_text="point at a place")
    expect(ready).to_have_count(2)
    held[0].abort()
    tab.wait_for_timeout(100)
    expect(ready).to_have_count(2)
    assert tab.locator("[aria-label='Model B'] option:checked").inner_text() == "tiny, version 2"
    expect(tab.locator("#notices p")).to_have_count(0)


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_view_is_saved_as_an_archive(tab: Page, local: LocalClient, photo: bytes) -> None:
    with tab.expect_download() as download:
        tab.click("text=Save ZIP")
    archive = zipfile.ZipFile(io.BytesIO(Path(download.value.path()).read_bytes()))
    assert archive.testzip() is None
    assert archive.read("photo.png") == photo
    folder = next(
        name.partition("/")[0] for name in archive.namelist() if name.endswith("-project/result.json")
    )
    result = json.loads(archive.read(f"{folder}/result.json"))
    expected = local.project(photo, layer="conv5", tensors=True)
    assert [each["map"] for each in result["projections"]] == [each.map for each in expected.projections]
    tensor = np.load(io.BytesIO(archive.read(f"{folder}/{result['projections'][0]['tensor']['file']}")))
    assert np.array_equal(tensor, expected.projections[0].tensor)  # type: ignore[arg-type]
    assert expected.projections[0].picture
    assert archive.read(f"{folder}/{result['projections'][0]['picture']['file']}").startswith(b"\x89PNG")
