"""What is said of files that break their format: a plain sentence, never a message of Python."""

import random
import re
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest

from zfscope.errors import InputError
from zfscope.images.decode import decode
from zfscope.images.malformed import Malformed, damage_reason

Encode = Callable[..., bytes]
PYTHON = re.compile(
    r"out of range|unpack|buffer|NoneType|math domain|object|Error|subscript|argument|codec|bytes not|"
    r"decoder error|Errno"
)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (IndexError("index out of range"), "it ends too early"),
        (struct.error("unpack requires a buffer of 4 bytes"), "it ends too early"),
        (EOFError("no more images in GIF file"), "it ends too early"),
        (OSError("image file is truncated (3 bytes not processed)"), "it ends too early"),
        (SyntaxError(IndexError("index out of range")), "it ends too early"),
        (SyntaxError(TypeError("Missing dimensions")), "its contents are not valid"),
        (TypeError("'NoneType' object is not subscriptable"), "its contents are not valid"),
        (ValueError("math domain error"), "its contents are not valid"),
        (ValueError("negative seek value -1"), "its contents are not valid"),
        (ZeroDivisionError("division by zero"), "its contents are not valid"),
        (OSError(22, "Invalid argument"), "its contents are not valid"),
        (OSError("decoder error -2"), "its contents are not valid"),
        (OSError("decoder error -2 when reading image file"), "its contents are not valid"),
        (zlib.error("Error -3 while decompressing data"), "its contents are not valid"),
        (AssertionError(), "its contents are not valid"),
        (SyntaxError("broken PNG file (chunk b'IDAT')"), "broken PNG file (chunk b'IDAT')"),
        (Malformed("more than 10,000 segments"), "more than 10,000 segments"),
    ],
)
def test_exceptions_become_a_plain_sentence(fault: Exception, reason: str) -> None:
    assert damage_reason(fault) == reason


@pytest.mark.parametrize("length", [7, 13, 20, 100, 500])
def test_a_gif_that_ends_early_says_so(length: int, encoded: Encode) -> None:
    data = encoded(np.random.default_rng(1).integers(0, 256, (40, 40, 3), np.uint8), "GIF")
    with pytest.raises(InputError, match=r"^image is a damaged or incomplete GIF file: it ends too early$"):
        decode(data[:length])


@pytest.mark.parametrize("name", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_no_damage_leaks_a_message_of_python(name: str, encoded: Encode) -> None:
    chance = random.Random(name)
    whole = encoded(np.random.default_rng(1).integers(0, 256, (24, 24, 3), np.uint8), name)
    for _ in range(300):
        data = bytearray(whole[: chance.randrange(8, len(whole) + 1)])
        for _ in range(chance.randrange(4)):
            data[chance.randrange(8, len(data) + 1) - 1] = chance.randrange(256)
        try:
            decode(bytes(data))
        except InputError as error:
            assert not PYTHON.search(error.message), error.message  # noqa: PT017
