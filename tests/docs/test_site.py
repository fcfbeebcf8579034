"""The site in Chromium, from its files: search, colour schemes, narrow windows, no requests to others."""

from collections.abc import Iterator
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.support.programs import CHROMIUM, require_program
from tests.support.site import Site

PAGES = (
    "index",
    "tutorials/first-photo",
    "how-to/serving",
    "reference/commands",
    "reference/http",
    "reference/python",
    "reference/settings",
)
SEARCHES = [
    ("occlude --window", "Commands", "--window"),
    ("MAX_PASSES", "Settings", "ZFSCOPE_MAX_PASSES"),
    ("NOT_SERVING", "Errors and statuses", "NOT_SERVING"),
]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    program = require_program(*CHROMIUM, package="chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def tab(chromium: Browser, site: Site) -> Iterator[Page]:
    """A tab of 360 pixels; the test fails if a page logs an error or requests a file of another site."""
    context = chromium.new_context(viewport={"width": 360, "height": 740})
    faults: list[str] = []
    page = context.new_page()
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda sent: faults.append(sent.url) if not _is_own(sent.url, site) else None)
    page.on("requestfailed", lambda sent: faults.append(f"failed: {sent.url}"))
    yield page
    context.close()
    assert faults == []


def _is_own(url: str, site: Site) -> bool:
    return url.startswith((site.folder.as_uri(), "data:"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_into_a_narrow_window_and_follow_the_colour_scheme(
    scheme: Literal["light", "dark"], tab: Page, site: Site
) -> None:
    tab.emulate_media(color_scheme=scheme)
    for name in PAGES:
        tab.goto(site.page(name).path.as_uri())
        assert tab.evaluate("document.scrollingElement.scrollWidth") <= 360, name
        red = tab.evaluate(r"Number(getComputedStyle(document.body).backgroundColor.match(/\d+/)[0])")
        assert red < 60 if scheme == "dark" else red > 200


@pytest.mark.parametrize(("words", "title", "text"), SEARCHES)
def test_search_leads_to_the_page(words: str, title: str, text: str, tab: Page, site: Site) -> None:
    tab.set_viewport_size({"width": 1200, "height": 900})
    tab.goto((site.folder / "index.html").as_uri())
    tab.wait_for_url("**/docs/index.html")
    tab.get_by_placeholder("Search").fill(words)
    tab.keyboard.press("Enter")

    tab.locator("#search-results li").filter(has_text=title).first.get_by_role("link").first.click()

    expect(tab.locator("h1").first).to_contain_text(title)
    expect(tab.locator("article")).to_contain_text(text)  # waits while a long page is still loading


def test_each_question_of_the_start_page_leads_to_a_page_with_commands(tab: Page, site: Site) -> None:
    start = site.page("index").path.as_uri()
    tab.goto(start)
    questions = tab.locator(".questions li strong a")
    assert questions.count() == 5
    for number in range(questions.count()):
        questions.nth(number).click()
        tab.locator("article pre").first.wait_for()
        tab.goto(start)
