"""Making an index: a scan that goes on where it was stopped, and what it found, written all or nothing."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from zfscope.datasets.dataset import DataSet
from zfscope.datasets.names import printable
from zfscope.datasets.read import Skipped, none_usable
from zfscope.errors import CannotWrite, InputError
from zfscope.files import exclusive_folder, writing
from zfscope.runtimes import Runtime
from zfscope.scan.batches import batches
from zfscope.scan.engine import Engine, local
from zfscope.scan.index import Index
from zfscope.scan.manifest import Origin, differences, make_origin
from zfscope.scan.open import read_index, read_manifest
from zfscope.scan.partial import PartialResult, merge
from zfscope.scan.plan import ScanPlan
from zfscope.scan.scanner import Scanner
from zfscope.scan.state import load_state, save_state
from zfscope.scan.tables import PHOTOS, photo_changes
from zfscope.scan.write import write_index
from zfscope.store import Model

SAVE_EVERY_S = 5.0
_STATE, _RESULT = "state.npz", "result"

ProgressCallback = Callable[[int, int], None]
"""Told how many photos are done, and how many there are: at the start, and after each batch."""


def build_index(
    model: Model,
    data: DataSet,
    plan: ScanPlan,
    target: Path,
    *,
    runtime: Runtime,
    engine: Engine = local,
    progress: ProgressCallback = lambda done, total: None,
    option: str = "--out",
) -> Index:
    """Scan a data set with a model, and write the index as the folder `target`; give it opened.

    runtime: of one thread, since each of the engine's threads runs a pass. What was found is saved every few
    seconds in `.NAME.unfinished` next to the target: after a kill, the same call resumes from there, and the
    index is the same to the byte. Where it already exists, nothing is done. option: what puts the index
    elsewhere, for the message.

    Raises InputError where the target, or what was saved, was made from something else; where the folder
    cannot be written; and where no photo could be used.
    """
    origin = make_origin(model.manifest, data, plan, runtime.title)
    scanner = Scanner(runtime, plan, model.preprocessing, model.mean_image, origin.limits)

    def parts(done: int) -> Iterator[PartialResult]:
        scanner.warm_up()
        return engine(scanner.scan, batches(data, done=done))

    with _workshop(target, option) as workshop:
        if target.exists():
            _check_existing(target, origin, data)
        else:
            found = _scanned(workshop / _STATE, origin, parts, progress)
            _check_photos(data, found)
            _publish(workshop / _RESULT, target, origin, data, found)
    return read_index(target, model.manifest)


@contextmanager
def _workshop(target: Path, option: str) -> Iterator[Path]:
    """Make the folder of an unfinished index, keep other processes out of it, and remove it in the end."""
    folder = target.with_name(f".{target.name}.unfinished")
    busy = InputError(f"another process is making '{target}' right now", field="name")

    def unwritable(error: CannotWrite) -> InputError:
        message = f"the index cannot be written to '{target}': {error.reason}; put it elsewhere with {option}"
        return InputError(message, field=option.removeprefix("--"))

    with exclusive_folder(folder, busy=busy, unwritable=unwritable, tidy=_tidy):
        yield folder
        (folder / _STATE).unlink(missing_ok=True)


def _tidy(folder: Path) -> None:
    """Remove what is not finished, all but a saved state, which a second run continues from."""
    shutil.rmtree(folder / _RESULT, ignore_errors=True)
    if not (folder / _STATE).exists():
        shutil.rmtree(folder, ignore_errors=True)


def _scanned(
    state: Path, origin: Origin, parts: Callable[[int], Iterator[PartialResult]], progress: ProgressCallback
) -> PartialResult:
    """Put together what is found in all batches; `parts` gives that of all but those done before."""
    found = load_state(state, origin) or PartialResult(origin.top)
    progress(found.seen, origin.data.photos)
    saved = time.monotonic()
    for part in parts(found.batches):
        found = merge(found, part)
        progress(found.seen, origin.data.photos)
        if time.monotonic() - saved >= SAVE_EVERY_S:
            save_state(state, origin, found)
            saved = time.monotonic()
    return found


def _check_existing(target: Path, origin: Origin, data: DataSet) -> None:
    found = read_manifest(target).origin
    differs = differences(found, origin)
    if differs:
        changes = photo_changes(target / PHOTOS, data) if found.data != origin.data else ""
        since = f" (photos: {changes})" if changes else ""
        message = f"'{target}' is an index of another {differs}{since}"
        raise InputError(f"{message}: give another --name, or remove that folder", field="name")


def _check_photos(data: DataSet, found: PartialResult) -> None:
    if not found.photos:
        number, reason = found.skipped[0]
        raise none_usable(data, Skipped(printable(data.names[number]), reason))


def _publish(draft: Path, target: Path, origin: Origin, data: DataSet, found: PartialResult) -> None:
    shutil.rmtree(draft, ignore_errors=True)  # one that a kill interrupted
    with writing(target):
        write_index(draft, origin, data, found)
        draft.rename(target)
