"""The script of the pages, run in a browser."""

import re
import subprocess
from pathlib import Path

from tests.support.programs import CHROMIUM, require_program
from zfscope.gallery import Gallery, GalleryPlan


def page_after_script(address: str, profile: Path) -> str:
    """Return a page after its script has run; fail if the script logs anything, such as an error."""
    browser = require_program(*CHROMIUM, package="chromium")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=2000", "--dump-dom"]
    logging = ["--enable-logging=stderr", f"--user-data-dir={profile}"]
    result = subprocess.run(
        [browser, *flags, *logging, address], capture_output=True, text=True, timeout=200, check=True
    )
    assert "CONSOLE" not in result.stderr
    return result.stdout


def test_the_address_of_a_map_redirects_to_its_page(whole: tuple[Path, Gallery], tmp_path: Path) -> None:
    page = page_after_script(f"file://{whole[0]}/index.html#relu2/4", tmp_path)
    assert re.search(r"<h1><a [^>]*>relu2</a> map 4</h1>", page)


def test_maps_are_filtered_by_class(whole: tuple[Path, Gallery], plan: GalleryPlan, tmp_path: Path) -> None:
    page = page_after_script(f"file://{whole[0]}/conv1/index.html#class=0", tmp_path)
    tiles = re.findall(r'<a class="tile[^>]*id="(\d+)"[^>]*>.*?<i class="in-class">(\d*)</i>', page, re.S)
    counts = [
        sum(bool(record.label) for record in plan.index.records("conv1", number)) for number in range(6)
    ]
    assert tiles == [(str(number), str(count or "")) for number, count in enumerate(counts)]


def test_dead_maps_can_be_selected(whole: tuple[Path, Gallery], tmp_path: Path) -> None:
    page = page_after_script(f"file://{whole[0]}/relu2/index.html#only=dead", tmp_path)
    tiles = re.findall(r'<a class="(tile[^"]*)"[^>]*>', page)
    hidden = re.findall(r'<a class="(tile[^"]*)"[^>]* hidden[^>]*>', page)
    assert len(tiles) == 8
    assert len(hidden) == 7
    assert "tile dead" not in hidden


def test_rows_with_state_labels_are_as_high_as_others_so_that_the_grid_fits_the_picture(
    whole: tuple[Path, Gallery], tmp_path: Path
) -> None:
    style = (whole[0] / "zfscope.css").as_uri()
    items = "<li></li>" * 6 + '<li class="silent"><span>silent</span></li>' * 3
    page = tmp_path / "page.html"
    page.write_text(
        f"""<!doctype html><link rel="stylesheet" href="{style}"><div style="width: 300px">
        <div class="mosaic" data-columns="3"><img width="300" height="300" alt=""><ol>{items}</ol>
        </div></div>
        <script>document.title = Array.from(document.querySelectorAll("li"),
        item => Math.round(item.getBoundingClientRect().height)).join(" ")</script>"""
    )
    title = re.search("<title>(.*?)</title>", page_after_script(page.as_uri(), tmp_path / "profile"))
    assert title
    assert set(title[1].split()) == {"100"}
