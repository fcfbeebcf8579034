"""The model cache: selection, loading, eviction and refresh of models."""

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from structlog.testing import capture_logs

from zfscope.errors import InputError, NotFound, RuntimeUnavailable
from zfscope.runtimes import Runtime
from zfscope.runtimes.torch import TorchRuntime
from zfscope.server.model_cache import ModelCache
from zfscope.store import Model, ModelStore


class RuntimeFactory:
    """Creates runtimes and records their models."""

    def __init__(self) -> None:
        self.created: list[tuple[str, int]] = []

    def __call__(self, model: Model) -> Runtime:
        self.created.append((model.name, model.version))
        return TorchRuntime(model.network)


@pytest.fixture
def create_runtime() -> RuntimeFactory:
    return RuntimeFactory()


@pytest.fixture
def models(store: Path, create_runtime: RuntimeFactory) -> ModelCache:
    return ModelCache(ModelStore(store), create_runtime, default="tiny", keep=2)


def test_without_a_name_the_newest_version_of_the_default_model_is_loaded(models: ModelCache) -> None:
    loaded = models.get("", None)

    assert (loaded.model.name, loaded.model.version) == ("tiny", 2)


def test_a_version_without_a_name_is_one_of_the_default_model(models: ModelCache) -> None:
    loaded = models.get("", 1)

    assert (loaded.model.name, loaded.model.version) == ("tiny", 1)


def test_get_cached_returns_loaded_models_and_loads_none(
    models: ModelCache, create_runtime: RuntimeFactory
) -> None:
    assert models.get_cached("", 1) is None
    assert models.get_cached("unknown", None) is None
    assert create_runtime.created == []

    loaded = models.get("tiny", 1)

    assert models.get_cached("", 1) is loaded


def test_a_model_is_loaded_once_and_shared(models: ModelCache, create_runtime: RuntimeFactory) -> None:
    with ThreadPoolExecutor(8) as pool:
        loaded = set(pool.map(lambda _: models.get("tiny", 2), range(16)))

    assert len(loaded) == 1
    assert create_runtime.created == [("tiny", 2)]


def test_the_least_recently_used_model_is_evicted_but_never_the_default(
    models: ModelCache, create_runtime: RuntimeFactory
) -> None:
    for name, version in (("tiny", 2), ("tiny", 1), ("other", 1), ("tiny", 2), ("other", 1), ("tiny", 1)):
        models.get(name, version)

    assert create_runtime.created == [("tiny", 2), ("tiny", 1), ("other", 1), ("tiny", 1)]


def test_models_are_listed_by_name_and_newest_version_first(models: ModelCache) -> None:
    assert [(manifest.name, manifest.version) for manifest in models.listing()] == [
        ("other", 1),
        ("tiny", 2),
        ("tiny", 1),
    ]


@pytest.fixture
def changing_cache(
    tmp_path: Path, create_runtime: RuntimeFactory, write_tiny: Callable[..., None]
) -> ModelCache:
    """A cache of a store with `tiny` 1, to which a test can add models."""
    write_tiny(tmp_path, "tiny", 1)
    models = ModelCache(ModelStore(tmp_path), create_runtime, keep=2)
    models.get("", None)
    return models


def test_a_loaded_model_is_returned_without_reading_the_disk(changing_cache: ModelCache) -> None:
    loaded = changing_cache.get("tiny", 1)
    shutil.rmtree(changing_cache.store.root)

    assert (
        changing_cache.get("", None)
        is changing_cache.get("tiny", None)
        is changing_cache.get("", 1)
        is loaded
    )


def test_a_new_version_becomes_the_newest_only_after_a_refresh(
    changing_cache: ModelCache, create_runtime: RuntimeFactory, write_tiny: Callable[..., None]
) -> None:
    write_tiny(changing_cache.store.root, "tiny", 2)
    assert changing_cache.get("tiny", None).model.version == 1
    changing_cache.refresh()
    assert changing_cache.default == ("tiny", 2)
    assert changing_cache.get("", None) is changing_cache.get("tiny", 2)
    assert create_runtime.created == [("tiny", 1), ("tiny", 2)]
    changing_cache.refresh()
    assert len(create_runtime.created) == 2


def test_a_new_version_can_be_requested_by_number_before_a_refresh(
    changing_cache: ModelCache, write_tiny: Callable[..., None]
) -> None:
    write_tiny(changing_cache.store.root, "tiny", 2)
    write_tiny(changing_cache.store.root, "new", 1)
    assert changing_cache.get("tiny", 2).model.version == 2
    assert changing_cache.get("new", None).model.name == "new"


def test_a_damaged_version_is_rejected_once_and_the_old_one_is_kept(
    changing_cache: ModelCache, write_tiny: Callable[..., None]
) -> None:
    for version in (2, 3):
        write_tiny(changing_cache.store.root, "tiny", version)
    weights = changing_cache.store.root / "tiny" / "3" / "weights.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1])
    with capture_logs() as logs:
        for _ in range(4):
            changing_cache.refresh()
    assert [(log["event"], log["version"]) for log in logs] == [
        ("model loaded", 2),
        ("model rejected", 3),
    ]
    assert "does not match the manifest" in logs[1]["reason"]
    assert changing_cache.get("", None).model.version == 2

    weights.write_bytes(content)
    for _ in range(2):  # first changed, then stable
        changing_cache.refresh()
    assert changing_cache.default == ("tiny", 3)


def test_a_model_being_copied_is_ignored_until_the_copy_is_complete(
    changing_cache: ModelCache, write_tiny: Callable[..., None], tmp_path_factory: pytest.TempPathFactory
) -> None:
    source = tmp_path_factory.mktemp("source")
    write_tiny(source, "tiny", 2)
    folder = changing_cache.store.root / "tiny" / "2"
    files = [source / "tiny" / "2" / name for name in ("model.json", "weights.safetensors")]
    with capture_logs() as logs:
        folder.mkdir()
        for file in files:
            content = file.read_bytes()
            for share in range(1, 9):
                (folder / file.name).write_bytes(content[: len(content) * share // 8])
                changing_cache.refresh()
        assert logs == []
        changing_cache.refresh()
        changing_cache.refresh()
    assert [(log["event"], log["version"]) for log in logs] == [("model loaded", 2)]
    assert changing_cache.default == ("tiny", 2)


def test_an_incomplete_copy_is_rejected_with_one_log_line(
    changing_cache: ModelCache, write_tiny: Callable[..., None]
) -> None:
    (changing_cache.store.root / "tiny" / "2").mkdir()
    (changing_cache.store.root / "new" / "1").mkdir(parents=True)
    with capture_logs() as logs:
        for _ in range(5):
            changing_cache.refresh()
    assert [(log["event"], log["model"], log["version"]) for log in logs] == [
        ("model rejected", "new", 1),
        ("model rejected", "tiny", 2),
    ]
    assert all("'model.json' is missing" in log["reason"] for log in logs)


def test_a_model_that_fails_its_first_pass_is_rejected_and_refreshes_continue(
    changing_cache: ModelCache, write_tiny: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny(changing_cache.store.root, "tiny", 2)
    monkeypatch.setattr(TorchRuntime, "forward", lambda *_: 1 // 0)
    with capture_logs() as logs:
        for _ in range(3):
            changing_cache.refresh()
    assert [(log["event"], log["reason"]) for log in logs] == [
        ("model rejected", "ZeroDivisionError: integer division or modulo by zero")
    ]
    assert changing_cache.default == ("tiny", 1)


def test_a_model_whose_runtime_is_unavailable_is_rejected(
    changing_cache: ModelCache, write_tiny: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny(changing_cache.store.root, "tiny", 2)

    def forward(*_: object) -> None:
        raise RuntimeUnavailable("no room on the device")

    monkeypatch.setattr(TorchRuntime, "forward", forward)
    changing_cache.refresh()
    assert changing_cache.default == ("tiny", 1)


def test_an_unavailable_device_is_an_error_at_startup(
    store: Path, create_runtime: RuntimeFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RuntimeUnavailable, match="device 'cuda' not available"):
        ModelCache(ModelStore(store), create_runtime, default="tiny", device="cuda")


def test_the_error_for_an_unknown_model_lists_the_available_ones(models: ModelCache) -> None:
    with pytest.raises(NotFound, match="model 'huge' not found; available: other, tiny") as caught:
        models.get("huge", None)

    assert caught.value.field == "model"


def test_the_only_model_of_a_store_is_the_default(
    tmp_path: Path, create_runtime: RuntimeFactory, write_tiny: Callable[..., None]
) -> None:
    write_tiny(tmp_path, "tiny", 1)

    assert ModelCache(ModelStore(tmp_path), create_runtime).default == ("tiny", 1)


def test_a_store_of_several_models_requires_a_default(store: Path, create_runtime: RuntimeFactory) -> None:
    with pytest.raises(
        InputError, match="the store has several models and no default; name one of other, tiny"
    ):
        ModelCache(ModelStore(store), create_runtime)


def test_an_unknown_default_is_an_error(store: Path, create_runtime: RuntimeFactory) -> None:
    with pytest.raises(NotFound, match="model 'huge' not found"):
        ModelCache(ModelStore(store), create_runtime, default="huge")


def test_an_empty_store_is_an_error(tmp_path: Path, create_runtime: RuntimeFactory) -> None:
    with pytest.raises(NotFound, match="has no models"):
        ModelCache(ModelStore(tmp_path), create_runtime)
