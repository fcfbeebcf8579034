"""A tiny model in a temporary store, and a folder of photos of many formats, some of them broken."""

import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from zfscope.images.limits import DecodeLimits
from zfscope.images.preprocess import Preprocessing
from zfscope.networks import NetworkSpec, build
from zfscope.networks.layers import Conv, Flatten, Linear, LocalResponseNorm, MaxPool, ReLU
from zfscope.parallel import Batch, Work
from zfscope.runtimes import create_runtime
from zfscope.scan import Index, build_index, open_data, plan_scan
from zfscope.scan.partial import PartialResult
from zfscope.store import Label, Manifest, Model, ModelStore, Provenance, write_model

SPEC = NetworkSpec(
    name="tiny",
    input_size=32,
    layers=(
        Conv(name="conv1", channels=6, kernel=5, stride=2),
        ReLU(name="relu1"),
        MaxPool(name="pool1", kernel=3, stride=2, rounding="ceil"),
        LocalResponseNorm(name="norm1"),
        Conv(name="conv2", channels=10, kernel=3, padding=(1, 0, 2, 1)),
        ReLU(name="relu2"),
        Flatten(name="flatten"),
        Linear(name="fc3", units=9),
        ReLU(name="relu3"),
        Linear(name="fc4", units=2),
    ),
)
LAYERS = ("conv1", "conv2", "fc3")
# Unusable photos in the fixture `photos`.
BROKEN = {"b/text.jpg", "b/cut.jpg", "b/empty.png", "c/vast.jpg", "c/wide.png"}


def write_tiny(store: Path, *, seed: int = 0, version: int = 1) -> Path:
    """Write the model; map 2 of conv1 and unit 4 of fc3 are dead."""
    network = build(SPEC, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        network.filters["conv1"].bias[2] = -40
        network.filters["fc3"].bias[4] = -40
    manifest = Manifest(
        name="tiny",
        version=version,
        summary="Random weights",
        network=SPEC,
        preprocessing=Preprocessing(short_side=36, centre=36, crop=32, std=(50, 50, 50)),
        labels=(Label(id="n0", name="ant"), Label(id="n1", name="bee")),
        provenance=Provenance(source="made up in a test"),
    )
    return write_model(store, manifest, network)


def blobs(seed: int, *, size: tuple[int, int] = (44, 40), grey: bool = False) -> Image.Image:
    """Return a photo of soft blobs. size: width and height."""
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    photo = Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)
    return photo.convert("L") if grey else photo


def write_photos(root: Path) -> Path:
    """Write 40 photos (one three times, some grey, various formats and shapes) and 5 broken ones."""
    for folder in "abc":
        (root / folder).mkdir(parents=True)
    for number in range(12):
        blobs(number).save(root / "a" / f"{number:02}.png")
        blobs(100 + number, size=(40, 61), grey=number % 3 == 0).save(root / "b" / f"{number:02}.JPG")
        blobs(200 + number, size=(90, 37)).save(root / "c" / f"{number:02}.webp", quality=90)
    blobs(300).convert("P").save(root / "loose.gif")
    for twin in ("a/twin.png", "b/twin.png", "c/twin.png"):
        blobs(301).save(root / twin)
    whole = io.BytesIO()
    blobs(302).save(whole, "JPEG")
    (root / "b" / "text.jpg").write_text("no photo")
    (root / "b" / "cut.jpg").write_bytes(whole.getvalue()[:-200])
    (root / "b" / "empty.png").touch()
    with (root / "c" / "vast.jpg").open("wb") as file:
        file.write(whole.getvalue())
        file.truncate(DecodeLimits.bytes + 2**20)
    Image.new("1", (10_000, 5001)).save(root / "c" / "wide.png")
    (root / "readme.txt").write_text("not a photo, and not named like one")
    return root


def must_not_run(work: Work[PartialResult], batches: Iterable[Batch]) -> Iterator[PartialResult]:
    """An engine that fails."""
    raise AssertionError("the engine must not run")


@pytest.fixture(scope="session")
def spec() -> NetworkSpec:
    return SPEC


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with the model `tiny`."""
    write_tiny(tmp_path / "store")
    return tmp_path / "store"


@pytest.fixture
def write_tiny_model() -> Callable[..., Path]:
    """Write the tiny model with other weights (`seed`) or another version."""
    return write_tiny


@pytest.fixture
def model(store: Path) -> Model:
    return ModelStore(store).load("tiny")


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 photos in three folders, two of them copies, and 5 broken ones. Read-only."""
    return write_photos(tmp_path_factory.mktemp("scan") / "photos")


@pytest.fixture
def draw() -> Callable[..., Image.Image]:
    """Return a photo drawn from a seed."""
    return blobs


@pytest.fixture
def make(model: Model, tmp_path: Path) -> Callable[..., Index]:
    """Index a data set with the tiny model and default options as `out/NAME`."""

    def make_index(data: Path, *, name: str = "it", runtime: str = "onnx", **options: object) -> Index:
        plan_options = {key: options.pop(key) for key in ("layers", "top", "rank") if key in options}
        plan = plan_scan(SPEC, **{"layers": LAYERS, **plan_options})  # type: ignore[arg-type]
        return build_index(
            model,
            open_data(data),
            plan,
            tmp_path / "out" / name,
            runtime=create_runtime(runtime, model, threads=1, cache=tmp_path / "graphs"),
            **options,  # type: ignore[arg-type]
        )

    return make_index


@pytest.fixture
def contents() -> Callable[[Path], Mapping[str, bytes]]:
    """Return the contents of every file in a folder."""
    return lambda folder: {path.name: path.read_bytes() for path in folder.iterdir()}
