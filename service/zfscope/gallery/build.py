"""Making a gallery: maps are looked at in batches, a core each; then the pages are written."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, as_completed
from pathlib import Path

import torch

from zfscope.engine.cpu.threads import single_core_pool
from zfscope.errors import Cancelled
from zfscope.gallery.facts import Gallery, LayerSummary, MapFact, Unfinished
from zfscope.gallery.folder import Folder, open_folder
from zfscope.gallery.look import Analyze, look
from zfscope.gallery.pages import pages_of, picture_files
from zfscope.gallery.plan import Batch, Plan

# Called with the number of completed maps and the total.
Watch = Callable[[float, int], None]


def build_gallery(
    plan: Plan, analyze: Analyze, out: Path, *, title: str = "", watch: Watch = lambda done, total: None
) -> Gallery:
    """Make a gallery, or go on with it, as the folder `out`, and give what it is of.

    analyze: called in several threads at once. What is found of some maps is kept at once: after a kill the
    same call goes on from there. A gallery that is there already is made anew in its place, and until all
    is found its pages are as they were. Raises InputError as `open_folder` does, and what `analyze` raises.
    """
    with open_folder(out) as folder:
        folder.begin(Unfinished(identity=plan.identity, layers=tuple(layer.name for layer in plan.layers)))
        _look(plan, analyze, folder, watch)
        found = _found(plan, folder)
        gallery = _gallery(plan, found, title)
        written = set(picture_files(plan, found))
        for name, data in pages_of(plan, gallery, found):
            folder.write(name, data)
            written.add(name)
        folder.finish(gallery, written)
    return gallery


def _look(plan: Plan, analyze: Analyze, folder: Folder, watch: Watch) -> None:
    """Look at every batch that was not looked at before, a few at once: one a core, which is not shared."""
    batches = plan.batches
    left = [batch for batch in batches if not _kept(folder, batch)]
    total = sum(len(batch.maps) for batch in batches)
    meter = _Meter(total - sum(len(batch.maps) for batch in left), total, watch)
    meter.tell()
    pool = single_core_pool(torch.get_num_threads())
    waiting = [pool.submit(_look_at, plan, batch, analyze, folder, meter) for batch in left]
    try:
        for done in as_completed(waiting):
            done.result()
    finally:
        meter.stopped = True
        _wait(waiting)


def _wait(waiting: Sequence[Future[None]]) -> None:
    """Let no thread write to the folder any more."""
    for future in waiting:
        if not future.cancel():
            future.exception()


def _look_at(plan: Plan, batch: Batch, analyze: Analyze, folder: Folder, meter: "_Meter") -> None:
    part, pictures = look(plan, batch, analyze, lambda share: meter.update(batch, share))
    for name, data in pictures.items():
        folder.write(f"{batch.layer.name}/{name}", data)
    folder.keep(_name(batch), part)
    meter.update(batch, 1.0)


class _Meter:
    """How many maps are done: batches tell it from their threads, and stop there when they are to."""

    def __init__(self, before: int, total: int, watch: Watch) -> None:
        self.stopped = False
        self._before, self._total, self._watch = before, total, watch
        self._done: dict[str, float] = {}

    def update(self, batch: Batch, share: float) -> None:
        if self.stopped:
            raise Cancelled("the gallery was stopped")
        self._done[_name(batch)] = share * len(batch.maps)
        self.tell()

    def tell(self) -> None:
        self._watch(self._before + sum(list(self._done.values())), self._total)


def _kept(folder: Folder, batch: Batch) -> Sequence[MapFact]:
    """Return what was found of a batch before, nothing where it was not looked at."""
    part = folder.part(_name(batch))
    known = part.maps if part else ()
    return known if tuple(fact.map for fact in known) == batch.maps else ()


def _name(batch: Batch) -> str:
    return f"{batch.layer.name}-{batch.number}"


def _found(plan: Plan, folder: Folder) -> Mapping[str, Sequence[MapFact]]:
    """Return what was found of all maps, by layer."""
    found: dict[str, list[MapFact]] = {layer.name: [] for layer in plan.layers}
    for batch in plan.batches:
        found[batch.layer.name].extend(_kept(folder, batch))
    return found


def _gallery(plan: Plan, found: Mapping[str, Sequence[MapFact]], title: str) -> Gallery:
    return Gallery(
        title=title or f"What the maps of {plan.model.name} see in '{plan.index.name}'",
        model=plan.model.name,
        version=plan.model.version,
        index=plan.index.name,
        index_sha256=plan.index_sha256,
        photos=plan.index.manifest.images,
        top=plan.top,
        epochs=plan.epochs,
        layers={name: _summary(maps) for name, maps in found.items()},
    )


def _summary(maps: Sequence[MapFact]) -> LayerSummary:
    return LayerSummary(
        maps=len(maps), dead=sum(map.dead for map in maps), marked=sum(map.lost > 0 for map in maps)
    )
