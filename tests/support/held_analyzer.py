"""An analyzer that runs until it is released, and records its start and its end in files."""

import os
import threading
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from zfscope.analysis.contract import API_VERSION, Analysis, Context
from zfscope.errors import Cancelled
from zfscope.store import Model


class HeldAnalyzerParams(BaseModel):
    """Folder of the files that the analyzer writes and waits for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path


class HeldAnalyzer:
    """Runs until the file `released` exists; appends its process to `begun`, then `done` or `cancelled`."""

    name = "held"
    summary = "Runs until it is released."
    api_version = API_VERSION
    photos = (1, 1)
    params = HeldAnalyzerParams

    def cost(self, model: Model, params: HeldAnalyzerParams) -> int:
        """Return 1, the cost of one forward pass."""
        return 1

    def analyze(self, context: Context, params: HeldAnalyzerParams) -> Analysis:
        """Wait until released or cancelled."""
        pause = threading.Event()  # libfaketime breaks time.sleep
        _append_pid(params.folder / "begun")
        try:
            while not (params.folder / "released").exists():
                context.check_cancelled()
                pause.wait(0.01)
        except Cancelled:
            _append_pid(params.folder / "cancelled")
            raise
        _append_pid(params.folder / "done")
        return Analysis(numbers={"held": 1})


def _append_pid(path: Path) -> None:
    with path.open("a") as file:
        file.write(f"{os.getpid()}\n")
