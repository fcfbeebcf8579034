"""ZFScope: a microscope for convolutional networks (Zeiler and Fergus 2014).

    from zfscope import Client, LocalClient

    seen = LocalClient().project("china.jpg", layer="conv5")     # in this process
    seen = Client("localhost:50051").project("china.jpg")        # by a service
    seen.sheet.save("conv5.png")

Names are loaded when they are first used: importing zfscope takes neither torch nor gRPC.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from zfscope.errors import (
    AnalyzerFailed,
    BrokenPlugin,
    Busy,
    Cancelled,
    CannotWrite,
    DamagedIndex,
    DamagedModel,
    FetchFailed,
    InputError,
    MissingExtra,
    NotFound,
    NotReady,
    RuntimeUnavailable,
    TooLarge,
    TooLate,
    TooMuchWork,
    Unauthenticated,
    ZfscopeError,
)
from zfscope.extras import engine_needed

if TYPE_CHECKING:
    from zfscope.cancellation import Cancellation
    from zfscope.client import Access, AsyncClient, Client, PixelTensor, Unit
    from zfscope.images.geometry import Box
    from zfscope.local import LocalClient
    from zfscope.store import open_store

# Where names are defined that are loaded when they are first used.
_LAZY = {
    "Access": "zfscope.client",
    "AsyncClient": "zfscope.client",
    "Box": "zfscope.images.geometry",
    "Cancellation": "zfscope.cancellation",
    "Client": "zfscope.client",
    "LocalClient": "zfscope.local",
    "PixelTensor": "zfscope.client",
    "Unit": "zfscope.client",
    "open_store": "zfscope.store",
}

__all__ = [
    "Access",
    "AnalyzerFailed",
    "AsyncClient",
    "Box",
    "BrokenPlugin",
    "Busy",
    "Cancellation",
    "Cancelled",
    "CannotWrite",
    "Client",
    "DamagedIndex",
    "DamagedModel",
    "FetchFailed",
    "InputError",
    "LocalClient",
    "MissingExtra",
    "NotFound",
    "NotReady",
    "PixelTensor",
    "RuntimeUnavailable",
    "TooLarge",
    "TooLate",
    "TooMuchWork",
    "Unauthenticated",
    "Unit",
    "ZfscopeError",
    "open_store",
]


def __getattr__(name: str) -> Any:
    """Load a name when it is first used. Raises MissingExtra where that takes more than is installed."""
    if name not in _LAZY:
        raise AttributeError(f"module 'zfscope' has no attribute '{name}'")
    with engine_needed():
        value = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
