"""An opaque model on the page: classes and occlusion work; projections are not requested, with the reason."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.page.browser.conftest import Open, choose, place
from tests.support.opaque_models import add_opaque_model
from tests.support.page_server import PageClient, running_page
from zfscope.local import LocalClient

REASON = re.compile(
    r"'project' needs a network of layers to walk; "
    r"model 'vit' version 1 is an opaque graph, not a list of layers \(Concat "
)


@pytest.fixture(scope="module")
def opaque(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageClient]:
    """A page with the opaque model `vit`."""
    folder = tmp_path_factory.mktemp("opaque") / "models"
    add_opaque_model(folder, "vit")
    with LocalClient(Path(folder)) as client, running_page(client) as served:
        yield served


def requests_of(tab: Page) -> list[str]:
    """Return a list to which the paths of all further requests are added."""
    sent: list[str] = []
    tab.on("request", lambda request: sent.append(request.url.partition("/v1/")[2]))
    return sent


def test_a_photo_is_classified_and_projections_are_not_requested(
    open_page: Open, opaque: PageClient, photo: bytes
) -> None:
    tab = open_page(url=opaque.url)
    sent = requests_of(tab)
    choose(tab, photo)
    expect(tab.locator(".class")).to_have_count(5)
    expect(tab.locator("#units-heading")).to_have_text("Strongest of norm")
    expect(tab.locator(".grid.nine .tile")).to_have_count(9)
    note = tab.locator("[aria-labelledby=units-heading] > .note")
    expect(note).to_contain_text(REASON)
    expect(tab.locator("button[data-value=projection]")).to_be_disabled()
    expect(tab.locator("button[data-value=top]")).to_be_enabled()
    tab.mouse.move(*place(tab, 0.5, 0.5))
    expect(note).to_contain_text("Receptive field unknown")
    tab.click("text=Sweep")
    expect(tab.locator("#photo-view .legend")).to_contain_text("class ")
    expect(tab.locator("#notices p")).to_have_count(0)
    assert "occlude" in " ".join(sent)
    assert not [path for path in sent if path.startswith("project")]


def test_the_page_of_a_unit_shows_the_reason(open_page: Open, opaque: PageClient, photo: bytes) -> None:
    tab = open_page(url=opaque.url, expected=(404,))
    choose(tab, photo)
    sent = requests_of(tab)
    tab.click(".grid.nine .tile >> nth=0")
    expect(tab.locator("#unit-view .note").first).to_contain_text(REASON)
    expect(tab.locator("#unit-view .switches")).to_be_hidden()
    expect(tab.locator("#unit-view .training")).to_contain_text("'evolve' needs a network of layers to walk")
    expect(tab.locator("#notices p")).to_have_count(0)
    assert not [path for path in sent if path.startswith(("project", "evolve"))]


def test_an_analysis_that_cannot_run_is_disabled_with_the_reason(
    open_page: Open, opaque: PageClient, photo: bytes
) -> None:
    tab = open_page("view=analyze&analyzer=project", url=opaque.url)
    sent = requests_of(tab)
    run = tab.locator("#analyze-view button.primary")
    expect(run).to_be_disabled()
    expect(run).to_have_attribute("aria-disabled", "true")
    expect(tab.locator("#unavailable")).to_contain_text(REASON)
    expect(tab.locator(".side a.unavailable").first).to_have_attribute("title", re.compile("needs a network"))
    tab.locator("#analyze-view form input").first.press("Enter")
    tab.click(".side a:has-text('occlude')")
    expect(tab.locator("#analyze-view button.primary")).to_be_enabled()
    expect(tab.locator("#unavailable")).to_have_count(0)
    assert not [path for path in sent if path.startswith("analyze/")]


def test_two_models_are_compared_without_projections(
    open_page: Open, opaque: PageClient, photo: bytes
) -> None:
    tab = open_page(url=opaque.url)
    choose(tab, photo)
    expect(tab.locator(".class")).to_have_count(5)
    sent = requests_of(tab)
    tab.click(".top nav a[data-view=compare]")
    expect(tab.locator("#compare-view .pane .note").first).to_contain_text("point at a place")
    tab.mouse.move(*place(tab, 0.5, 0.5, "#compare-view .stage"))
    expect(tab.locator("#compare-view .pane .note").first).to_contain_text(REASON)
    expect(tab.locator("#notices p")).to_have_count(0)
    assert not [path for path in sent if path.startswith("project")]
