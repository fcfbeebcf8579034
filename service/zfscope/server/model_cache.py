"""ModelCache by name and version: loaded on first use, cached, and shared by all requests."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator

import structlog
import torch

from zfscope.errors import RuntimeUnavailable
from zfscope.runtimes import LoadedModel, Runtime, load_model
from zfscope.server.store_watch import Key, NewVersionLoader
from zfscope.store import DamagedEntry, Manifest, Model, ModelStore

_log = structlog.get_logger("zfscope.server")


class ModelCache:
    """The models of a store, the last `keep` of them in memory, the default one always.

    Where a request names no version it gets the newest that there was at the start, or that `refresh` has
    found since. Every method but `get_cached` may block on the disk; many threads may call them at once.
    """

    def __init__(
        self,
        store: ModelStore,
        create_runtime: Callable[[Model], Runtime],
        *,
        default: str = "",
        keep: int = 3,
        device: str = "cpu",
    ) -> None:
        """default: the model of requests that name none; empty takes the store's. device: of the networks.

        Raises NotFound for a default that the store does not have, or a store without models;
        InputError where the store has several and no default; DamagedModel for a damaged default;
        RuntimeUnavailable for a device that torch
        does not find.
        """
        if device == "cuda" and not torch.cuda.is_available():
            raise RuntimeUnavailable(
                "device 'cuda' not available: torch finds no CUDA device; use device cpu", field="device"
            )
        self._store = store
        self._create_runtime = create_runtime
        self._keep = keep
        self._device = device
        self._kept: OrderedDict[Key, LoadedModel] = OrderedDict()
        self._lock = threading.Lock()
        self._loading = threading.Lock()
        self._newest = {name: versions[-1] for name, versions in store.versions().items()}
        self._loader = NewVersionLoader(lambda key: store.stamp(*key), self._load_new)
        self._default = store.manifest(default).name
        _warn_of_damage(store)

    @property
    def default(self) -> Key:
        """The model of requests that name none."""
        return self._default, self._newest[self._default]

    @property
    def store(self) -> ModelStore:
        """Where the models are."""
        return self._store

    def listing(self) -> tuple[Manifest | DamagedEntry, ...]:
        """Return every version of every model, by name, the newest first; see `ModelStore.listing`."""
        return tuple(sorted(self._store.listing(), key=lambda found: (found.name, -found.version)))

    def manifest(self, name: str, version: int | None) -> Manifest:
        """Read one manifest; see `loaded`."""
        return self._store.manifest(*self._key(name, version))

    def get_cached(self, name: str, version: int | None) -> LoadedModel | None:
        """Return a model that is in memory, as `loaded` does, without reading the disk; None for others."""
        return self._find(*self._resolve(name, version))

    def get(self, name: str, version: int | None) -> LoadedModel:
        """Return a model, loading it when it is not in memory.

        name: empty means the default model. version: None means the newest. Raises NotFound for what the
        store does not have.
        """
        found = self.get_cached(name, version)
        if found is not None:
            return found
        key = self._key(name, version)
        with self._loading:  # one at a time: two requests for one model load it once
            return self._find(*key) or self._load(key)

    def refresh(self) -> None:
        """Take up versions that have appeared in the store, each once it is loaded and has run a pass.

        One that cannot be used is refused once its files have stopped changing, and the older one stays. It
        is tried again when its files change. Raises DamagedModel where the store cannot be listed.
        """
        for key in self._new_versions():
            self._loader.check(key)

    def _new_versions(self) -> Iterator[Key]:
        for name, versions in self._store.versions().items():
            yield from ((name, version) for version in versions if version > self._newest.get(name, 0))

    def _load_new(self, key: Key) -> None:
        self.get(*key).warm_up()
        name, version = key
        self._newest[name] = version
        _log.info("took up a model", model=name, version=version)

    def _resolve(self, name: str, version: int | None) -> tuple[str, int | None]:
        """Return which model is meant; the version is None for one that did not exist yet."""
        name = name or self._default
        return name, self._newest.get(name) if version is None else version

    def _key(self, name: str, version: int | None) -> Key:
        manifest = self._store.manifest(*self._resolve(name, version))
        return manifest.name, manifest.version

    def _find(self, name: str, version: int | None) -> LoadedModel | None:
        if version is None:
            return None
        with self._lock:
            if (name, version) in self._kept:
                self._kept.move_to_end((name, version))
            return self._kept.get((name, version))

    def _load(self, key: Key) -> LoadedModel:
        loaded = load_model(self._store, *key, self._create_runtime, device=self._device)
        loaded.build_network()
        with self._lock:
            self._kept[key] = loaded
            oldest = [kept for kept in self._kept if kept not in (key, self.default)]
            for spare in oldest[: max(0, len(self._kept) - self._keep)]:
                del self._kept[spare]
        return loaded


def _warn_of_damage(store: ModelStore) -> None:
    for found in store.listing():
        if isinstance(found, DamagedEntry):
            _log.warning("damaged model", model=found.name, version=found.version, reason=found.reason)
