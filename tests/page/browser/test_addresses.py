"""Addresses edited by hand: what does not exist is left out, with a sentence, and the rest is shown."""

import pytest
from playwright.sync_api import expect

from tests.page.browser.conftest import Open, wait_until

SAMPLE = "sample=first.png"
NOTICE = "#notices p"


@pytest.mark.parametrize(
    ("address", "sentence", "left"),
    [
        ("view=constructor", "View 'constructor' not found; available: photo, unit, compare, analyze.", ""),
        ("model=nothing", "Model 'nothing' not found; available: tiny", ""),
        ("model=tiny&version=9", "Model 'tiny, version 9' not found; available: tiny", ""),
        ("layer=conv9&map=3", "Layer 'conv9' not found in tiny; conv5 is shown.", ""),
        ("view=unit", "The address names no map.", ""),
        ("view=unit&map=99", "Map '99' not found in conv5; allowed: 0 to 11.", ""),
        ("view=unit&map=1.5", "Map '1.5' not found in conv5; allowed: 0 to 11.", ""),
        ("view=unit&map=3&y=7&x=0", "Place '7, 0' not found in conv5; it is left out.", "view=unit&map=3&"),
        ("view=unit&map=3&y=1", "Place '1, ' not found in conv5; it is left out.", "view=unit&map=3&"),
        ("view=unit&layer=fc6&map=1&y=0&x=0", "Place '0, 0' not found in fc6;", "view=unit&layer=fc6&map=1&"),
        ("view=unit&map=3&rule=x", "Rule 'x' not found; allowed: deconvnet, guided,", "view=unit&map=3&"),
        ("view=unit&map=3&normalisation=x", "Normalisation 'x' not found;", "view=unit&map=3&"),
        ("class=n9", "Class 'n9' is not a class of tiny; the most likely one is chosen.", ""),
        ("view=analyze&analyzer=x", "Analyzer 'x' not found; activations is shown.", "view=analyze&"),
        ("view=compare&model2=x", "Model 'x' not found.", "view=compare&"),
    ],
)
def test_what_does_not_exist_is_left_out_with_a_sentence(
    open_page: Open, address: str, sentence: str, left: str
) -> None:
    tab = open_page(f"{address}&{SAMPLE}")
    expect(tab.locator(NOTICE)).to_contain_text(sentence)
    wait_until(tab, lambda: tab.evaluate("location.hash.includes('photo=')"))
    assert tab.evaluate("location.hash").startswith(f"#{left}photo=")
    assert tab.locator(NOTICE).count() == 1
    if not left:
        expect(tab.locator("#photo-view .class").first).to_be_visible()


def test_an_address_may_name_a_sample_alone(open_page: Open) -> None:
    tab = open_page(SAMPLE)
    expect(tab.locator("#photo-view .class").first).to_be_visible()
    wait_until(tab, lambda: tab.evaluate("location.hash.startsWith('#photo=')"))
    assert tab.locator(NOTICE).count() == 0


def test_a_shared_sample_opens_without_an_error_where_nobody_has_opened_it(open_page: Open) -> None:
    tab = open_page(f"photo={'0' * 64}&{SAMPLE}")
    expect(tab.locator("#photo-view .class").first).to_be_visible()
    assert "0000" not in tab.evaluate("location.hash")


@pytest.mark.parametrize("key", ["photo", "photo2"])
def test_a_photo_that_is_gone_is_left_out_with_a_sentence(open_page: Open, key: str) -> None:
    tab = open_page(f"view=compare&{key}={'0' * 64}&{SAMPLE if key == 'photo2' else ''}", expected=(404,))
    expect(tab.locator(NOTICE)).to_contain_text("This photo is no longer in the server's memory")
    assert "0000" not in tab.evaluate("location.hash")


def test_a_comparison_without_a_photo_says_how_to_begin(open_page: Open) -> None:
    tab = open_page("view=compare")
    expect(tab.locator("#compare-view .empty")).to_contain_text("Bring a photo to see how two models")
    expect(tab.locator("#compare-view .panes").first).to_be_hidden()
