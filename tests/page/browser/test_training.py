"""A unit's page of a model with checkpoints: the map during training, shown and taken along."""

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image
from playwright.sync_api import Page, expect
from safetensors.torch import save_file

from tests.cli.conftest import SPEC, write_tiny
from tests.page.browser.conftest import Open, picture
from tests.support.indexes import index_photos
from tests.support.page_server import PageClient, running_page
from zfscope.local import LocalClient
from zfscope.networks import build
from zfscope.store import open_store

EPOCHS = (1, 2)
MAP = 3


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalClient]:
    """Client of a store with one model, checkpoints of two epochs, and an index of each and of the end."""
    folder = tmp_path_factory.mktemp("trained")
    for seed in range(6):
        (folder / "photos").mkdir(exist_ok=True)
        (folder / "photos" / f"{seed}.png").write_bytes(picture(seed))
    write_tiny(
        folder / "models", 1, checkpoints={epoch: _checkpoint(folder / str(epoch), epoch) for epoch in EPOCHS}
    )
    store = open_store(folder / "models")
    index_photos(store.load("tiny"), folder / "photos", "all", ["conv5"])
    for epoch in EPOCHS:
        model = store.load_checkpoint("tiny", epoch)
        index_photos(model, folder / "photos", f"all-epoch-{epoch:03d}", ["conv5"])
    with LocalClient(folder / "models") as client:
        yield client


def _checkpoint(path: Path, seed: int) -> Path:
    network = build(SPEC, generator=torch.Generator().manual_seed(100 + seed))
    tensors = {
        f"{name}.{part}": tensor.contiguous()
        for name, filters in network.filters.items()
        if name.startswith("conv")
        for part, tensor in filters.state_dict().items()
    }
    save_file(tensors, path)
    return path


@pytest.fixture(scope="module")
def served(trained: LocalClient) -> Iterator[PageClient]:
    """A page of the trained model."""
    with running_page(trained) as served:
        yield served


@pytest.fixture
def tab(open_page: Open, served: PageClient) -> Page:
    """The page of a unit of the trained model; no photo is needed for it."""
    tab = open_page(f"view=unit&layer=conv5&map={MAP}", url=served.url)
    expect(tab.locator(".training img")).to_have_count(1)
    return tab


def test_the_map_is_shown_after_each_epoch(tab: Page, trained: LocalClient) -> None:
    shown = tab.locator(".training img")
    expect(shown).to_have_attribute(
        "alt", f"The strongest photo of map {MAP} after each epoch: projection and patch"
    )
    expected = trained.evolve(layer="conv5", maps=[MAP], settling=False)
    assert [each.epoch for each in expected.maps[0].records] == [*EPOCHS, None]
    assert expected.picture
    response = tab.request.get(f"{tab.url.partition('#')[0]}{shown.get_attribute('src')}")
    assert response.body() == expected.picture.png
    size = Image.open(io.BytesIO(expected.picture.png)).size
    assert shown.evaluate(
        "image => image.decode().then(() => [image.naturalWidth, image.naturalHeight])"
    ) == [*size]


def test_the_map_during_training_is_saved_and_copied_without_a_photo(tab: Page, trained: LocalClient) -> None:
    with tab.expect_download() as download:
        tab.click("text=Save ZIP")
    archive = zipfile.ZipFile(io.BytesIO(Path(download.value.path()).read_bytes()))
    expected = trained.evolve(layer="conv5", maps=[MAP], settling=False)
    assert expected.picture
    assert archive.read("2-evolve/evolution.png") == expected.picture.png
    (followed,) = json.loads(archive.read("2-evolve/result.json"))["maps"]
    assert [(each["epoch"], each["value"]) for each in followed["records"]] == [
        (each.epoch, each.value) for each in expected.maps[0].records
    ]
    assert "1-top-k/result.json" in archive.namelist()
    tab.click("text=Copy as")
    expect(tab.locator("dialog pre")).to_contain_text(
        f'evolve = client.evolve(layer="conv5", maps=[{MAP}], settling=False, model="tiny", version=1)'
    )


def test_a_map_after_another_takes_its_own_calls_along(tab: Page) -> None:
    tab.keyboard.press("ArrowRight")
    expect(tab.locator(f".training img[alt*='map {MAP + 1} ']")).to_have_count(1)
    tab.click("text=Copy as")
    expect(tab.locator("dialog pre")).to_contain_text(f"maps=[{MAP + 1}]")
    expect(tab.locator("dialog pre")).not_to_contain_text(f"maps=[{MAP}]")
