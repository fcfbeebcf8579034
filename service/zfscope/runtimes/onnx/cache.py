"""Exported graphs of models, kept between starts in a file each, by all that a graph is made of."""

import hashlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import platformdirs

from zfscope.errors import CannotWrite
from zfscope.files import make_folder, write_file
from zfscope.store.store import Model

EXPORTER_VERSION = 2
"""Raised with every change of what `graph` writes: graphs of another version are not used again."""

_log = logging.getLogger(__name__)


def model_graph(model: Model, *, cache: Path | None = None) -> Path | bytes:
    """Return the graph of a model's class scores out of the cache (None: this user's own)."""
    return cached_graph(cache or default_cache(), graph_key(model), lambda: export_model(model))


def layers_graph(model: Model, *, cache: Path | None = None) -> bytes:
    """Return the graph whose outputs are all layers of a model."""
    from zfscope.runtimes.onnx.graph import with_layers

    graph = model_graph(model, cache=cache)
    data = graph if isinstance(graph, bytes) else graph.read_bytes()
    return with_layers(data, model.spec, [layer.name for layer in model.spec.layers])


def maxima_graph(
    model: Model, layers: Sequence[str], *, sums: bool = False, cache: Path | None = None
) -> Path | bytes:
    """Return the graph of the maxima of some layers' maps out of the cache (None: this user's own)."""

    def export() -> bytes:
        from zfscope.runtimes.onnx.maxima import write_maxima_graph

        return write_maxima_graph(model.spec, model.weights.arrays(), layers, sums=sums)

    key = graph_key(model, "reduced", *layers, *(["sums"] if sums else []))
    return cached_graph(cache or default_cache(), key, export)


def export_model(model: Model) -> bytes:
    """Write a model as ONNX."""
    from zfscope.runtimes.onnx.graph import onnx_graph  # brings onnx, which a warm cache does without

    return onnx_graph(model.spec, model.weights.arrays())


def graph_key(model: Model, *variant: str) -> str:
    """Name the graph by all that it is made of: exporter, weights, network, and what sets a variant apart."""
    parts = (str(EXPORTER_VERSION), model.weights_sha256, model.spec.fingerprint, *variant)
    return f"{model.name}-{model.version}-{hashlib.sha256(' '.join(parts).encode()).hexdigest()[:16]}"


def default_cache() -> Path | None:
    """Return the folder of exported graphs among this user's caches; None for a user without a home.

    A container may run as a user whom its system does not know, without HOME.
    """
    try:
        cache = platformdirs.user_cache_path("zfscope") / "onnx"
    except RuntimeError:
        return None
    return cache if cache.is_absolute() else None  # or it is '~', which no shell has replaced


def cached_graph(cache: Path | None, key: str, export: Callable[[], bytes]) -> Path | bytes:
    """Return the file of an exported graph; its bytes where there is no cache, or none that can be written.

    A file's name is its key and its own SHA-256, `KEY.SHA256.onnx`, so a file that was cut off or
    changed is recognised, removed and exported again.
    """
    if cache is None:
        _log.info(
            "the exported graph is not kept: this user has no home; XDG_CACHE_HOME names a folder for it"
        )
        return export()
    found = _whole_entry(cache, key)
    if found is not None:
        return found
    data = export()
    target = cache / f"{key}.{hashlib.sha256(data).hexdigest()}.onnx"
    try:
        make_folder(cache)
        write_file(target, data)
    except CannotWrite as error:
        _log.warning("the exported graph is not kept: %s", error)
        return data
    return target


def _whole_entry(cache: Path, key: str) -> Path | None:
    whole = None
    for path in sorted(cache.glob(f"{key}.*.onnx")):
        if _digest(path) == path.name.split(".")[-2]:
            whole = path
        else:
            _log.warning("'%s' is damaged and is exported again", path)
            _remove(path)
    return whole


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
        _log.warning("'%s' cannot be removed", path)
