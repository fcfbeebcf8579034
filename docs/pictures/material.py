"""Models, an index, a gallery, a page and a browser, each made when a picture needs it."""

import shutil
import subprocess
import sys
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from types import TracebackType

from playwright.sync_api import Browser, sync_playwright

from docs.pictures.photos import SAMPLES, write_crops
from tests.support.page_server import running_page
from tests.support.programs import CHROMIUM
from zfscope import LocalClient

ROOT = Path(__file__).parents[2]
LAYERS = ("conv2", "conv4", "conv5")
MAPS = 32


class Material:
    """Resources of the pictures, released on exit."""

    def __init__(self, folder: Path, models: Path) -> None:
        """folder: of temporary files. models: store with SqueezeNet, which is not part of the repository."""
        self._folder, self._models = folder, models
        self._stack = ExitStack()

    def __enter__(self) -> "Material":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @cached_property
    def client(self) -> LocalClient:
        """The models of the repository, without indexes."""
        return self._stack.enter_context(LocalClient(ROOT / "model_store"))

    @cached_property
    def squeezenet(self) -> LocalClient:
        """SqueezeNet, trained on ImageNet."""
        return self._stack.enter_context(LocalClient(self._models))

    @cached_property
    def indexed(self) -> LocalClient:
        """The models of the repository, with the indexes of the gallery."""
        return self._stack.enter_context(LocalClient(self.gallery.parent / "store"))

    @cached_property
    def gallery(self) -> Path:
        """A gallery of crops of sample photos; it also makes the indexes of all epochs."""
        shutil.copytree(ROOT / "model_store", self._folder / "store")
        write_crops(self._folder / "samples")
        options = ["--layers", ",".join(LAYERS), "--count", str(MAPS), "--out", "gallery", "--store", "store"]
        program = str(Path(sys.executable).parent / "zfscope")
        subprocess.run([program, "gallery", "samples", *options], cwd=self._folder, check=True)  # noqa: S603  # our own
        return self._folder / "gallery"

    @cached_property
    def page_url(self) -> str:
        """Address of a page with the indexed models and the sample photos."""
        samples = self._folder / "page"
        samples.mkdir()
        for photo in SAMPLES:
            shutil.copy(photo.file, samples)
        return self._stack.enter_context(running_page(self.indexed, samples=samples)).url

    @cached_property
    def browser(self) -> Browser:
        """Chromium."""
        program = next(filter(None, map(shutil.which, CHROMIUM)), None)
        if not program:
            raise SystemExit("chromium is not installed: apt-get install chromium")
        playwright = self._stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        self._stack.callback(browser.close)
        return browser
