"""The archive that TorchServe serves a model from, made by its own torch-model-archiver."""

import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from zfscope.errors import InputError, RuntimeUnavailable
from zfscope.files import folder_for_files, staging_folder, write_file, writing
from zfscope.store.manifest import MANIFEST, WEIGHTS
from zfscope.store.store import Model

SETTINGS = "torchserve.properties"
"""The file beside an archive that TorchServe is started with."""

_HERE = Path(__file__).parent
_ARCHIVER = "model_archiver.model_packaging"
# TorchServe takes the one class that the file defines. It is the installed handler, so that an archive stays
# usable when zfscope changes.
_HANDLER = '''"""The handler of the installed zfscope."""

from zfscope.runtimes.torchserve.handler import Handler


class ZFScopeHandler(Handler):
    """The model of this archive."""
'''


@dataclass(frozen=True)
class Batching:
    """How TorchServe collects requests: up to `size` or for `delay_ms`, for each of `workers` processes.

    workers: None for as many as TorchServe starts of itself, one for each processor or GPU.
    """

    size: int = 8
    delay_ms: int = 2
    workers: int | None = 1


def write_archive(model: Model, target: Path, batching: Batching) -> None:
    """Write the archive of a stored model: its manifest, weights and handler. Blocks.

    target: a file that is not there yet, NAME.mar. The Python of the TorchServe that serves it needs zfscope.
    The settings that TorchServe is started with are written beside it, unless there are some.
    Raises InputError for a target that exists or a model of no store, RuntimeUnavailable where
    torch-model-archiver is not installed.
    """
    if importlib.util.find_spec("model_archiver") is None:
        raise RuntimeUnavailable("an archive needs torch-model-archiver: pip install 'zfscope[torchserve]'")
    if target.exists():
        raise InputError(f"'{target}' is there already; name another file", field="out")
    assert model.folder is not None, "a model of a store has a folder"
    # Not among the system's temporary files, whose disk may be smaller than the archive.
    folder = target.parent.resolve()
    with folder_for_files(folder), staging_folder(folder) as scratch, writing(target):
        _archive(model, model.folder, scratch, batching).replace(target)
    if not (target.parent / SETTINGS).exists():
        write_file(target.parent / SETTINGS, (_HERE / SETTINGS).read_bytes())


def _archive(model: Model, folder: Path, scratch: Path, batching: Batching) -> Path:
    """Lay out what goes in and have it packed; the archiver lays it out once more, where TMPDIR says."""
    inside, passing = scratch / "inside", scratch / "passing"
    own = inside / model.name / str(model.version)
    own.mkdir(parents=True)
    passing.mkdir()
    for file in (MANIFEST, WEIGHTS):
        shutil.copyfile(folder / file, own / file)
    handler, config = scratch / "zfscope_handler.py", scratch / "model-config.yaml"
    handler.write_text(_HANDLER, encoding="utf-8")
    config.write_text(_configuration(batching), encoding="utf-8")
    options = {
        "model-name": model.name,
        "version": str(model.version),
        "handler": handler,
        "config-file": config,
        "extra-files": inside,
        "export-path": scratch,
    }
    command = [sys.executable, "-m", _ARCHIVER, *(f"--{name}={value}" for name, value in options.items())]
    environment = {**os.environ, "TMPDIR": str(passing)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603  # nothing of a caller's
    if done.returncode:
        # A process that is killed says nothing.
        (reason,) = done.stderr.strip().splitlines()[-1:] or [f"it ended with exit code {done.returncode}"]
        raise RuntimeUnavailable(f"torch-model-archiver failed: {reason}")
    return scratch / f"{model.name}.mar"


def _configuration(batching: Batching) -> str:
    settings = {
        "minWorkers": batching.workers,
        "maxWorkers": batching.workers,
        "batchSize": batching.size,
        "maxBatchDelay": batching.delay_ms,
    }
    return "".join(f"{name}: {value}\n" for name, value in settings.items() if value is not None)
