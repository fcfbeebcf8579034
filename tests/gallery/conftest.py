"""A model with a dead map and early epochs, photos whose names contain HTML, and their gallery."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from zfscope.analysis.contract import Analysis, Context
from zfscope.analysis.registry import load_analyzers
from zfscope.analysis.run import read_params, run
from zfscope.gallery import Gallery, GalleryPlan, build_gallery, plan_gallery
from zfscope.images.preprocess import Preprocessing
from zfscope.networks import Network, NetworkSpec, build
from zfscope.networks.layers import Conv, Flatten, Linear, MaxPool, ReLU
from zfscope.runtimes import create_runtime
from zfscope.scan import build_index, indexes_folder, open_data, open_index, plan_scan
from zfscope.scan.open import epoch_index_name
from zfscope.store import Label, Manifest, Model, ModelStore, Provenance, RecordedAccuracy, write_model

DEAD = 3
CLASS = "<b onmouseover=alert(1)>bee & \"'"
PHOTO = '"><img src=x onerror=alert(2)>.png'
LABEL = "<script>alert(3)</script>"
LAYERS = ("conv1", "relu2", "fc3")

SPEC = NetworkSpec(
    name="tiny",
    input_size=32,
    layers=(
        Conv(name="conv1", channels=6, kernel=5, stride=2),
        ReLU(name="relu1"),
        MaxPool(name="pool1", kernel=3, stride=2, rounding="ceil"),
        Conv(name="conv2", channels=8, kernel=3, padding=(1, 1, 1, 1)),
        ReLU(name="relu2"),
        Flatten(name="flatten"),
        Linear(name="fc3", units=2),
    ),
)


def network_with_dead_map(seed: int, *, dead: int) -> Network:
    network = build(SPEC, generator=torch.Generator().manual_seed(seed)).eval().requires_grad_(False)
    network.filters["conv2"].bias[dead] = -100
    return network


def write_checkpoint(path: Path, seed: int, *, dead: int) -> Path:
    tensors = {
        f"{name}.{part}": tensor.contiguous()
        for name, filters in network_with_dead_map(seed, dead=dead).filters.items()
        if name.startswith("conv")
        for part, tensor in filters.state_dict().items()
    }
    save_file(tensors, path)
    return path


def write_photos(root: Path) -> Path:
    """Write twelve photos: six without a class, and six in a class whose name contains HTML."""
    (root / CLASS).mkdir(parents=True)
    for number in range(12):
        pixels = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        name = PHOTO if number == 0 else f"{number:02}.png"
        folder = root / CLASS if number % 2 == 0 else root
        Image.fromarray(pixels).resize((60, 48), Image.Resampling.BICUBIC).save(folder / name)
    return root


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A stored model; in relu2, map DEAD is dead, and after epoch 1 map 5 was."""
    root = tmp_path_factory.mktemp("store")
    manifest = Manifest(
        name="tiny",
        version=1,
        summary="Random <weights>",
        network=SPEC,
        preprocessing=Preprocessing(short_side=36, centre=36, crop=32, std=(50, 50, 50)),
        labels=(Label(id="a", name=LABEL), Label(id="b", name="bee")),
        accuracy=RecordedAccuracy(top1=61.5, top5=100, images=1234, data="some photos"),
        provenance=Provenance(source="made up in a test", epochs=9),
    )
    early = {
        epoch: write_checkpoint(root / f"{epoch}.safetensors", 40 + epoch, dead=dead)
        for epoch, dead in ((1, 5), (2, DEAD))
    }
    write_model(root / "models", manifest, network_with_dead_map(7, dead=DEAD), checkpoints=early)
    return ModelStore(root / "models").load("tiny")


@pytest.fixture(scope="session")
def photos(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos with the index `them` of the model and of both epochs."""
    root = write_photos(tmp_path_factory.mktemp("photos") / "them")
    assert model.folder is not None
    store = ModelStore(model.folder.parent.parent)
    for epoch in (None, 1, 2):
        indexed = model if epoch is None else store.load_checkpoint("tiny", epoch)
        layers = [layer for layer in LAYERS if layer in indexed.network.shapes]
        plan = plan_scan(indexed.network.spec, layers)
        runtime = create_runtime("torch", indexed)
        name = "them" if epoch is None else epoch_index_name("them", epoch)
        build_index(indexed, open_data(root), plan, indexes_folder(model) / name, runtime=runtime)
    return root


@pytest.fixture
def plan(model: Model, photos: Path) -> GalleryPlan:
    """A plan of everything in the index."""
    return plan_gallery(model, open_index(model, "them"))


Analyze = Callable[[str, Mapping[str, Any], Callable[[float], None]], Analysis]


@pytest.fixture(scope="session")
def analyze(model: Model) -> Analyze:
    """Return a function that runs analyzers like the command line."""
    registry = load_analyzers()
    assert model.folder is not None
    context = Context(
        model,
        create_runtime("torch", model),
        (),
        pictures=False,
        tensors=True,
        store=ModelStore(model.folder.parent.parent),
    )

    def run_one(name: str, parameters: Mapping[str, Any], report: Callable[[float], None]) -> Analysis:
        analyzer = registry.analyzer(name)
        context_with_progress = replace(context, progress=lambda fraction, _: report(fraction))
        return run(analyzer, context_with_progress, read_params(analyzer, parameters))

    return run_one


@pytest.fixture(scope="session")
def whole(
    model: Model, photos: Path, analyze: Analyze, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Gallery]:
    """A gallery of everything and its description; tests must not modify it."""
    out = tmp_path_factory.mktemp("whole") / "gallery"
    return out, build_gallery(plan_gallery(model, open_index(model, "them")), analyze, out)


class Element:
    """An element of a page: its tag, attributes and text content."""

    def __init__(self, tag: str, attributes: Mapping[str, str]) -> None:
        self.tag, self.attributes, self.text = tag, attributes, ""

    @property
    def classes(self) -> set[str]:
        return set(self.attributes.get("class", "").split())


class Page(HTMLParser):
    """The elements of a page in document order."""

    _VOID = ("meta", "link", "img", "input", "br")

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.elements = path, list[Element]()
        self._open = list[Element]()
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert not self._open, f"{path}: {self._open[-1].tag} is not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(attrs) == len(dict(attrs)), f"{self.path}: {tag} has duplicate attributes: {attrs}"
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.elements.append(element)
        if tag not in self._VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop().tag == tag, f"{self.path}: </{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text += data

    def all(self, tag: str, of_class: str = "") -> list[Element]:
        return [
            element
            for element in self.elements
            if element.tag == tag and (not of_class or of_class in element.classes)
        ]

    def links(self) -> Iterator[tuple[Element, str]]:
        """Yield every address in the page with its element."""
        for element in self.elements:
            for name in ("href", "src", "data-patches", "action", "poster", "srcset"):
                if name in element.attributes:
                    yield element, element.attributes[name]


@pytest.fixture
def page() -> Callable[[Path], Page]:
    """Return the class that parses a page."""
    return Page
