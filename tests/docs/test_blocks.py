"""Every code block of the documentation runs, and prints what the page shows.

The blocks of a page share names and files, so each page is one test. Libraries that collect each block as a
test (Sybil, pytest-markdown-docs) would let pytest-xdist distribute the blocks of a page to several workers.
"""

import os
import shutil
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.page_runner import PageRunner, Services
from tests.support.pages import NOTEBOOKS, PAGES, ROOT, blocks_of, matches, name_of

PACKAGES = Path(sysconfig.get_path("purelib"))
PAVILION = PACKAGES / "sklearn/datasets/images/china.jpg"
FLOWER = PACKAGES / "sklearn/datasets/images/flower.jpg"
CAT = PACKAGES / "skimage/data/chelsea.png"

# The photos that pages use by name, all from installed packages.
PHOTOS = {
    "photo.jpg": PAVILION,
    "a.jpg": PAVILION,
    "b.jpg": FLOWER,
    "cat.png": CAT,
    "photos/train/church/pavilion.jpg": PAVILION,
    "photos/train/church/flower.jpg": FLOWER,
    "photos/train/other/cat.png": CAT,
    "photos/val/church/pavilion.jpg": PAVILION,
    "photos/val/church/flower.jpg": FLOWER,
    "photos/val/other/cat.png": CAT,
}


def link(source: str, target: str) -> None:
    """Link to a file, or copy it across file systems. Links suffice: commands add files but modify none."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cache of exported graphs, shared by all pages."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def services(cache: Path) -> Iterator[Services]:
    """The services that pages start. They read the models of the repository."""
    services = Services(ROOT / "model_store", cache / "zfscope")
    yield services
    services.close()


@pytest.fixture
def runner(tmp_path: Path, cache: Path, services: Services, monkeypatch: pytest.MonkeyPatch) -> PageRunner:
    """Runs blocks in a folder with photos, with a copy of the model store."""
    folder = tmp_path / "work"
    for name, photo in PHOTOS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(photo, folder / name)
    shutil.copytree(ROOT / "model_store", tmp_path / "store", copy_function=link)
    monkeypatch.chdir(folder)
    settings = {"ZFSCOPE_STORE": tmp_path / "store", "XDG_CACHE_HOME": cache, "HOME": tmp_path}
    for name, value in {**settings, "COLUMNS": 100, "OMP_NUM_THREADS": 1}.items():
        monkeypatch.setenv(name, str(value))
    return PageRunner(folder, services)


@pytest.mark.parametrize("page", [*PAGES, *NOTEBOOKS], ids=name_of)
def test_the_code_blocks_of_a_page_run(page: Path, runner: PageRunner) -> None:
    for block in blocks_of(page):
        try:
            runner.run(block)
        except Exception as error:
            raise AssertionError(f"{name_of(page)}:{block.line}: {error}") from error


@pytest.mark.parametrize(
    ("shown", "printed", "expected"),
    [
        ("a\nb\n", "a  \nb", True),
        ("in ... s", "in 1.4 s", True),
        ("a\n...\nd", "a\nb\nc\nd", True),
        ("a", "a\nb", False),
        ("a.c", "abc", False),
    ],
)
def test_an_ellipsis_in_the_shown_output_matches_any_text(shown: str, printed: str, expected: bool) -> None:
    assert matches(shown, printed) is expected
