"""Tests of the reasons given for damaged files: plain clauses, never messages of Python."""

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
PYTHON_MESSAGE = re.compile(
    r"out of range|unpack|buffer|NoneType|math domain|object|Error|subscript|argument|codec|bytes not|"
    r"decoder error|Errno"
)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (IndexError("index out of range"), "it is truncated"),
        (struct.error("unpack requires a buffer of 4 bytes"), "it is truncated"),
        (EOFError("no more images in GIF file"), "it is truncated"),
        (OSError("image file is truncated (3 bytes not processed)"), "it is truncated"),
        (SyntaxError(IndexError("index out of range")), "it is truncated"),
        (SyntaxError(TypeError("Missing dimensions")), "its contents are invalid"),
        (TypeError("'NoneType' object is not subscriptable"), "its contents are invalid"),
        (ValueError("math domain error"), "its contents are invalid"),
        (ValueError("negative seek value -1"), "its contents are invalid"),
        (ZeroDivisionError("division by zero"), "its contents are invalid"),
        (OSError(22, "Invalid argument"), "its contents are invalid"),
        (OSError("decoder error -2"), "its contents are invalid"),
        (OSError("decoder error -2 when reading image file"), "its contents are invalid"),
        (zlib.error("Error -3 while decompressing data"), "its contents are invalid"),
        (AssertionError(), "its contents are invalid"),
        (SyntaxError("broken PNG file (chunk b'IDAT')"), "broken PNG file (chunk b'IDAT')"),
        (Malformed("it has more than 10,000 segments"), "it has more than 10,000 segments"),
    ],
)
def test_exceptions_become_plain_reasons(error: Exception, reason: str) -> None:
    assert damage_reason(error) == reason


@pytest.mark.parametrize("length", [7, 13, 20, 100, 500])
def test_the_error_for_a_truncated_gif_says_so(length: int, encoded: Encode) -> None:
    data = encoded(np.random.default_rng(1).integers(0, 256, (40, 40, 3), np.uint8), "GIF")
    with pytest.raises(InputError, match=r"^image is a damaged or incomplete GIF file: it is truncated$"):
        decode(data[:length])


@pytest.mark.parametrize("name", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_files_never_leak_a_message_of_python(name: str, encoded: Encode) -> None:
    random_numbers = random.Random(name)
    complete = encoded(np.random.default_rng(1).integers(0, 256, (24, 24, 3), np.uint8), name)
    for _ in range(300):
        data = bytearray(complete[: random_numbers.randrange(8, len(complete) + 1)])
        for _ in range(random_numbers.randrange(4)):
            data[random_numbers.randrange(8, len(data) + 1) - 1] = random_numbers.randrange(256)
        try:
            decode(bytes(data))
        except InputError as error:
            assert not PYTHON_MESSAGE.search(error.message), error.message  # noqa: PT017
