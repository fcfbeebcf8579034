"""Analysis of a data set: resumable, with a result that is written all or nothing."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from zfscope.bulk.manifest import RUN, RunManifest, RunOrigin, make_origin
from zfscope.bulk.open import read_run
from zfscope.bulk.parts import ORIGIN, PartFolder, open_parts
from zfscope.bulk.work import PhotoAnalyzer
from zfscope.bulk.write import write_run
from zfscope.datasets.dataset import DataSet
from zfscope.datasets.names import as_unicode
from zfscope.datasets.read import SkippedPhoto, no_usable_photo_error
from zfscope.engine.cpu.threads import restored_cores
from zfscope.errors import CannotWrite, InputError
from zfscope.files import unfinished_folder, writing
from zfscope.parallel import Batch, Engine, LocalEngine
from zfscope.scan.manifest import differences

_RESULT = "result"

# Called with the numbers of photos done and in total: at the start, and after each photo.
ProgressCallback = Callable[[int, int], None]


def analyze_photos(
    work: PhotoAnalyzer,
    data: DataSet,
    target: Path,
    *,
    engine: Engine = LocalEngine(),  # noqa: B008  # frozen
    progress: ProgressCallback = lambda done, total: None,
) -> RunManifest:
    """Analyze each photo of a data set, write the results to the folder `target`, and return the manifest.

    Each outcome is saved in `.NAME.unfinished` next to the target. After a kill, the same call resumes from
    there, and the resulting files are identical byte for byte. An existing run is returned as it is.

    The first usable photo is analyzed before the others: what the analysis raises for it, such as an
    InputError for parameters that do not fit the model, ends the run. Later photos that cannot be analyzed
    are listed with the reason. Raises InputError if the target or the saved outcomes were made with other
    inputs, if the folder cannot be written, and if no photo can be used.
    """
    work.host.warm_up()
    origin = make_origin(work, data)
    with _workspace(target) as workspace:
        if _is_empty(target):
            parts = open_parts(workspace, origin, data)
            with restored_cores():
                _analyze(work, data, parts, engine, progress)
            _check_used(data, parts)
            _publish(workspace / _RESULT, target, origin, data, parts)
        else:
            _check_existing(target, origin)
    return read_run(target)


def _workspace(target: Path) -> AbstractContextManager[Path]:
    """Create and lock the folder of an unfinished run; remove it afterwards."""

    def unwritable(error: CannotWrite) -> InputError:
        message = f"the results cannot be written to '{target}': {error.reason}; choose another --out"
        return InputError(message, field="out")

    busy = InputError(f"another process is already writing to '{target}'", field="out")
    return unfinished_folder(target, state=ORIGIN, draft=_RESULT, busy=busy, unwritable=unwritable)


def _analyze(
    work: PhotoAnalyzer, data: DataSet, parts: PartFolder, engine: Engine, progress: ProgressCallback
) -> None:
    """Analyze all photos without an outcome, and save their outcomes."""
    progress(len(parts.done), len(data))
    pending = _pending(data, parts)
    if not parts.done:
        for batch in pending:
            outcome = work.analyze(batch.photos[0])
            parts.save(outcome)
            progress(len(parts.done), len(data))
            if outcome.analysis:
                break
    for result in engine(work, pending):
        for outcome in result.photos:
            parts.save(outcome)
            progress(len(parts.done), len(data))


def _pending(data: DataSet, parts: PartFolder) -> Iterator[Batch]:
    """Yield the photos that had no outcome at the start, one per batch."""
    done = frozenset(parts.done)
    for number in range(len(data)):
        if number not in done:
            yield Batch(number, (data.photo(number),))


def _is_empty(target: Path) -> bool:
    """Return whether results can be written to a folder: it is missing or empty."""
    return not target.exists() or (target.is_dir() and not any(target.iterdir()))


def _check_existing(target: Path, origin: RunOrigin) -> None:
    if not (target / RUN).exists():
        message = f"'{target}' has other contents than a run; choose a new or empty folder with --out"
        raise InputError(message, field="out")
    differing = differences(read_run(target).origin, origin)
    if differing:
        message = (
            f"'{target}' holds a run that differs in {differing}; choose another --out or remove that folder"
        )
        raise InputError(message, field="out")


def _check_used(data: DataSet, parts: PartFolder) -> None:
    """Raise InputError if no photo could be analyzed."""
    first = None
    for record in parts.records():
        if not record.reason:
            return
        first = first or record
    assert first is not None, "a data set has at least one photo"
    raise no_usable_photo_error(data, SkippedPhoto(as_unicode(data.names[first.photo]), first.reason))


def _publish(draft: Path, target: Path, origin: RunOrigin, data: DataSet, parts: PartFolder) -> None:
    shutil.rmtree(draft, ignore_errors=True)  # left by an interrupted run
    with writing(target):
        write_run(draft, origin, data, parts)
        with suppress(FileNotFoundError):
            target.rmdir()  # empty; not every system replaces it
        draft.rename(target)
