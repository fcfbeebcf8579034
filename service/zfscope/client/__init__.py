"""The clients of a service: what a Python user writes against it.

    from zfscope import Client

    with Client("localhost:50051") as client:
        print(client.classify("china.jpg").classes[0].label)
        seen = client.project("china.jpg", layer="conv5", top=9)
        seen.sheet.save("conv5.png")

A service elsewhere asks for TLS and a token: `Client("gpu:50051", access=Access(tls_ca="ca.pem",
token_file="token"))`, or the same from the environment.

It needs no torch, and raises the errors of `zfscope.errors` as if the work had been done in this process.
"""

from zfscope import answers
from zfscope.answers import *  # noqa: F403  # all that calls return
from zfscope.cancellation import Cancellation
from zfscope.client import generated
from zfscope.client.access import Access
from zfscope.client.arrays import PixelTensor
from zfscope.client.async_client import AsyncClient
from zfscope.client.client import Client
from zfscope.client.generated import *  # noqa: F403  # the options of the methods
from zfscope.client.methods import ClientMethods
from zfscope.client.photos import Photo
from zfscope.images.geometry import Box
from zfscope.results import Analysis, Notice, Picture, Table

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
    "Table",
    *answers.__all__,
    *generated.__all__,
]
