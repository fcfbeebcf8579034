"""The live page in a real browser: medians from an event to its painted result.

    python -m benchmarks.page
    python -m benchmarks.page --repeats 20 --model alexnet-imagenette

`zfscope page` runs in a process of its own, with the repository's default model; Debian's Chromium opens it
and is driven by Playwright. The photo is the sample china.jpg, scaled to 500 x 375 pixels; each repeat
changes its first pixel, so that no answer about an earlier one helps. The page measures itself: from the
time stamp of the event (the file was chosen, the mouse moved) to the end of the first frame after the
result was drawn, with the User Timing API.

classes: a photo is chosen until its classes are shown. hover: the mouse moves to a place until the names of
the units there and their receptive field are shown. hover_tiles: until the projections of these nine units
are shown. brush: the mouse drags a box until the probabilities with that box occluded are shown. unit: a
tile is opened until projection and patch are shown. sweep_first: the sweep is started until the first part
of its map is shown.

The last line is a JSON object for programs.
"""

import argparse
import io
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
from PIL import Image
from playwright.sync_api import Page, sync_playwright
from rich.console import Console
from rich.table import Table

from benchmarks.clock import machine
from tests.support.programs import CHROMIUM
from zfscope.page.samples import find_samples

_SERVE = "from zfscope.cli import main; main()"
_SIZE = (500, 375)
_LIMIT_S = 120
_STAGE = "#photo-view .stage"
# Milliseconds that a median may take, by the page's name of the measure.
TARGETS = {"classes": 400, "hover": 80, "hover tiles": 300, "brush": 120, "unit": 250, "sweep": 500}
_NAMED = {"hover tiles": "hover_tiles", "sweep": "sweep_first"}
Durations = Mapping[str, Sequence[float]]


def main() -> None:
    """Measure, print a table, and end with a line of JSON."""
    arguments = _arguments()
    with _served(arguments.model) as url:
        durations = _measure(url, arguments.repeats)
    medians = {name: statistics.median(durations[name]) for name in TARGETS}
    table = Table(title=f"The page on {machine()}", title_justify="left")
    for heading in ("event to painted result", "median ms", "slowest ms", "target ms", "times measured"):
        table.add_column(heading, justify="left" if heading.startswith("event") else "right")
    for name, target in TARGETS.items():
        values = durations[name]
        table.add_row(name, f"{medians[name]:.0f}", f"{max(values):.0f}", str(target), str(len(values)))
    Console().print(table)
    rounded = {f"{_NAMED.get(name, name)}_ms": round(value, 1) for name, value in medians.items()}
    print(json.dumps({"benchmark": "page", **rounded}))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=8, help="photos to examine, after one that warms up")
    parser.add_argument("--model", default="", help="model; default: the store's default model")
    return parser.parse_args()


@contextmanager
def _served(model: str) -> Iterator[str]:
    """Run `zfscope page` in a process of its own, and yield its address."""
    options = ["--model", model] if model else []
    command = [sys.executable, "-c", _SERVE, "page", "--listen", "127.0.0.1:0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603  # our own module
        try:
            assert process.stdout
            line = next((line for line in process.stdout if "http://" in line), "")
            if not line:
                raise SystemExit(f"zfscope page ended with status {process.wait()}")
            yield next(word for word in line.split() if word.startswith("http://"))
        finally:
            process.terminate()
            process.wait(30)


def _measure(url: str, repeats: int) -> Durations:
    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if not program:
        raise SystemExit("chromium is not installed: apt-get install chromium")
    durations: dict[str, list[float]] = defaultdict(list)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1440, "height": 900})
        tab.set_default_timeout(120_000)
        tab.goto(url)
        tab.wait_for_selector("body:not([aria-busy])")
        for number in range(repeats + 1):
            _examine(tab, _photo(number))
            if number:  # the first loads the model
                for entry in _entries(tab):
                    durations[entry["name"]].append(entry["duration"])
            tab.evaluate("performance.clearMeasures()")
        browser.close()
    return durations


def _photo(number: int) -> bytes:
    """Return the photo as PNG with a pixel of its own colour."""
    with Image.open(find_samples(None)["china.jpg"]) as sample:
        pixels = np.asarray(sample.convert("RGB").resize(_SIZE, Image.Resampling.LANCZOS)).copy()
    pixels[0, 0] = number
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _examine(tab: Page, photo: bytes) -> None:
    """Walk the path of a new user with one photo."""
    file = {"name": "photo.png", "mimeType": "image/png", "buffer": photo}
    tab.set_input_files("#photo-view input[type=file] >> nth=0", file)
    _wait(tab, "classes", 1)
    tab.wait_for_selector(".layers li:last-child .tile")
    for count, across in enumerate((0.35, 0.45, 0.55, 0.65), 1):
        _move(tab, across, 0.5)
        _wait(tab, "hover", count)
        _wait(tab, "hover tiles", count)
    _brush(tab)
    _sweep(tab)
    tab.click(".grid.nine .tile >> nth=0")
    _wait(tab, "unit", 1)
    tab.wait_for_selector("#unit-view > .note:has-text('SSIM')")
    tab.keyboard.press("Escape")


def _brush(tab: Page) -> None:
    tab.click("#photo-view >> text=Box")
    _move(tab, 0.35, 0.3)
    tab.mouse.down()
    for count, across in enumerate((0.45, 0.5, 0.55, 0.6), 1):
        _move(tab, across, 0.6)
        _wait(tab, "brush", count)
    tab.mouse.up()
    tab.wait_for_load_state("networkidle")
    tab.click("#photo-view >> text=Look")


def _sweep(tab: Page) -> None:
    tab.click("#photo-view >> text=Sweep")
    _wait(tab, "sweep", 1)
    tab.click("#photo-view .progress >> text=Cancel")
    tab.wait_for_selector("#photo-view .progress", state="hidden")


def _move(tab: Page, across: float, down: float) -> None:
    box = tab.locator(_STAGE).bounding_box()
    assert box
    tab.mouse.move(box["x"] + box["width"] * across, box["y"] + box["height"] * down)


def _wait(tab: Page, name: str, count: int) -> None:
    """Wait until a measure was taken at least `count` times."""
    script = "(name) => performance.getEntriesByName(name, 'measure').length"
    deadline = time.monotonic() + _LIMIT_S
    while tab.evaluate(script, name) < count:  # no wait_for_function: the page's policy forbids its eval
        if time.monotonic() > deadline:
            raise SystemExit(f"measure '{name}' was not taken within {_LIMIT_S} s")
        tab.wait_for_timeout(20)


def _entries(tab: Page) -> list[dict[str, float]]:
    entries: list[dict[str, float]] = tab.evaluate(
        "performance.getEntriesByType('measure').map(({ name, duration }) => ({ name, duration }))"
    )
    return entries


if __name__ == "__main__":
    main()
