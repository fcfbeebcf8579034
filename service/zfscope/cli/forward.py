"""Options of commands that run a model on a whole data set: runtime, device, precision, engine."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from zfscope.choices import runtime_for
from zfscope.cli import options as opt
from zfscope.errors import InputError

if TYPE_CHECKING:
    from zfscope.runtimes import Runtime
    from zfscope.store import Model


@dataclass(frozen=True)
class ForwardOptions:
    """Runtime, device and precision of forward passes that run in parallel, each in one thread.

    torchserve: its address, empty for the default.
    """

    runtime: opt.RuntimeName = opt.RuntimeName.onnx
    device: opt.DeviceName = opt.DeviceName.cpu
    precision: opt.PrecisionName = opt.PrecisionName.float32
    torchserve: str = ""

    def creator(self) -> "Callable[[Model], Runtime]":
        """Return the function that creates the runtime for a model; it may be sent to another process."""
        from zfscope.runtimes import TorchServe, create_runtime

        return partial(
            create_runtime,
            self.runtime,
            threads=1,
            device=self.device,
            precision=self.precision,
            torchserve=TorchServe(self.torchserve) if self.torchserve else None,
        )


def forward_options(device: opt.DeviceName, precision: opt.PrecisionName | None) -> ForwardOptions:
    """Return the options of commands that build indexes without a choice of the runtime."""
    return ForwardOptions(runtime_for(precision), device, precision or opt.PrecisionName.float32)


def check_ray(engine: opt.EngineName, runtime: opt.RuntimeName, device: opt.DeviceName) -> None:
    """Raise InputError for a device or runtime that Ray workers with one CPU each cannot use."""
    if engine is not opt.EngineName.ray:
        return
    if device is not opt.DeviceName.cpu:
        message = f"--engine ray runs on CPUs, not on device '{device}': use --device cpu"
        raise InputError(message, field="device")
    if runtime is opt.RuntimeName.torchserve:
        message = "--engine ray runs the model inside its own workers: use --runtime onnx or torch"
        raise InputError(message, field="runtime")
