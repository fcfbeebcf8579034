"""An analyzer that works until it is released, and writes down what happens to it."""

import os
import time
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from zfscope.analysis.contract import API_VERSION, Analysis, Context
from zfscope.errors import Cancelled
from zfscope.store import Model


class HeldAnalyzerParams(BaseModel):
    """Where to write, and what to wait for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path


class HeldAnalyzer:
    """Works until `released` exists; adds its process to the files `begun`, and `done` or `cancelled`."""

    name = "held"
    summary = "Works until it is released."
    api_version = API_VERSION
    photos = (1, 1)
    params = HeldAnalyzerParams

    def cost(self, model: Model, params: HeldAnalyzerParams) -> int:
        """Cost one pass."""
        return 1

    def analyze(self, context: Context, params: HeldAnalyzerParams) -> Analysis:
        """Wait."""
        _note(params.folder / "begun")
        try:
            while not (params.folder / "released").exists():
                context.check_cancelled()
                time.sleep(0.01)
        except Cancelled:
            _note(params.folder / "cancelled")
            raise
        _note(params.folder / "done")
        return Analysis(numbers={"held": 1})


def _note(path: Path) -> None:
    with path.open("a") as file:
        file.write(f"{os.getpid()}\n")
