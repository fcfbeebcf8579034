"""Python clients of the ZFScope service.

    from zfscope import Client

    with Client("localhost:50051") as client:
        print(client.classify("china.jpg").classes[0].label)
        result = client.project("china.jpg", layer="conv5", top=9)
        result.sheet.save("conv5.png")

A remote service usually requires TLS and a token: `Client("gpu:50051", access=Access(tls_ca="ca.pem",
token_file="token"))`, or the same settings in the environment (ZFSCOPE_TLS_CA, ZFSCOPE_TOKEN_FILE).

The clients do not need torch. They raise the exceptions of `zfscope.errors`, like `LocalClient`, which needs
the rest of this package but not gRPC: clients of a service are imported on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from zfscope import answers
from zfscope.answers import *  # noqa: F403  # return types of the methods
from zfscope.cancellation import Cancellation
from zfscope.client import generated
from zfscope.client.arrays import PixelTensor
from zfscope.client.generated import *  # noqa: F403  # options of the methods
from zfscope.client.methods import ClientMethods
from zfscope.client.photos import Photo
from zfscope.client.shapes import Polygon
from zfscope.images.geometry import Box
from zfscope.results import Analysis, Notice, Picture, Table

if TYPE_CHECKING:
    from zfscope.client.access import Access
    from zfscope.client.async_client import AsyncClient
    from zfscope.client.client import Client

# Module of each name that is imported on first use.
_LAZY = {
    "Access": "zfscope.client.access",
    "AsyncClient": "zfscope.client.async_client",
    "Client": "zfscope.client.client",
}

__all__ = [
    "Access",
    "Analysis",
    "AsyncClient",
    "Box",
    "Cancellation",
    "Client",
    "ClientMethods",
    "Notice",
    "Photo",
    "Picture",
    "PixelTensor",
    "Polygon",
    "Table",
    *answers.__all__,
    *generated.__all__,
]


def __getattr__(name: str) -> Any:
    """Import a name of a client of a service on first use."""
    if name not in _LAZY:
        raise AttributeError(f"module 'zfscope.client' has no attribute '{name}'")
    value = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value
