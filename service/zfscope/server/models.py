"""The models that requests name: loaded when first asked for, kept, and shared by all."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from zfscope.runtimes import Runtime
from zfscope.store import Manifest, Model, ModelStore

Key = tuple[str, int]


@dataclass(frozen=True, eq=False)
class Loaded:
    """A model and who runs its forward passes."""

    model: Model
    runtime: Runtime


class Models:
    """The models of a store, the last `keep` of them in memory, the default one always.

    Every method may block on the disk, and may be called from many threads at once.
    """

    def __init__(
        self,
        store: ModelStore,
        create_runtime: Callable[[Model], Runtime],
        *,
        default: str = "",
        keep: int = 3,
    ) -> None:
        """default: the model of requests that name none; empty takes the store's default.

        Raises NotFound for a default that the store does not have, or a store without models;
        InputError where the store has several and no default.
        """
        self._store = store
        self._create_runtime = create_runtime
        self._keep = keep
        self._kept: OrderedDict[Key, Loaded] = OrderedDict()
        self._lock = threading.Lock()
        self._loading = threading.Lock()
        manifest = store.manifest(default)
        self.default = manifest.name, manifest.version

    @property
    def store(self) -> ModelStore:
        """Where the models are."""
        return self._store

    def manifests(self) -> tuple[Manifest, ...]:
        """Read every model's manifest, by name, the newest version first."""
        return tuple(sorted(self._store.manifests(), key=lambda found: (found.name, -found.version)))

    def manifest(self, name: str, version: int | None) -> Manifest:
        """Read one manifest; see `loaded`."""
        return self._store.manifest(*self._key(name, version))

    def loaded(self, name: str, version: int | None) -> Loaded:
        """Give a model, loading it when it is not in memory.

        name: empty means the default model. version: None means the newest, of the default model the
        one that was newest when the service started. Raises NotFound for what the store does not have.
        """
        key = self._key(name, version)
        found = self._find(key)
        if found is not None:
            return found
        with self._loading:  # one at a time: two requests for one model load it once
            return self._find(key) or self._load(key)

    def _key(self, name: str, version: int | None) -> Key:
        if not name and version is None:
            return self.default
        manifest = self._store.manifest(name or self.default[0], version)
        return manifest.name, manifest.version

    def _find(self, key: Key) -> Loaded | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def _load(self, key: Key) -> Loaded:
        model = self._store.load(*key)
        loaded = Loaded(model, self._create_runtime(model))
        with self._lock:
            self._kept[key] = loaded
            oldest = [kept for kept in self._kept if kept not in (key, self.default)]
            for spare in oldest[: max(0, len(self._kept) - self._keep)]:
                del self._kept[spare]
        return loaded
