"""Invalid images over the wire: status, message, and a service that keeps working."""

import re
import struct
import zlib
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import pytest

from tests.support.forked import ForkedProcess
from tests.support.service_process import memory_kib
from zfscope.client import Client
from zfscope.images.limits import DecodeLimits
from zfscope.v1 import analysis_pb2, classification_pb2, image_pb2, tensor_pb2
from zfscope.v1.analysis_pb2_grpc import AnalysisServiceStub
from zfscope.v1.classification_pb2_grpc import ClassificationServiceStub
from zfscope.wire.tensors import tensor_to_wire

FLOAT32 = tensor_pb2.DATA_TYPE_FLOAT32
INVALID, EXHAUSTED = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(side: int = 30_000) -> bytes:
    """Return a black grey-scale PNG of side x side pixels: 100 kB that unpack to 900 MB."""
    compressor = zlib.compressobj(9)
    row = bytes(1 + side // 8)  # the filter type, then one bit per pixel
    compressed = b"".join(compressor.compress(row) for _ in range(side)) + compressor.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", compressed)
        + png_chunk(b"IEND", b"")
    )


def tensor(array: np.ndarray) -> image_pb2.Image:
    return image_pb2.Image(tensor=tensor_to_wire(array))


def nan_image() -> image_pb2.Image:
    pixels = np.zeros((3, 32, 32), np.float32)
    pixels[1, 2, 3] = np.nan
    return tensor(pixels)


def truncated_image(photo: bytes) -> image_pb2.Image:
    return image_pb2.Image(encoded=photo[: len(photo) // 2])


INVALID_IMAGES: dict[str, tuple[Callable[[bytes], image_pb2.Image], str, str]] = {
    "no image": (lambda photo: image_pb2.Image(), "image", "image is missing; set image.encoded"),
    "0 bytes": (
        lambda photo: image_pb2.Image(encoded=b""),
        "image.encoded",
        "image.encoded is empty: 0 bytes",
    ),
    "text": (
        lambda photo: image_pb2.Image(encoded=b"hello, world"),
        "image.encoded",
        "image.encoded is not an image: it starts with 68 65 6c 6c 6f.*; allowed: JPEG, PNG",
    ),
    "truncated": (truncated_image, "image.encoded", "image.encoded is a damaged or incomplete PNG file"),
    "bomb": (
        lambda photo: image_pb2.Image(encoded=bomb()),
        "image.encoded",
        "30000 x 30000 = 900,000,000 pixels; allowed: at most 1,000,000",
    ),
    "NaN": (lambda photo: nan_image(), "image.tensor", "image.tensor.*(nan|finite)"),
    "wrong shape": (
        lambda photo: tensor(np.zeros((3, 31, 32), np.float32)),
        "image.tensor",
        r"image.tensor.*\(3, 31, 32\).*32",
    ),
    "wrong type": (lambda photo: tensor(np.zeros((3, 32, 32), np.uint8)), "image.tensor", "uint8.*float32"),
    "too few bytes": (
        lambda photo: image_pb2.Image(
            tensor=tensor_pb2.Tensor(data_type=FLOAT32, shape=[3, 32, 32], data=b"1234")
        ),
        "image.tensor.data",
        r"4 bytes; shape \(3, 32, 32\) of float32 needs exactly 12288",
    ),
    "no type": (
        lambda photo: image_pb2.Image(tensor=tensor_pb2.Tensor(shape=[1], data=b"1234")),
        "image.tensor.data_type",
        "data type 0 is not valid; allowed: DATA_TYPE_UINT8",
    ),
    "impossible shape": (
        lambda photo: image_pb2.Image(tensor=tensor_pb2.Tensor(data_type=FLOAT32, shape=[1 << 62, 1 << 62])),
        "image.tensor.data",
        "0 bytes; shape .* needs exactly",
    ),
}


def rpc_error(call: Callable[..., Any], request: Any) -> grpc.RpcError:
    """Make a call, which must fail, and return its error."""
    with pytest.raises(grpc.RpcError) as caught:
        call(request, timeout=30)
    return caught.value


@pytest.mark.parametrize("case", INVALID_IMAGES)
def test_an_invalid_image_is_a_client_error_and_the_next_call_succeeds(
    channel: grpc.Channel, client: Client, photo: bytes, case: str
) -> None:
    make, field, message = INVALID_IMAGES[case]
    image = make(photo)

    for call, request in (
        (ClassificationServiceStub(channel).Classify, classification_pb2.ClassifyRequest(image=image)),
        (AnalysisServiceStub(channel).Project, analysis_pb2.ProjectRequest(image=image)),
    ):
        error = rpc_error(call, request)

        assert error.code() is (EXHAUSTED if case == "bomb" else INVALID)
        assert field in error.details()
        assert re.search(message, error.details())
        assert client.classify(photo).classes


def test_a_file_over_the_size_limit_is_rejected(channel: grpc.Channel) -> None:
    image = image_pb2.Image(encoded=bytes(DecodeLimits.bytes + 1))

    error = rpc_error(
        ClassificationServiceStub(channel).Classify, classification_pb2.ClassifyRequest(image=image)
    )

    assert error.code() is EXHAUSTED
    assert error.details() == (
        f"image.encoded has {DecodeLimits.bytes + 1:,} bytes; allowed: at most {DecodeLimits.bytes:,}"
    )


def peak_mib(process: ForkedProcess) -> int:
    """Return the peak resident memory of a process in MiB."""
    return memory_kib(process, "VmHWM") // 1024


def test_invalid_images_do_not_increase_the_memory_of_the_service(
    start: Callable[..., Any], photo: bytes
) -> None:
    process = start(max_image_pixels=50_000_000)
    address = process.stdout.readline().split()[-1]
    images = [make(photo) for make, _, _ in INVALID_IMAGES.values()]
    with Client(address) as client, grpc.insecure_channel(address) as channel:
        client.wait_until_ready(60)
        for _ in range(3):
            client.classify(photo)
            client.project(photo)
        before = peak_mib(process)

        for image in images * 3:
            request = analysis_pb2.ProjectRequest(image=image)
            error = rpc_error(AnalysisServiceStub(channel).Project, request)
            assert error.code() in (INVALID, EXHAUSTED)

        assert client.classify(photo).classes
        assert peak_mib(process) - before < 32
