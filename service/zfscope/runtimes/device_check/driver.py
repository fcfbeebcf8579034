"""The NVIDIA driver, asked directly: it says why CUDA does not start, which torch does not."""

import ctypes
from typing import Any

from zfscope.errors import RuntimeUnavailable

_LIBRARY = "libcuda.so.1"
# Meanings of the error codes of cuInit, from the documentation of the CUDA driver API.
_INIT_ERRORS = {
    34: f"{_LIBRARY} is the stub of the CUDA toolkit; remove the folder `stubs` from LD_LIBRARY_PATH",
    100: "it finds no GPU; check CUDA_VISIBLE_DEVICES, and in a container `docker run --gpus all`",
    802: "the GPU is not ready yet; on machines with NVSwitch, start the service nvidia-fabricmanager",
    803: "its library and its kernel module have different versions; restart the machine",
    804: "its library is for newer drivers than this GPU allows; update the driver of the machine",
}


def driver_cuda_version() -> tuple[int, int]:
    """Return the newest CUDA version that the installed driver supports, (major, minor).

    Raises RuntimeUnavailable if there is no driver, or if it cannot be used by this process.
    """
    driver = _load()
    code = driver.cuInit(0)
    if code:
        meaning = _INIT_ERRORS.get(code, f"CUDA's error {code}; `nvidia-smi` may show more")
        raise RuntimeUnavailable(f"the NVIDIA driver does not start: {meaning}")
    version = ctypes.c_int()
    driver.cuDriverGetVersion(ctypes.byref(version))
    return version.value // 1000, version.value % 1000 // 10  # 13000 for 13.0


def _load() -> Any:
    try:
        return ctypes.CDLL(_LIBRARY)
    except OSError as error:
        raise RuntimeUnavailable(
            f"no NVIDIA driver: {_LIBRARY} cannot be loaded; install the driver, and in a container use "
            "`docker run --gpus all`"
        ) from error
