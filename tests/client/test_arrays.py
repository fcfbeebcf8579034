"""Arrays and tensors of callers: converted for the wire, or rejected with a one-sentence message."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.calls import analyze_request
from zfscope.answers import OCCLUDE
from zfscope.client import PixelTensor, files
from zfscope.client.calls import photo_request
from zfscope.client.generated import OccludeOptions
from zfscope.client.photos import image_to_wire
from zfscope.errors import InputError, TooLarge
from zfscope.images.decode import decode
from zfscope.v1 import image_pb2
from zfscope.wire.tensors import tensor_from_wire

LEVELS = np.random.default_rng(1).integers(0, 256, (5, 7, 4), dtype=np.uint8)


def test_grey_pixels_become_a_grey_photo() -> None:
    for grey in (LEVELS[..., 0], LEVELS[..., :1]):
        decoded = decode(image_to_wire(grey).encoded)
        np.testing.assert_array_equal(decoded, np.repeat(LEVELS[..., :1], 3, axis=2))


def test_pixels_keep_their_opacity() -> None:
    opaque = LEVELS.copy()
    opaque[..., 3] = 255
    opaque[0, 0, 3] = 0
    decoded = decode(image_to_wire(opaque).encoded)
    np.testing.assert_array_equal(decoded[1:], opaque[1:, :, :3])
    assert decoded[0, 0].tolist() == [128, 128, 128]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
@pytest.mark.parametrize("shape", [(3, 6, 6), (1, 3, 6, 6), (1, 6, 6), (1, 1, 6, 6)])
def test_floats_with_channels_first_are_sent_as_the_network_input(dtype: Any, shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(1).normal(0, 1, shape).astype(dtype)
    sent = image_to_wire(array)
    assert sent.tensor_scale == image_pb2.TENSOR_SCALE_UNSPECIFIED
    np.testing.assert_array_equal(tensor_from_wire(sent.tensor, field="image"), array.astype(np.float32))


@pytest.mark.parametrize(
    ("values", "white", "dtype", "scale"),
    [
        (np.zeros((3, 6, 6), np.uint8), 255, np.uint8, image_pb2.TENSOR_SCALE_PIXELS_255),
        (np.zeros((3, 6, 6), np.float64), 255, np.float32, image_pb2.TENSOR_SCALE_PIXELS_255),
        (np.zeros((1, 3, 6, 6), np.int64), 255, np.float32, image_pb2.TENSOR_SCALE_PIXELS_255),
        (np.zeros((3, 6, 6), np.float32), 1, np.float32, image_pb2.TENSOR_SCALE_PIXELS_1),
        (np.zeros((3, 6, 6), np.float16), 1.0, np.float32, image_pb2.TENSOR_SCALE_PIXELS_1),
    ],
)
def test_a_pixel_tensor_states_its_scale(values: Any, white: float, dtype: Any, scale: int) -> None:
    sent = image_to_wire(PixelTensor(values, white=white))
    assert sent.tensor_scale == scale
    received = tensor_from_wire(sent.tensor, field="image")
    assert (received.dtype, received.shape) == (dtype, values.shape)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float64])
def test_a_torch_tensor_is_sent_like_an_array(dtype: torch.dtype) -> None:
    tensor = torch.arange(48, dtype=dtype).reshape(3, 4, 4).transpose(1, 2).requires_grad_()
    received = tensor_from_wire(image_to_wire(tensor).tensor, field="image")
    np.testing.assert_array_equal(received, tensor.detach().numpy())
    received = tensor_from_wire(image_to_wire(PixelTensor(tensor)).tensor, field="image")  # type: ignore[arg-type]  # as callers may
    np.testing.assert_array_equal(received, tensor.detach().numpy())


def test_pixels_in_a_torch_tensor_are_sent_as_a_photo() -> None:
    pixels = torch.arange(60, dtype=torch.uint8).reshape(4, 5, 3)
    np.testing.assert_array_equal(decode(image_to_wire(pixels).encoded), pixels.numpy())
    with pytest.raises(InputError, match=r"put its channels last, array.transpose\(1, 2, 0\)"):
        image_to_wire(pixels.permute(2, 0, 1))


def test_any_object_that_numpy_can_convert_is_sent() -> None:
    class ArrayLike:
        def __array__(self, *_: Any, **__: Any) -> Any:
            return np.ones((3, 4, 4), ">f2")

    assert tensor_from_wire(image_to_wire(ArrayLike()).tensor, field="image").sum() == 48


def test_a_tensor_that_numpy_cannot_convert_is_rejected_with_advice() -> None:
    with pytest.raises(InputError) as refusal:
        analyze_request("project", [torch.zeros(3, 4, 4, dtype=torch.bfloat16)], {})
    assert refusal.value.field == "images[0]"
    assert refusal.value.message.startswith("images[0]: numpy cannot read this torch.Tensor: ")
    assert refusal.value.message.endswith("; convert it to an array of float32 or uint8")


def test_a_batched_torch_tensor_is_not_a_list_of_photos() -> None:
    with pytest.raises(InputError, match=r"pass a list: \[photo\]"):
        analyze_request("project", torch.zeros(2, 3, 4, 4), {})  # type: ignore[arg-type]


@pytest.mark.parametrize("wrapped", [False, True])
def test_an_array_over_the_message_limit_is_rejected_before_it_is_copied(wrapped: bool) -> None:
    huge = np.broadcast_to(np.float32(0), (3, 30_000, 30_000))  # occupies 4 bytes
    expected = r"^images\[2\] has 10,800,000,000 bytes; a request holds at most 2,147,483,647, and services"
    with pytest.raises(TooLarge, match=expected) as refusal:
        image_to_wire(PixelTensor(huge) if wrapped else huge, field="images[2]")
    assert refusal.value.field == "images[2]"


def test_a_file_over_the_message_limit_is_rejected_before_it_is_read(tmp_path: Path) -> None:
    with (tmp_path / "huge.jpg").open("wb") as file:
        file.truncate(2**31)
    with pytest.raises(TooLarge, match=r"^image has 2,147,483,648 bytes; a request holds at most"):
        image_to_wire(tmp_path / "huge.jpg")


def test_photos_over_the_message_limit_in_total_are_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_MESSAGE_BYTES", 250)
    with pytest.raises(TooLarge, match=r"^images has 3\d\d bytes; a request holds at most 250,") as refusal:
        analyze_request("project", [bytes(100)] * 9, {})
    assert refusal.value.field == "images"
    with pytest.raises(TooLarge, match=r"^masks has 900 bytes; a request holds at most 250,"):
        photo_request(OCCLUDE, b"photo", {"masks": [bytes(100)] * 9}, OccludeOptions)


@pytest.mark.parametrize(
    ("photo", "message"),
    [
        (np.zeros((4, 5)), r"an array of float64 \(4, 5\) is not a photo; convert it to uint8: array.round"),
        (
            np.zeros((9, 8, 3), np.float32),
            "is not a photo; convert it to uint8: .*multiplying by 255 if its values",
        ),
        (np.zeros((3, 9, 8), np.uint8), r"put its channels last, array.transpose\(1, 2, 0\); allowed:"),
        (
            np.zeros((9, 8), np.uint16),
            "uint16 .* is not a photo; convert it to uint8, scaled to 0 to 255; allowed",
        ),
        (
            np.zeros((3, 9, 8), np.int64),
            "int64 .* is not a photo; convert it to uint8, scaled to 0 to 255; allowed",
        ),
        (
            np.zeros((9, 8, 2), np.uint8),
            r"is not a photo; allowed: pixels, uint8 \(H, W, 3\), \(H, W, 4\) or",
        ),
        (np.zeros((0, 4, 3), np.uint8), "is not a photo; allowed: pixels"),
        (np.zeros((9, 8), bool), r"an array of bool \(9, 8\) is not a photo; allowed: pixels"),
        (np.float32(1.0)[...], r"an array of float32 \(\) is not a photo"),
        (PixelTensor(np.zeros((3, 4, 4)), white=2), "white is 2; allowed: 255 and 1"),
        (
            PixelTensor(np.zeros((3, 4, 4), np.uint8), white=1),
            "uint8 with white 1; uint8 values are 0 to 255: set white to 255",
        ),
        (PixelTensor(np.zeros((3, 4, 4), complex)), "a PixelTensor of complex128; allowed: numbers"),
    ],
)
def test_other_arrays_are_rejected_with_advice(photo: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as refusal:
        image_to_wire(photo, field="images[2]")
    assert refusal.value.field.startswith("images[2]")
