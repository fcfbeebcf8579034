"""Reading the manifest of a finished run."""

from pathlib import Path

from pydantic import ValidationError

from zfscope.bulk.manifest import RUN, RunManifest
from zfscope.errors import InputError
from zfscope.validation import first_fault


def read_run(folder: Path) -> RunManifest:
    """Return the manifest of the run in a folder. Raises InputError if the folder has no run."""
    path = folder / RUN
    try:
        return RunManifest.model_validate_json(path.read_bytes())
    except OSError as error:
        message = f"'{folder}' has no {RUN} of `zfscope run`: {error.strerror or error}"
        raise InputError(message, field="out") from error
    except ValidationError as error:
        fault = first_fault(error, RunManifest)
        raise InputError(
            f"'{path}' is damaged: {fault}; remove the folder and repeat the run", field="out"
        ) from error
