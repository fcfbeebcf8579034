"""The TorchServe runtime: client, model archives, and the handler that runs inside TorchServe.

`runtime` and its stubs are separate modules because they import gRPC, TorchServe's protocol.
"""

from dataclasses import dataclass

from zfscope.address import parse_address
from zfscope.errors import InputError


@dataclass(frozen=True)
class TorchServe:
    """A TorchServe server.

    address: HOST:PORT of its gRPC inference API. timeout_s: time limit of a request. Raises InputError for an
    invalid address.
    """

    address: str = "127.0.0.1:7070"
    timeout_s: float = 10

    def __post_init__(self) -> None:
        """Validate the address and convert it to gRPC's syntax."""
        try:
            address = str(parse_address(self.address, example_port=7070, min_port=1))
        except ValueError as error:
            raise InputError(str(error), field="torchserve") from error
        object.__setattr__(self, "address", address)
