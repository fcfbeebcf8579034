"""The cache of exported graphs: one file per graph, keyed by everything that the graph depends on."""

import hashlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import platformdirs

from zfscope.errors import CannotWrite
from zfscope.files import make_folder, write_file
from zfscope.store.store import Model

# Incremented whenever exported graphs change; this invalidates cached ones.
EXPORTER_VERSION = 3

_log = logging.getLogger(__name__)


def model_graph(model: Model, *, cache: Path | None = None) -> Path | bytes:
    """Return the graph of a model's class scores, cached. cache: None for the user's cache."""
    return cached_graph(cache or default_cache(), graph_key(model), lambda: export_graph(model))


def layers_graph(model: Model, *, cache: Path | None = None) -> bytes:
    """Return the graph of the outputs of all layers of a model."""
    from zfscope.runtimes.onnx.graph import with_layers

    graph = model_graph(model, cache=cache)
    data = graph if isinstance(graph, bytes) else graph.read_bytes()
    return with_layers(data, model.spec, [layer.name for layer in model.spec.layers])


def maxima_graph(
    model: Model, layers: Sequence[str], *, sums: bool = False, cache: Path | None = None
) -> Path | bytes:
    """Return the graph of the map maxima of some layers, cached. cache: None for the user's cache."""

    def export() -> bytes:
        from zfscope.runtimes.onnx.maxima import onnx_maxima_graph

        return onnx_maxima_graph(model.spec, model.weights.arrays(), layers, sums=sums)

    key = graph_key(model, "reduced", *layers, *(["sums"] if sums else []))
    return cached_graph(cache or default_cache(), key, export)


def cells_graph(model: Model, layers: Sequence[str], *, cache: Path | None = None) -> Path | bytes:
    """Return the graph of the cells' maxima of some layers, cached. cache: None for the user's cache."""

    def export() -> bytes:
        from zfscope.runtimes.onnx.cells import onnx_cells_graph

        return onnx_cells_graph(model.spec, model.weights.arrays(), layers)

    return cached_graph(cache or default_cache(), graph_key(model, "cells", *layers), export)


def export_graph(model: Model) -> bytes:
    """Export a model to ONNX."""
    from zfscope.runtimes.onnx.graph import onnx_graph  # imports onnx, which a warm cache does not need

    return onnx_graph(model.spec, model.weights.arrays())


def graph_key(model: Model, *variant: str) -> str:
    """Return the cache key of a graph, from exporter version, weights, network and variant."""
    parts = (str(EXPORTER_VERSION), model.weights_sha256, model.spec.fingerprint, *variant)
    return f"{model.name}-{model.version}-{hashlib.sha256(' '.join(parts).encode()).hexdigest()[:16]}"


def default_cache() -> Path | None:
    """Return the folder of exported graphs in the user's cache; None without a home directory.

    Containers may run as a user ID that is not in the system's user database, without HOME.
    """
    try:
        cache = platformdirs.user_cache_path("zfscope") / "onnx"
    except RuntimeError:
        return None
    return cache if cache.is_absolute() else None  # otherwise it starts with an unexpanded ~


def cached_graph(cache: Path | None, key: str, export: Callable[[], bytes]) -> Path | bytes:
    """Return the path of a graph in the cache, or its bytes if the cache is not writable.

    export: called if the graph is not cached. File names contain the key and the SHA-256 of the contents,
    `KEY.SHA256.onnx`: truncated or changed files are detected and removed, and the graph is exported again.
    """
    if cache is None:
        _log.info(
            "the exported graph is not cached: the user has no home directory; set XDG_CACHE_HOME to cache it"
        )
        return export()
    entry = _valid_entry(cache, key)
    if entry is not None:
        return entry
    data = export()
    target = cache / f"{key}.{hashlib.sha256(data).hexdigest()}.onnx"
    try:
        make_folder(cache)
        write_file(target, data)
    except CannotWrite as error:
        _log.warning("the exported graph is not cached: %s", error)
        return data
    return target


def _valid_entry(cache: Path, key: str) -> Path | None:
    valid = None
    for path in sorted(cache.glob(f"{key}.*.onnx")):
        if _digest(path) == path.name.split(".")[-2]:
            valid = path
        else:
            _log.warning("cached graph '%s' is damaged; exporting it again", path)
            _remove(path)
    return valid


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _remove(path: Path) -> None:
    try:
        path.unlink()
    except OSError:
        _log.warning("cannot remove '%s'", path)
