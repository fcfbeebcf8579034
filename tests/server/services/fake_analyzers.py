"""Fake analyzers: some follow the contract, others break it."""

import asyncio
import sys
import threading
import time
from functools import partial
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from zfscope.analysis.contract import Analysis, Context, Picture, Table
from zfscope.errors import InputError

PICTURE = Picture("picture", b"\x89PNG\r\n\x1a\n", "nothing")


class Params(BaseModel):
    model_config = ConfigDict(extra="forbid")

    steps: int = Field(default=3, ge=1, description="Number of steps.")
    level: float = Field(default=0.5, le=1, description="Level.")
    rest_s: float = Field(default=0.01, ge=0, description="Seconds between steps.")


class FakeAnalyzer:
    """Base of the fakes; costs one forward pass per step."""

    summary = "An analyzer for tests"
    api_version = 2
    photos = (1, 2)
    params = Params

    def cost(self, model: Any, params: Params) -> int:
        return params.steps


class CountingAnalyzer(FakeAnalyzer):
    """Counts its steps and reports each as progress."""

    name = "counting"
    started: ClassVar[threading.Event] = threading.Event()
    stopped: ClassVar[threading.Event] = threading.Event()
    partial_steps: ClassVar[list[int]] = []

    def analyze(self, context: Context, params: Params) -> Analysis:
        self.started.set()
        try:
            for step in range(params.steps):
                context.check_cancelled()
                context.progress(step / params.steps, partial(self._partial_result, step))
                time.sleep(params.rest_s)
        finally:
            self.stopped.set()
        table = Table(("name", "share", "count"), (("a", 0.25, 2), (None, 1.5, None)))
        levels = np.arange(6, dtype=np.float32).reshape(2, 3)
        return Analysis(numbers={"photos": len(context.images)}, tables={"t": table}, tensors={"x": levels})

    def _partial_result(self, step: int) -> Analysis:
        self.partial_steps.append(step)
        return Analysis(numbers={"step": step}, tensors={"step": np.array([step])})


class FailingAnalyzer(FakeAnalyzer):
    """Raises an exception with a text that callers must not see."""

    name = "failing"

    def analyze(self, context: Context, params: Params) -> Analysis:
        raise RuntimeError("an internal secret")


EXITS: dict[str, BaseException] = {
    "SystemExit": SystemExit("bye"),
    "KeyboardInterrupt": KeyboardInterrupt("bye"),
    "GeneratorExit": GeneratorExit("bye"),
    "CancelledError": asyncio.CancelledError("bye"),
}


class ExitingAnalyzer(FakeAnalyzer):
    """Raises, at a given stage, an exception that normally ends a process or a task."""

    name = "exiting"

    class params(BaseModel):  # noqa: N801  (the contract's name)
        stage: str = "cost"
        raised: str = "SystemExit"

        @field_validator("stage")
        @classmethod
        def _read(cls, stage: str) -> str:
            if stage == "read":
                raise EXITS["SystemExit"]
            return stage

    def cost(self, model: Any, params: Any) -> int:
        if params.stage == "cost":
            raise EXITS[params.raised]
        return 1

    def analyze(self, context: Context, params: Any) -> Analysis:
        def fail() -> Analysis:
            raise EXITS[params.raised]

        if params.stage == "thread":
            threading.Thread(target=sys.exit, args=["bye"]).start()
            return Analysis()
        context.progress(0.5, fail if params.stage == "progress" else None)
        return fail()


INVALID_RESULTS: tuple[Any, ...] = (
    {"numbers": {"mean": "0.5"}},
    {"tables": {"t": Table(("a",), ((float("inf"),),))}},
    {"tensors": {"x": np.zeros(0, np.float32)}},
    {"pictures": (PICTURE, PICTURE)},
)


class InvalidAnalyzer(FakeAnalyzer):
    """Returns a result that cannot be sent: an invalid final one, or an invalid partial one."""

    name = "invalid"

    class params(BaseModel):  # noqa: N801  (the contract's name)
        case: int = 0
        early: bool = False
        steps: int = 1

    def analyze(self, context: Context, params: Any) -> Analysis:
        invalid = Analysis(**INVALID_RESULTS[params.case])
        if params.early:
            context.progress(0.5, lambda: invalid)
        return Analysis() if params.early else invalid


class RejectingAnalyzer(FakeAnalyzer):
    """Rejects, at a given stage, the field named by its parameter."""

    name = "rejecting"

    class params(BaseModel):  # noqa: N801  (the contract's name)
        field: str
        stage: str = "analyze"

        @field_validator("stage")
        @classmethod
        def _read(cls, stage: str) -> str:
            reject(stage, "read", "stage")
            return stage

    def cost(self, model: Any, params: Any) -> int:
        reject(params.stage, "cost", params.field)
        return 1

    def analyze(self, context: Context, params: Any) -> Analysis:
        reject(params.stage, "analyze", params.field)
        return Analysis()


def reject(stage: str, rejecting_stage: str, field: str) -> None:
    if stage == rejecting_stage:
        raise InputError("not so", field=field)


class NumpyAnalyzer(FakeAnalyzer):
    """Returns NumPy scalars."""

    name = "numpy"

    def analyze(self, context: Context, params: Params) -> Analysis:
        row = (np.float32(0.5), np.int64(3), np.bool_(True), np.str_("a"))
        return Analysis(numbers={"mean": np.float32(0.25)}, tables={"t": Table(tuple("abcd"), (row,))})


class UncancellableAnalyzer(FakeAnalyzer):
    """Never checks for cancellation; runs until it is released."""

    name = "uncancellable"
    started: ClassVar[threading.Event] = threading.Event()
    released: ClassVar[threading.Event] = threading.Event()

    def analyze(self, context: Context, params: Params) -> Analysis:
        self.started.set()
        assert self.released.wait(timeout=60)
        return Analysis()


class CatalogueAnalyzer(FakeAnalyzer):
    """Lists the models of the store; takes no photos."""

    name = "catalogue"
    photos = (0, 0)

    def analyze(self, context: Context, params: Params) -> Analysis:
        assert context.store is not None
        assert context.images == ()
        models = tuple((manifest.name, manifest.version) for manifest in context.store.manifests())
        return Analysis(tables={"models": Table(("name", "version"), models)})


ANALYZERS: tuple[type[FakeAnalyzer], ...] = (
    CountingAnalyzer,
    FailingAnalyzer,
    ExitingAnalyzer,
    InvalidAnalyzer,
    RejectingAnalyzer,
    NumpyAnalyzer,
    UncancellableAnalyzer,
    CatalogueAnalyzer,
)


class FakeDistribution:
    """The attributes of a distribution that the registry reads."""

    name, version = "zfscope-fake", "1.2"
