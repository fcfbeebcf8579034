"""Construction of a gallery: maps are inspected in batches, one per core; then the pages are written."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, as_completed
from pathlib import Path

import torch

from zfscope.engine.cpu.threads import single_core_pool
from zfscope.errors import Cancelled
from zfscope.gallery.facts import BatchFacts, Gallery, LayerSummary, MapFact, UnfinishedGallery
from zfscope.gallery.folder import GalleryFolder, open_gallery_folder
from zfscope.gallery.inspect import Analyze, inspect_batch
from zfscope.gallery.pages import picture_files, render_pages
from zfscope.gallery.plan import GalleryPlan, MapBatch

# Called with the number of inspected maps, where maps in progress count as fractions, and the total.
MapProgressCallback = Callable[[float, int], None]


def build_gallery(
    plan: GalleryPlan,
    analyze: Analyze,
    out: Path,
    *,
    title: str = "",
    progress: MapProgressCallback = lambda done, total: None,
) -> Gallery:
    """Create or resume a gallery in the folder `out` and return its description.

    analyze: called from several threads at once. title: title of the first page; by default derived from the
    model and the index.

    The facts of each batch of maps are stored at once, so that the same call resumes after a kill. A finished
    gallery is rebuilt in place; its pages are replaced only after all maps have been inspected. Raises
    InputError like `open_gallery_folder`, and the errors of `analyze`.
    """
    with open_gallery_folder(out) as folder:
        layers = tuple(layer.name for layer in plan.layers)
        folder.start(UnfinishedGallery(identity=plan.identity, layers=layers))
        _inspect_batches(plan, analyze, folder, progress)
        stored = [(batch.layer.name, _stored_batch(folder, batch)) for batch in plan.batches]
        facts = _facts_by_layer(plan, stored)
        gallery = _describe_gallery(plan, facts, _warnings_by_layer(plan, stored), title)
        written = set(picture_files(plan, facts))
        for name, data in render_pages(plan, gallery, facts):
            folder.write(name, data)
            written.add(name)
        folder.finish(gallery, written)
    return gallery


def _inspect_batches(
    plan: GalleryPlan, analyze: Analyze, folder: GalleryFolder, callback: MapProgressCallback
) -> None:
    """Inspect all batches that have no stored facts, in parallel on one core each."""
    batches = plan.batches
    pending = [batch for batch in batches if not _stored_batch(folder, batch).maps]
    total = sum(len(batch.maps) for batch in batches)
    progress = _MapProgress(total - sum(len(batch.maps) for batch in pending), total, callback)
    progress.report()
    pool = single_core_pool(torch.get_num_threads())
    futures = [pool.submit(_inspect_and_store, plan, batch, analyze, folder, progress) for batch in pending]
    try:
        for future in as_completed(futures):
            future.result()
    finally:
        progress.stopped = True
        _join(futures)


def _join(futures: Sequence[Future[None]]) -> None:
    """Cancel or await all futures, so that no thread writes to the folder afterwards."""
    for future in futures:
        if not future.cancel():
            future.exception()


def _inspect_and_store(
    plan: GalleryPlan, batch: MapBatch, analyze: Analyze, folder: GalleryFolder, progress: "_MapProgress"
) -> None:
    facts, pictures = inspect_batch(plan, batch, analyze, lambda fraction: progress.update(batch, fraction))
    for name, data in pictures.items():
        folder.write(f"{batch.layer.name}/{name}", data)
    folder.store_batch(_batch_name(batch), facts)
    progress.update(batch, 1.0)


class _MapProgress:
    """Progress over all batches, updated from their threads; set `stopped` to cancel them."""

    def __init__(self, resumed: int, total: int, callback: MapProgressCallback) -> None:
        self.stopped = False
        self._resumed, self._total, self._callback = resumed, total, callback
        self._done: dict[str, float] = {}

    def update(self, batch: MapBatch, fraction: float) -> None:
        if self.stopped:
            raise Cancelled("the gallery was stopped")
        self._done[_batch_name(batch)] = fraction * len(batch.maps)
        self.report()

    def report(self) -> None:
        # list() copies the values at once: other threads may add batches during the sum.
        self._callback(self._resumed + sum(list(self._done.values())), self._total)


def _stored_batch(folder: GalleryFolder, batch: MapBatch) -> BatchFacts:
    """Return the stored facts of a batch; empty if it has not been inspected."""
    stored = folder.read_batch(_batch_name(batch))
    if stored and tuple(fact.map for fact in stored.maps) == batch.maps:
        return stored
    return BatchFacts(maps=())


def _batch_name(batch: MapBatch) -> str:
    return f"{batch.layer.name}-{batch.number}"


def _facts_by_layer(
    plan: GalleryPlan, stored: Sequence[tuple[str, BatchFacts]]
) -> Mapping[str, Sequence[MapFact]]:
    """Return the facts of all maps. stored: the name of each batch's layer, and its facts."""
    facts: dict[str, list[MapFact]] = {layer.name: [] for layer in plan.layers}
    for layer, batch in stored:
        facts[layer].extend(batch.maps)
    return facts


def _warnings_by_layer(
    plan: GalleryPlan, stored: Sequence[tuple[str, BatchFacts]]
) -> Mapping[str, tuple[str, ...]]:
    """Return the warnings about each layer, without duplicates. stored: as in `_facts_by_layer`."""
    warnings: dict[str, dict[str, None]] = {layer.name: {} for layer in plan.layers}
    for layer, batch in stored:
        warnings[layer] |= dict.fromkeys(batch.warnings)
    return {name: tuple(messages) for name, messages in warnings.items()}


def _describe_gallery(
    plan: GalleryPlan,
    facts: Mapping[str, Sequence[MapFact]],
    warnings: Mapping[str, tuple[str, ...]],
    title: str,
) -> Gallery:
    return Gallery(
        title=title or f"Feature maps of {plan.model.name} on '{plan.index.name}'",
        model=plan.model.name,
        version=plan.model.version,
        index=plan.index.name,
        index_sha256=plan.index_sha256,
        photos=plan.index.manifest.images,
        top=plan.top,
        precision=plan.precision,
        epochs=plan.epochs,
        layers={name: _summarise(maps, warnings[name]) for name, maps in facts.items()},
    )


def _summarise(maps: Sequence[MapFact], warnings: tuple[str, ...]) -> LayerSummary:
    return LayerSummary(
        maps=len(maps),
        dead=sum(fact.dead for fact in maps),
        marked=sum(fact.marked > 0 for fact in maps),
        warnings=warnings,
    )
