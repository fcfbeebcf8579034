"""Building an index: a resumable scan whose result is written all or nothing."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from zfscope.datasets.dataset import DataSet
from zfscope.datasets.names import as_unicode
from zfscope.datasets.read import SkippedPhoto, no_usable_photo_error
from zfscope.errors import CannotWrite, InputError
from zfscope.files import unfinished_folder, writing
from zfscope.parallel import Engine, LocalEngine
from zfscope.runtimes import Runtime
from zfscope.scan.batches import batches
from zfscope.scan.index import Index
from zfscope.scan.manifest import Origin, differences, make_origin
from zfscope.scan.open import read_index, read_manifest
from zfscope.scan.partial import PartialResult
from zfscope.scan.plan import ScanPlan
from zfscope.scan.scanner import Scanner
from zfscope.scan.state import load_state, save_state
from zfscope.scan.tables import PHOTOS, photo_changes
from zfscope.scan.write import write_index
from zfscope.store import Model

SAVE_EVERY_S = 5.0
_STATE, _RESULT = "state.npz", "result"

# Called with the numbers of photos done and in total: at the start, and after each batch.
ProgressCallback = Callable[[int, int], None]


def build_index(
    model: Model,
    data: DataSet,
    plan: ScanPlan,
    target: Path,
    *,
    runtime: Runtime,
    engine: Engine = LocalEngine(),  # noqa: B008  # frozen
    progress: ProgressCallback = lambda done, total: None,
    option: str = "--out",
) -> Index:
    """Scan a data set with a model, write the index to the folder `target`, and return it opened.

    The state is saved every few seconds in `.NAME.unfinished` next to the target. After a kill, the same call
    resumes from there, and the resulting index is identical byte for byte. An existing index is returned as
    it is.

    runtime: with one thread, since each thread of the engine runs its own pass. option: command-line option
    that sets the target, for error messages.

    Raises InputError if the target or the saved state was made with other inputs, if the folder cannot be
    written, and if no photo can be used.
    """
    origin = make_origin(model.manifest, data, plan, runtime)
    scanner = Scanner(runtime, plan, model.preprocessing, model.mean_image, origin.limits)

    def parts(done: int) -> Iterator[PartialResult]:
        scanner.warm_up()
        return engine(scanner.scan, batches(data, done=done))

    with _workspace(target, option) as workspace:
        if target.exists():
            _check_existing(target, origin, data)
        else:
            result = _scan(workspace / _STATE, origin, parts, progress)
            _check_photos(data, result)
            _publish(workspace / _RESULT, target, origin, data, result)
    return read_index(target, model.manifest)


def _workspace(target: Path, option: str) -> AbstractContextManager[Path]:
    """Create and lock the folder of an unfinished index; remove it afterwards."""

    def unwritable(error: CannotWrite) -> InputError:
        message = (
            f"the index cannot be written to '{target}': {error.reason}; choose another folder with {option}"
        )
        return InputError(message, field=option.removeprefix("--"))

    busy = InputError(f"another process is already building '{target}'", field="name")
    return unfinished_folder(target, state=_STATE, draft=_RESULT, busy=busy, unwritable=unwritable)


def _scan(
    state: Path,
    origin: Origin,
    parts: Callable[[int], Iterator[PartialResult]],
    progress: ProgressCallback,
) -> PartialResult:
    """Merge the results of all batches, starting from the saved state.

    parts: returns the results of all batches except those whose bit is set in its argument.
    """
    result = load_state(state, origin) or PartialResult(origin.top)
    progress(result.processed, origin.data.photos)
    saved = time.monotonic()
    for part in parts(result.batches):
        result = result.merge(part)
        progress(result.processed, origin.data.photos)
        if time.monotonic() - saved >= SAVE_EVERY_S:
            save_state(state, origin, result)
            saved = time.monotonic()
    return result


def _check_existing(target: Path, origin: Origin, data: DataSet) -> None:
    existing = read_manifest(target).origin
    differing = differences(existing, origin)
    if differing:
        changes = photo_changes(target / PHOTOS, data) if existing.data != origin.data else ""
        details = f" (photos: {changes})" if changes else ""
        message = f"'{target}' is an index that differs in {differing}{details}"
        raise InputError(f"{message}; choose another --name or remove that folder", field="name")


def _check_photos(data: DataSet, result: PartialResult) -> None:
    if not result.photos:
        number, reason = result.skipped[0]
        raise no_usable_photo_error(data, SkippedPhoto(as_unicode(data.names[number]), reason))


def _publish(draft: Path, target: Path, origin: Origin, data: DataSet, result: PartialResult) -> None:
    shutil.rmtree(draft, ignore_errors=True)  # left by an interrupted run
    with writing(target):
        write_index(draft, origin, data, result)
        draft.rename(target)
