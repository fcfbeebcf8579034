"""The forward pass by TorchServe: where it is, its client, the archive that it serves, and its handler.

Below the server, `runtime` and its stubs alone know gRPC: it is what TorchServe speaks.
"""

from dataclasses import dataclass

from zfscope.address import parse_address
from zfscope.errors import InputError


@dataclass(frozen=True)
class TorchServe:
    """address: HOST:PORT of its gRPC inference API. timeout_s: how long it may take for an answer.

    Raises InputError for an address that cannot be used.
    """

    address: str = "127.0.0.1:7070"
    timeout_s: float = 10

    def __post_init__(self) -> None:
        """Check the address, and bring it to the form that gRPC takes."""
        try:
            address = str(parse_address(self.address, example_port=7070, least_port=1))
        except ValueError as error:
            raise InputError(str(error), field="torchserve") from error
        object.__setattr__(self, "address", address)
