"""Photos of an index are opened from a unit's page, and their address can be shared."""

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.cli.conftest import write_tiny
from tests.page.browser.conftest import Open, choose, picture, wait_until
from tests.support.indexes import index_photos
from tests.support.page_server import PageClient, running_page
from zfscope.local import LocalClient
from zfscope.store import open_store

UNIT = "view=unit&layer=conv5&map=3"
TILES = "#unit-view .openers button"
STAGE = "#photo-view .stage"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Photos of a test's own, which it may delete."""
    folder = tmp_path / "photos" / "ant"
    folder.mkdir(parents=True)
    for seed in range(4):
        (folder / f"{seed}.png").write_bytes(picture(seed, (60 + seed, 48)))
    return folder.parent


@pytest.fixture
def client(photos: Path, tmp_path: Path) -> Iterator[LocalClient]:
    """A client of a store with the index `all` of these photos."""
    write_tiny(tmp_path / "models", 1)
    index_photos(open_store(tmp_path / "models").load("tiny"), photos, "all", ["conv5"])
    with LocalClient(tmp_path / "models") as client:
        yield client


@pytest.fixture
def served(client: LocalClient, stack: ExitStack) -> PageClient:
    """A page of that store."""
    return stack.enter_context(running_page(client))


def record_of(client: LocalClient, rank: int = 0) -> tuple[str, str]:
    """Return the path and hash of a photo of map 3."""
    record = client.top_k(layer="conv5", maps=[3], pictures=False).maps[0].records[rank]
    return record.path, record.blake2b


def expect_on_stage(tab: Page, photos: Path, path: str) -> None:
    """Wait until a photo is on the stage: its name and its bytes."""
    expect(tab.locator("#photo-view .readout")).to_contain_text(f"{path}, {60 + int(path[4])} × 48 px")
    expect(tab.locator(".grid.nine img")).to_have_count(9)
    digest = hashlib.sha256((photos / path).read_bytes()).hexdigest()
    assert f"photo={digest}" in tab.url


def test_a_photo_of_the_index_is_opened_by_mouse_and_by_keyboard(
    open_page: Open, served: PageClient, client: LocalClient, photos: Path
) -> None:
    tab = open_page(UNIT, url=served.url)
    expect(tab.locator(TILES)).to_have_count(4)
    expect(tab.locator(f"{TILES} canvas")).to_have_count(4)
    tab.locator(TILES).nth(1).click()
    expect_on_stage(tab, photos, record_of(client, 1)[0])
    assert "layer=conv5" in tab.url
    tab.go_back()
    expect(tab.locator(TILES).first).to_be_visible()
    tab.locator(TILES).first.focus()
    for key in ("ArrowLeft", "ArrowRight", "ArrowRight", "Enter"):  # the first key has nowhere to go
        tab.keyboard.press(key)
    expect_on_stage(tab, photos, record_of(client, 2)[0])


def test_a_tile_says_in_words_what_it_opens(open_page: Open, served: PageClient, client: LocalClient) -> None:
    tab = open_page(UNIT, url=served.url)
    path, _ = record_of(client)
    expect(tab.get_by_role("button", name=f"Open photo {path}, ant: 1")).to_be_visible()
    tab.locator(TILES).first.click()
    expect(tab.locator("#announcements")).to_have_text(f"Photo {path}, {60 + int(path[4])} × 48 pixels")


def test_the_address_of_an_indexed_photo_works_on_a_page_that_never_had_it(
    open_page: Open, served: PageClient, client: LocalClient, photos: Path, stack: ExitStack
) -> None:
    tab = open_page(UNIT, url=served.url)
    tab.locator(TILES).first.click()
    path, digest = record_of(client)
    expect_on_stage(tab, photos, path)
    address = tab.url.partition("#")[2]
    assert f"indexed=tiny%2F1%2Fall%2F{digest}" in address
    other = stack.enter_context(running_page(client))
    shared = open_page(address, url=other.url)
    expect_on_stage(shared, photos, path)
    assert shared.url.partition("#")[2] == address


def test_the_name_in_the_index_is_enough_as_an_address(
    open_page: Open, served: PageClient, client: LocalClient, photos: Path
) -> None:
    path, digest = record_of(client)
    tab = open_page(f"indexed=tiny/1/all/{digest}", url=served.url)
    expect_on_stage(tab, photos, path)
    before = tab.evaluate("history.length")
    tab.reload()
    expect_on_stage(tab, photos, path)
    assert tab.evaluate("history.length") == before


def test_a_photo_that_was_deleted_gives_a_sentence(
    open_page: Open, served: PageClient, client: LocalClient, photos: Path, stack: ExitStack
) -> None:
    tab = open_page(UNIT, url=served.url)
    tab.locator(TILES).first.click()
    path, _ = record_of(client)
    expect_on_stage(tab, photos, path)
    address = tab.url.partition("#")[2]
    (photos / path).unlink()
    other = stack.enter_context(running_page(client))
    late = open_page(address, url=other.url, expected=(404,))
    sentence = f"Photo '{path}' of index 'all': the file does not exist or cannot be read."
    expect(late.locator("#notices .error")).to_contain_text(sentence)
    assert "photo=" not in late.url
    assert "indexed=" not in late.url
    memory = open_page(address, url=served.url, expected=(404,))  # this server still has it in memory
    expect(memory.locator(".grid.nine img")).to_have_count(9)


def test_a_tile_of_a_lost_photo_says_so_and_changes_nothing(
    open_page: Open, served: PageClient, client: LocalClient, photos: Path
) -> None:
    (path, _), (gone, _) = record_of(client, 0), record_of(client, 1)
    shutil.copy(photos / record_of(client, 2)[0], photos / path)
    (photos / gone).unlink()
    tab = open_page(UNIT, url=served.url, expected=(404,))
    expect(tab.locator(TILES).nth(0)).to_contain_text("file has changed")
    expect(tab.locator(TILES).nth(1)).to_contain_text("file is gone")
    address = tab.url
    for rank, sentence in ((0, "the file has changed since it was indexed."), (1, "the file does not exist")):
        tab.locator(TILES).nth(rank).click()
        expect(tab.locator("#notices .error")).to_contain_text(sentence)
        assert tab.url == address


def test_a_page_that_does_not_return_indexed_photos_says_so(
    open_page: Open, client: LocalClient, stack: ExitStack
) -> None:
    page = stack.enter_context(running_page(client, indexed_photos=False))
    tab = open_page(UNIT, url=page.url, expected=(403,))
    tab.locator(TILES).first.click()
    expect(tab.locator("#notices .error")).to_contain_text("does not return the files of indexed photos")


def test_a_photo_of_your_own_replaces_the_name_in_the_index(
    open_page: Open, served: PageClient, photo: bytes
) -> None:
    tab = open_page(UNIT, url=served.url)
    tab.locator(TILES).first.click()
    expect(tab.locator(STAGE)).to_be_visible()
    wait_until(tab, lambda: "indexed=" in tab.url)
    choose(tab, photo, "own.png")
    expect(tab.locator("#photo-view .readout")).to_contain_text("own.png")
    assert "indexed=" not in tab.url
