"""A browser on the page of a tiny model; a test fails if the page logs an error or leaves its own origin."""

import io
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

from tests.cli.conftest import write_tiny
from tests.support.indexes import index_photos
from tests.support.page_server import PageClient, running_page
from tests.support.programs import CHROMIUM, require_program
from zfscope.local import LocalClient
from zfscope.store import open_store

# Without a GPU, Chromium would emulate one.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-software-rasterizer",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)
Open = Callable[..., Page]
# Milliseconds; a machine with other work is slow.
PATIENCE_MS = 20_000
expect.set_options(timeout=PATIENCE_MS)


def picture(seed: int = 0, size: tuple[int, int] = (60, 48), kind: str = "PNG") -> bytes:
    """Return an image file of coloured blobs. size: width and height."""
    blobs = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(blobs).resize(size, Image.Resampling.BICUBIC).save(file, kind)
    return file.getvalue()


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two versions of the model `tiny`, the newest with an index of its conv5, and samples."""
    folder = tmp_path_factory.mktemp("browser")
    for version in (1, 2):
        write_tiny(folder / "models", version)
    for name, seed in (("first.png", 1), ("second.png", 2)):
        _write(folder / "samples" / name, picture(seed, (90, 60)))
    for seed in range(12):
        _write(folder / "photos" / ("bee" if seed % 2 else "ant") / f"{seed}.png", picture(seed))
    index_photos(open_store(folder / "models").load("tiny"), folder / "photos", "all", ["conv5"])
    return folder / "models"


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


@pytest.fixture(scope="session")
def local(store: Path) -> Iterator[LocalClient]:
    """Client that analyzes in this process."""
    with LocalClient(store) as client:
        yield client


@pytest.fixture(scope="session")
def page(local: LocalClient, store: Path) -> Iterator[PageClient]:
    """A page without a token."""
    with running_page(local, samples=store.parent / "samples") as served:
        yield served


@pytest.fixture(scope="session")
def photo() -> bytes:
    """A photo of 60 x 48 pixels."""
    return picture(7)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium: Playwright's own download is not needed."""
    program = require_program(*CHROMIUM, package="chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Servers of a test, closed after its tabs: a tab whose server ended would log errors."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def open_page(browser: Browser, page: PageClient, stack: ExitStack) -> Iterator[Open]:
    """Opens the page; its tabs are closed before the servers of `stack`.

    address: after `#`. url: of another page. expected: statuses that the test causes, 0 for no answer. ready:
    selector to wait for. options: of the browser's context.
    """
    opened: list[tuple[Page, list[str]]] = []

    def open_it(
        address: str = "",
        *,
        url: str = "",
        expected: tuple[int, ...] = (),
        ready: str = "body:not([aria-busy])",
        **options: Any,
    ) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1200, "height": 850}, **options})
        tab = context.new_page()
        tab.set_default_timeout(PATIENCE_MS)
        origin, faults = urlsplit(url or page.url).netloc, []

        def log(message: ConsoleMessage) -> None:
            status = next((each for each in expected if f"status of {each} " in message.text), None)
            is_away = 0 in expected and "net::ERR_" in message.text
            if message.type in ("error", "warning") and status is None and not is_away:
                faults.append(f"console: {message.text} {message.location}")

        def follow(request: Request) -> None:
            parts = urlsplit(request.url)
            if parts.scheme not in ("blob", "data") and parts.netloc != origin:
                faults.append(f"foreign request: {request.url}")

        tab.on("console", log)
        tab.on("request", follow)
        tab.on("pageerror", lambda error: faults.append(f"uncaught: {error}"))
        opened.append((tab, faults))
        tab.goto(f"{url or page.url}{'#' if address else ''}{address}")
        tab.wait_for_selector(ready)
        return tab

    yield open_it
    for tab, faults in opened:
        tab.context.close()
        assert faults == []


def choose(tab: Page, data: bytes, name: str = "photo.png", kind: str = "image/png") -> None:
    """Choose a file as the photo."""
    tab.set_input_files(
        "#photo-view input[type=file] >> nth=0", {"name": name, "mimeType": kind, "buffer": data}
    )


def place(tab: Page, across: float, down: float, stage: str = "#photo-view .stage") -> tuple[float, float]:
    """Return a position on the screen, by fractions of the photo's width and height."""
    box = tab.locator(stage).first.bounding_box()
    assert box
    return box["x"] + box["width"] * across, box["y"] + box["height"] * down


def drag(tab: Page, *points: tuple[float, float]) -> None:
    """Drag the mouse over the photo; points are fractions of its size."""
    tab.mouse.move(*place(tab, *points[0]))
    tab.mouse.down()
    for point in points[1:]:
        tab.mouse.move(*place(tab, *point), steps=3)
    tab.mouse.up()


def wait_until(tab: Page, holds: Callable[[], bool]) -> None:
    """Wait until a condition holds. The page's policy forbids the eval of Playwright's own function."""
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while not holds():
        assert time.monotonic() < deadline
        tab.wait_for_timeout(20)
