"""ZFScope: a microscope for convolutional networks (Zeiler and Fergus 2014).

    from zfscope import Client, LocalClient

    result = LocalClient().project("china.jpg", layer="conv5")     # in this process
    result = Client("localhost:50051").project("china.jpg")        # by a service
    result.sheet.save("conv5.png")

Names are imported on first use: `import zfscope` imports neither torch nor gRPC.
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
    Forbidden,
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

# Module of each name that is imported on first use.
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
    "Forbidden",
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
    """Import a public name on first use. Raises MissingExtra if it needs an extra that is not installed."""
    if name not in _LAZY:
        raise AttributeError(f"module 'zfscope' has no attribute '{name}'")
    with engine_needed():
        value = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
