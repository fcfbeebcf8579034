"""How the GPU multiplies float32 values: in `float32` or `tf32`, the same for the whole process.

torch has one switch for all networks and threads, so two precisions cannot be mixed: the first one stays, and
another one is refused. This module does not import torch before the switch is set.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from zfscope.choices import PrecisionName
from zfscope.errors import RuntimeUnavailable

# The precision of the GPU, by device; empty until one is selected.
_selected: dict[str, PrecisionName] = {}


def select_gpu_precision(precision: str) -> None:
    """Select the precision of float32 networks on the GPU, until the process ends.

    `bfloat16` selects float32, in which its traces are computed. Raises RuntimeUnavailable if the process
    computes in another one already.
    """
    wanted = PrecisionName.tf32 if precision == PrecisionName.tf32 else PrecisionName.float32
    selected = _selected.setdefault("cuda", wanted)  # atomic: of two threads, one selects
    if selected != wanted:
        raise RuntimeUnavailable(
            f"precision {precision} is not available in this process: it computes in {selected} on the GPU, "
            "and float32 and tf32 cannot be mixed there; use another process",
            field="precision",
        )


def gpu_precision() -> PrecisionName:
    """Return the precision of float32 networks on the GPU: float32, from now on, if none is selected."""
    return _selected.setdefault("cuda", PrecisionName.float32)


def set_gpu_switch() -> None:
    """Set torch's switch to the selected precision.

    By default, torch rounds the inputs of convolutions to 10 bits of mantissa there, which changes scores and
    projections by a thousandth.
    """
    import torch  # imported late: a pass by ONNX Runtime does not need it

    # Not by torch's newer `fp32_precision`: after that, reading these raises in programs that still do so.
    torch.backends.cudnn.allow_tf32 = gpu_precision() == PrecisionName.tf32
    torch.backends.cuda.matmul.allow_tf32 = gpu_precision() == PrecisionName.tf32


@contextmanager
def temporary_gpu_precision(precision: str) -> Iterator[None]:
    """Compute in another precision on the GPU, in a program that computes nothing else there at that time."""
    before = dict(_selected)
    _selected.clear()
    try:
        select_gpu_precision(precision)
        set_gpu_switch()
        yield
    finally:
        _selected.clear()
        _selected.update(before)
        set_gpu_switch()
