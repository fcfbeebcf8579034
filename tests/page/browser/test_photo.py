"""A photo, its classes, and the address of what is shown."""

import base64
import hashlib
import re
import socket
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.page.browser.conftest import Open, choose, picture, wait_until
from tests.support.nginx import Nginx
from tests.support.page_server import PageClient, running_page
from tests.support.ports import free_ports
from zfscope.local import LocalClient

LOCATION = Path(__file__).parents[3] / "docker" / "page.nginx"
HASH = re.compile(r"photo=([0-9a-f]{64})")


def labels(tab: Page) -> list[str]:
    """Return the classes as the page lists them."""
    expect(tab.locator(".class").first).to_be_visible()
    return tab.locator(".class .label").all_inner_texts()


def put(tab: Page, event: str, data: bytes) -> None:
    """Drop or paste a file, as the browser does it."""
    tab.evaluate(
        """([event, data]) => {
            const bytes = Uint8Array.from(atob(data), (each) => each.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], "photo.png", { type: "image/png" }));
            const options = { bubbles: true, cancelable: true };
            window.dispatchEvent(event === "paste"
              ? new ClipboardEvent("paste", { ...options, clipboardData: transfer })
              : new DragEvent("drop", { ...options, dataTransfer: transfer }));
        }""",
        [event, base64.b64encode(data).decode()],
    )


@pytest.mark.parametrize("how", ["choose", "drop", "paste", "sample", "camera"])
def test_a_photo_is_brought_and_classified(
    how: str, open_page: Open, page: PageClient, local: LocalClient, photo: bytes
) -> None:
    tab = open_page()
    if how == "choose":
        choose(tab, photo)
    elif how == "camera":
        tab.click("text=Camera")
        wait_until(tab, lambda: tab.evaluate("document.querySelector('video')?.videoWidth > 0"))
        tab.click("text=Take photo")
    elif how == "sample":
        tab.click(".samples .tile >> nth=0")
    else:
        put(tab, how, photo)
    shown = labels(tab)
    tab.wait_for_url(HASH)
    match = HASH.search(tab.url)
    assert match
    stored = page.get(f"v1/photos/{match[1]}").body
    assert how in ("sample", "camera") or stored == photo
    assert shown == [score.label for score in local.classify(stored).classes]


def test_the_frame_shows_what_the_network_sees(open_page: Open, photo: bytes) -> None:
    tab = open_page()
    choose(tab, photo)
    expect(tab.locator(".readout")).to_contain_text("inside the frame as 32 × 32")
    frame = {
        side: float(tab.locator("#photo-view .frame").get_attribute(side) or 0)
        for side in ("x", "y", "width", "height")
    }
    # The 36 pixels of the shorter side are the photo's 48; the crop is 32 of them, in the middle.
    side = 32 * 48 / 36
    expected = {"x": (60 - side) / 2, "y": (48 - side) / 2, "width": side, "height": side}
    assert frame == pytest.approx(expected, abs=1)


def test_a_click_on_a_class_makes_the_page_about_it(open_page: Open, photo: bytes) -> None:
    tab = open_page()
    choose(tab, photo)
    third = tab.locator(".class").nth(2)
    third.click()
    expect(third).to_have_attribute("aria-pressed", "true")
    assert f"class={third.get_attribute('data-id')}" in tab.url
    tab.click("text=Sweep")
    expect(tab.locator("#photo-view .legend")).to_contain_text(third.locator(".label").inner_text())


def test_reload_and_back_restore_the_view(open_page: Open, photo: bytes) -> None:
    tab = open_page()
    choose(tab, photo)
    labels(tab)
    tab.select_option("#layer", "conv3")
    expect(tab.locator("#units-heading")).to_have_text("Strongest of conv3")
    expect(tab.locator(".grid.nine img")).to_have_count(9)
    tab.click(".grid.nine .tile >> nth=1")
    expect(tab.locator("#unit-view h1")).to_contain_text("conv3")
    heading, address = tab.locator("#unit-view h1").inner_text(), tab.url
    tab.reload()
    expect(tab.locator("#unit-view h1")).to_have_text(heading)
    expect(tab.locator(".trio img")).to_have_count(3)
    tab.go_back()
    expect(tab.locator("#photo-view .stage")).to_be_visible()
    expect(tab.locator("#layer")).to_have_value("conv3")
    tab.go_forward()
    expect(tab.locator("#unit-view h1")).to_have_text(heading)
    assert tab.url == address


def test_a_sample_can_be_shared_by_its_address(
    open_page: Open, stack: ExitStack, store: Path, local: LocalClient
) -> None:
    tab = open_page()
    tab.click(".samples .tile >> nth=0")
    labels(tab)
    address = tab.url.partition("#")[2]
    other = stack.enter_context(running_page(local, samples=store.parent / "samples"))
    elsewhere = open_page(address, url=other.url, expected=(404,))
    assert labels(elsewhere) == labels(tab)


def test_the_address_of_a_photo_that_is_gone_gives_a_sentence(open_page: Open) -> None:
    gone = hashlib.sha256(b"gone").hexdigest()
    tab = open_page(f"photo={gone}", expected=(404,))
    expect(tab.locator("#notices")).to_contain_text("no longer in the server's memory")
    expect(tab.locator(".drop")).to_be_visible()


def test_a_file_that_is_not_a_photo_gives_a_sentence(open_page: Open, photo: bytes) -> None:
    tab = open_page(expected=(400,))
    choose(tab, b"just text", "notes.txt", "text/plain")
    expect(tab.locator("#notices .error")).to_contain_text("not")
    choose(tab, photo)
    labels(tab)
    expect(tab.locator("#notices p")).to_have_count(0)


def test_a_photo_over_the_limit_is_not_sent(open_page: Open) -> None:
    tab = open_page()
    limit = tab.evaluate("fetch('v1/session').then((answer) => answer.json())")["max_photo_bytes"]
    tab.evaluate(
        """(size) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(size)], "large.png"));
            window.dispatchEvent(new DragEvent("drop", { cancelable: true, dataTransfer: transfer }));
        }""",
        limit + 1,
    )
    expect(tab.locator("#notices .error")).to_contain_text(f"allowed: at most {limit:,}")


def test_the_page_resumes_when_the_server_is_restarted(
    open_page: Open, local: LocalClient, photo: bytes
) -> None:
    listen = f"127.0.0.1:{free_ports(1)[0]}"
    with running_page(local, listen=listen) as served:
        tab = open_page(url=served.url, expected=(0, 404, 499, 503))
        choose(tab, photo)
        labels(tab)
    tab.select_option("#model", index=1)
    expect(tab.locator("#notices")).to_contain_text("does not answer")
    with running_page(local, listen=listen):
        expect(tab.locator("#notices p")).to_have_count(0)
        expect(tab.locator(".grid.nine img")).to_have_count(9)


def test_the_page_repeats_requests_over_the_limit_of_connections(
    open_page: Open, stack: ExitStack, local: LocalClient, photo: bytes
) -> None:
    limit = 10  # a browser opens up to six
    served = stack.enter_context(running_page(local, max_connections=limit))
    tab = open_page(url=served.url, expected=(429,))
    held = [socket.create_connection(served.address, timeout=60) for _ in range(limit)]
    with tab.expect_response(lambda response: response.status == 429):
        choose(tab, photo)
    for each in held:
        each.close()
    expect(tab.locator(".class")).to_have_count(4)
    expect(tab.locator(".grid.nine img")).to_have_count(9)
    complete = "[...document.querySelectorAll('img[src]')].every((image) => image.naturalWidth > 0)"
    wait_until(tab, lambda: tab.evaluate(complete))
    expect(tab.locator("#notices p")).to_have_count(0)


def test_the_page_works_under_a_path_of_a_proxy(
    open_page: Open, stack: ExitStack, page: PageClient, photo: bytes, tmp_path: Path
) -> None:
    location = LOCATION.read_text().replace("127.0.0.1:8080", "{}:{}".format(*page.address))
    proxy = stack.enter_context(closing(Nginx(tmp_path, location)))
    proxy.start()
    tab = open_page(url=f"http://{proxy.address}/zfscope/")
    choose(tab, photo)
    expect(tab.locator(".grid.nine img")).to_have_count(9)
    assert tab.locator(".grid.nine img").first.evaluate("(each) => each.naturalWidth") > 0


def test_a_slow_answer_is_announced_until_it_comes(open_page: Open, photo: bytes) -> None:
    tab, held = open_page(), list[Route]()
    tab.route("**/v1/classify", lambda route: held.append(route))
    choose(tab, photo)
    expect(tab.locator(".classes")).to_have_text("Classifying…")
    held[0].continue_()
    labels(tab)


def test_a_token_is_asked_for(open_page: Open, stack: ExitStack, local: LocalClient, photo: bytes) -> None:
    token = "0123456789abcdef"
    served = stack.enter_context(running_page(local, token=token))
    tab = open_page(url=served.url, expected=(401,), ready="dialog")
    tab.fill("#token", "wrong")
    tab.click("text=Sign in")
    expect(tab.locator("dialog .wrong")).to_contain_text("not accepted")
    tab.fill("#token", token)
    tab.click("text=Sign in")
    tab.wait_for_selector("body:not([aria-busy])")
    choose(tab, photo)
    labels(tab)
    assert tab.context.cookies()[0]["httpOnly"]


def test_two_people_see_their_own_photos(open_page: Open, local: LocalClient) -> None:
    tabs = [open_page(), open_page()]
    photos = [picture(seed) for seed in (21, 22)]
    for tab, data in zip(tabs, photos, strict=True):
        choose(tab, data)
    for tab, data in zip(tabs, photos, strict=True):
        assert labels(tab) == [score.label for score in local.classify(data).classes]
