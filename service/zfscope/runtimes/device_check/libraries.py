"""Checks of the installed libraries: their versions, and whether their CUDA parts can be used."""

from contextlib import redirect_stdout
from io import StringIO
from typing import Any

from zfscope.errors import RuntimeUnavailable
from zfscope.runtimes.device_check.check import Finding
from zfscope.runtimes.device_check.driver import driver_cuda_version
from zfscope.runtimes.device_check.explain import INSTALL
from zfscope.runtimes.onnx.session import onnxruntime_for

_MIB = 2**20


def check_driver() -> Finding:
    """Find the NVIDIA driver. Raises RuntimeUnavailable if it is missing or does not start."""
    return Finding(f"for CUDA up to {_dotted(driver_cuda_version())}")


def check_torch() -> Finding:
    """Import torch. Raises what its import raises."""
    import torch

    return Finding(f"{torch.__version__}")


def check_torch_cuda() -> Finding:
    """Find a GPU that torch can use, and describe it.

    Raises RuntimeUnavailable if torch was built without CUDA, for a newer driver or for other GPUs; or what
    the start of CUDA raises.
    """
    import torch

    built_for = torch.version.cuda
    if built_for is None:
        raise RuntimeUnavailable(f"torch {torch.__version__} is a build without CUDA; {INSTALL}")
    _check_driver_version(built_for)
    torch.cuda.init()  # type: ignore[no-untyped-call]
    name, memory = torch.cuda.get_device_name(), torch.cuda.get_device_properties(0).total_memory
    capability = torch.cuda.get_device_capability()
    oldest = _oldest_capability(torch.cuda.get_arch_list())
    if capability < oldest:
        raise RuntimeUnavailable(
            f"the GPU '{name}' has compute capability {_dotted(capability)}; torch {torch.__version__} "
            f"requires {_dotted(oldest)}; use a newer GPU or an older torch"
        )
    return Finding(
        f"CUDA {built_for}; {name}, {memory // _MIB:,} MiB, compute capability {_dotted(capability)}"
    )


def _check_driver_version(built_for: str) -> None:
    """Raise RuntimeUnavailable if the driver is older than torch's CUDA.

    Within a major version any driver will do (CUDA's minor version compatibility).
    """
    supported = driver_cuda_version()
    if supported[0] < int(built_for.split(".")[0]):
        raise RuntimeUnavailable(
            f"the NVIDIA driver supports CUDA up to {_dotted(supported)}; torch is built for CUDA "
            f"{built_for}; update the driver"
        )


def _oldest_capability(architectures: list[str]) -> tuple[int, int]:
    """Return the lowest compute capability in a list such as `sm_75`, `sm_90a`, `compute_120`."""
    numbers = [int(name.partition("_")[2].rstrip("af")) for name in architectures]
    return divmod(min(numbers, default=0), 10)


def check_cudnn() -> Finding:
    """Load torch's cuDNN. Raises RuntimeUnavailable if it is missing, or what its loading raises."""
    import torch

    version = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    if version is None:
        raise RuntimeUnavailable(f"torch {torch.__version__} has no cuDNN; {INSTALL}")
    major, rest = divmod(version, 10_000)  # 92000 for 9.20.0
    return Finding(f"{major}.{rest // 100}.{rest % 100}")


def check_onnxruntime() -> Finding:
    """Import ONNX Runtime. Raises RuntimeUnavailable if it is not installed."""
    onnxruntime = onnxruntime_for("cpu")
    return Finding(f"{onnxruntime.__version__}; {', '.join(onnxruntime.get_available_providers())}")


def check_onnxruntime_cuda() -> Finding:
    """Load the CUDA libraries of ONNX Runtime.

    Raises RuntimeUnavailable if its build has no CUDA, or naming the libraries that cannot be loaded.
    """
    onnxruntime = onnxruntime_for("cuda")
    missing = _missing_libraries(onnxruntime)
    if missing:
        raise RuntimeUnavailable(f"ONNX Runtime cannot load {', '.join(missing)}; {INSTALL}")
    return Finding(f"CUDA {getattr(onnxruntime, 'cuda_version', '') or 'of unknown version'}")


def _missing_libraries(onnxruntime: Any) -> list[str]:
    """Return the names of the libraries that ONNX Runtime reports as `Failed to load NAME: REASON`."""
    with redirect_stdout(StringIO()) as printed:
        onnxruntime.preload_dlls()
    lines = (line.removeprefix("Failed to load ") for line in printed.getvalue().splitlines())
    reported = [line.partition(":")[0].rpartition("/")[2] for line in lines if ": " in line]
    return list(dict.fromkeys(reported))


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))
