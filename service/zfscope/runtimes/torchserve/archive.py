"""Model archives for TorchServe, built with torch-model-archiver."""

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
from zfscope.store.store import Model, require_layers

# TorchServe's configuration file, written next to an archive.
SETTINGS = "torchserve.properties"

_HERE = Path(__file__).parent
_ARCHIVER = "model_archiver.model_packaging"
# TorchServe uses the only class defined in the file. It inherits from the installed handler, so that archives
# keep working when zfscope is upgraded.
_HANDLER = '''"""The handler of the installed zfscope."""

from zfscope.runtimes.torchserve.handler import Handler


class ZFScopeHandler(Handler):
    """Serves the model of this archive."""
'''


@dataclass(frozen=True)
class Batching:
    """TorchServe's batching: up to `size` requests per batch, collected for at most `delay_ms`.

    workers: number of worker processes; None for TorchServe's default, one per processor or GPU.
    """

    size: int = 8
    delay_ms: int = 2
    workers: int | None = 1


def write_archive(model: Model, target: Path, batching: Batching) -> None:
    """Write the archive of a stored model, with its manifest, weights and handler. Blocks.

    target: path of the archive, NAME.mar, which must not exist. TorchServe's environment must have zfscope
    installed. A configuration file for TorchServe is written next to the archive unless it exists. Raises
    InputError if the target exists and for an opaque network, RuntimeUnavailable if torch-model-archiver is
    not installed or fails.
    """
    require_layers(model.manifest)
    if importlib.util.find_spec("model_archiver") is None:
        raise RuntimeUnavailable("archives require torch-model-archiver: pip install 'zfscope[torchserve]'")
    if target.exists():
        raise InputError(f"'{target}' already exists; choose another file", field="out")
    assert model.folder is not None, "a stored model has a folder"
    # The system's temporary directory may be too small for the weights.
    folder = target.parent.resolve()
    with folder_for_files(folder), staging_folder(folder) as scratch, writing(target):
        _archive(model, model.folder, scratch, batching).replace(target)
    if not (target.parent / SETTINGS).exists():
        write_file(target.parent / SETTINGS, (_HERE / SETTINGS).read_bytes())


def _archive(model: Model, folder: Path, scratch: Path, batching: Batching) -> Path:
    """Run the archiver on copies of the files; it copies them again, into TMPDIR."""
    extra_files, temporary = scratch / "extra", scratch / "tmp"
    model_folder = extra_files / model.name / str(model.version)
    model_folder.mkdir(parents=True)
    temporary.mkdir()
    for file in (MANIFEST, WEIGHTS):
        shutil.copyfile(folder / file, model_folder / file)
    handler, config = scratch / "zfscope_handler.py", scratch / "model-config.yaml"
    handler.write_text(_HANDLER, encoding="utf-8")
    config.write_text(_configuration(batching), encoding="utf-8")
    options = {
        "model-name": model.name,
        "version": str(model.version),
        "handler": handler,
        "config-file": config,
        "extra-files": extra_files,
        "export-path": scratch,
    }
    command = [sys.executable, "-m", _ARCHIVER, *(f"--{name}={value}" for name, value in options.items())]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603  # no user input
    if result.returncode:
        # A killed process prints nothing.
        (reason,) = result.stderr.strip().splitlines()[-1:] or [f"exit code {result.returncode}"]
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
