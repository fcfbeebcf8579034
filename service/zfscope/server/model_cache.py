"""Cache of models by name and version: each is loaded on first use and shared by all requests."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator

import structlog
import torch

from zfscope.errors import RuntimeUnavailable
from zfscope.runtimes import LoadedModel, Runtime, load_model
from zfscope.server.store_watch import ModelKey, NewVersionLoader
from zfscope.store import DamagedEntry, Manifest, Model, ModelStore, StoredModel

_log = structlog.get_logger("zfscope.server")


class ModelCache:
    """Cache of a store's models: the `keep` most recently used ones, always including the default model.

    A request without a version gets the newest one of those present at construction or loaded since by
    `refresh`. Thread-safe. All methods except `get_cached` may block on disk reads.
    """

    def __init__(
        self,
        store: ModelStore,
        create_runtime: Callable[[Model], Runtime],
        *,
        default: str = "",
        keep: int = 3,
        device: str = "cpu",
        unloaded: Callable[[Model], object] = lambda _: None,
    ) -> None:
        """default: model for requests that name none; empty: the store's default. device: device of networks.
        unloaded: called with each model that leaves the cache.

        Raises NotFound if the default model does not exist or the store is empty, InputError if the store has
        several models and no default, DamagedModel if the default is damaged, and RuntimeUnavailable if torch
        does not find the device.
        """
        if device == "cuda" and not torch.cuda.is_available():
            raise RuntimeUnavailable(
                "device 'cuda' not available: torch finds no CUDA device; use device cpu", field="device"
            )
        self._store = store
        self._create_runtime = create_runtime
        self._max_models = keep
        self._device = device
        self._unloaded = unloaded
        self._cached: OrderedDict[ModelKey, LoadedModel] = OrderedDict()
        self._lock = threading.Lock()
        self._load_lock = threading.Lock()
        self._newest = {name: versions[-1] for name, versions in store.versions().items()}
        self._loader = NewVersionLoader(lambda key: store.stamp(*key), self._load_new)
        self._default = store.manifest(default).name
        _warn_about_damage(store)

    @property
    def default(self) -> ModelKey:
        """Name and version of the model for requests that name none."""
        return self._default, self._newest[self._default]

    @property
    def store(self) -> ModelStore:
        """Store of the models."""
        return self._store

    def listing(self) -> tuple[Manifest | DamagedEntry, ...]:
        """Return all versions of all models, sorted by name, newest first; see `ModelStore.listing`."""
        return tuple(sorted(self._store.listing(), key=lambda entry: (entry.name, -entry.version)))

    def manifest(self, name: str, version: int | None) -> Manifest:
        """Read one manifest; arguments and errors are those of `get`."""
        return self.find(name, version).manifest

    def find(self, name: str, version: int | None) -> StoredModel:
        """Find a model without loading it; arguments and errors are those of `get`."""
        return self._store.find(*self._resolve(name, version))

    def get_cached(self, name: str, version: int | None) -> LoadedModel | None:
        """Return a model as `get` does, or None if it is not in memory. Does not block."""
        return self._find(*self._resolve(name, version))

    def get(self, name: str, version: int | None) -> LoadedModel:
        """Return a model; load it if it is not in memory.

        name: empty for the default model. version: None for the newest. Raises NotFound for an unknown model
        or version.
        """
        cached = self.get_cached(name, version)
        if cached is not None:
            return cached
        key = self._key(name, version)
        with self._load_lock:  # one at a time, so that concurrent requests for a model load it once
            return self._find(*key) or self._load(key)

    def refresh(self) -> None:
        """Load versions that have appeared in the store; serve each after a successful forward pass.

        A version that cannot be loaded is rejected once its files stop changing, and the older one remains in
        use; it is retried when its files change again. Raises DamagedModel if the store cannot be listed.
        """
        for key in self._new_versions():
            self._loader.check(key)

    def _new_versions(self) -> Iterator[ModelKey]:
        for name, versions in self._store.versions().items():
            yield from ((name, version) for version in versions if version > self._newest.get(name, 0))

    def _load_new(self, key: ModelKey) -> None:
        self.get(*key).warm_up()
        name, version = key
        self._newest[name] = version
        _log.info("model loaded", model=name, version=version)

    def _resolve(self, name: str, version: int | None) -> tuple[str, int | None]:
        """Replace an empty name and version by the default and the newest; None if no version is known."""
        name = name or self._default
        return name, self._newest.get(name) if version is None else version

    def _key(self, name: str, version: int | None) -> ModelKey:
        manifest = self._store.manifest(*self._resolve(name, version))
        return manifest.name, manifest.version

    def _find(self, name: str, version: int | None) -> LoadedModel | None:
        if version is None:
            return None
        with self._lock:
            if (name, version) in self._cached:
                self._cached.move_to_end((name, version))
            return self._cached.get((name, version))

    def _load(self, key: ModelKey) -> LoadedModel:
        loaded = load_model(self._store, *key, self._create_runtime, device=self._device)
        loaded.build_network()
        with self._lock:
            self._cached[key] = loaded
            evictable = [cached for cached in self._cached if cached not in (key, self.default)]
            excess = max(0, len(self._cached) - self._max_models)
            removed = [self._cached.pop(oldest) for oldest in evictable[:excess]]
        for each in removed:
            self._unloaded(each.model)
        return loaded


def _warn_about_damage(store: ModelStore) -> None:
    for entry in store.listing():
        if isinstance(entry, DamagedEntry):
            _log.warning("damaged model", model=entry.name, version=entry.version, reason=entry.reason)
