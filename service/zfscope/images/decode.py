"""From encoded bytes to upright RGB pixels, every limit checked before a pixel is unpacked."""

import dataclasses
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from zfscope.errors import InputError, TooLarge
from zfscope.images.bombs import gif_has_frames, gif_size, jpeg_scans, tiff_tile_size
from zfscope.images.colour import MID_GREY, to_upright_rgb
from zfscope.images.depth import stored
from zfscope.images.formats import HEAD_BYTES, TEXT, Format, identify, missing_library, readable_formats
from zfscope.images.profiles import colour_notices
from zfscope.results import Notice


@dataclass(frozen=True)
class DecodeLimits:
    """What an encoded image may be.

    bytes:    encoded size.
    pixels:   width times height; a picture takes about 10 bytes of memory per pixel while it is decoded, dark
              colour of 16 bits up to 25.
    formats:  recognised by the first bytes of the file, never by a name or a media type.
    scans:    passes over the pixels of a progressive JPEG; encoders write 1 to about 15.
    """

    bytes: int = 20 * 2**20
    pixels: int = 50_000_000
    formats: tuple[Format, ...] = dataclasses.field(default_factory=readable_formats)
    scans: int = 100


# Pillow's classes are called directly: Image.open would warn or raise by its own, process-wide pixel
# limit, and turn to any of Pillow's forty formats.
_READERS: Mapping[Format, type[ImageFile.ImageFile]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WEBP": WebPImageFile,
    "GIF": GifImageFile,
    "BMP": BmpImageFile,
    "TIFF": TiffImageFile,
    "AVIF": AvifImageFile,
}
_DEFAULT_LIMITS = DecodeLimits()


@dataclass(frozen=True, eq=False)
class DecodedPhoto:
    """A photo as a viewer shows it: uint8 (height, width, 3), RGB, upright. warnings: what was assumed."""

    pixels: NDArray[np.uint8]
    warnings: tuple[Notice, ...] = ()


def decode(
    data: bytes,
    *,
    limits: DecodeLimits = _DEFAULT_LIMITS,
    field: str = "image",
    backdrop: int = MID_GREY,
) -> NDArray[np.uint8]:
    """Return the pixels of `decode_photo`, for callers that show no warnings."""
    return decode_photo(data, limits=limits, field=field, backdrop=backdrop).pixels


def decode_photo(
    data: bytes,
    *,
    limits: DecodeLimits = _DEFAULT_LIMITS,
    field: str = "image",
    backdrop: int = MID_GREY,
) -> DecodedPhoto:
    """Return the picture as a viewer shows it, upright, with what was assumed as warnings about `field`.

    The first frame of a file that has several; turned as its EXIF orientation says; what is
    transparent blended over the grey of `backdrop`; more than 8 bits a channel scaled to 8, by the bits that
    are used (see `zfscope.images.depth`). Colour profiles are not applied. The array may be read-only.

    Raises InputError, naming `field`, for bytes that are no image of an allowed format, or that are damaged
    or cut short, and TooLarge for what exceeds a limit.
    """
    name = _format_of(data, limits, field)
    with _faults_of_the_file(name, limits, field):
        image = _opened(name, data, limits, field)
        file = stored(image, data, lambda: _opened(name, data, limits, field))
        notices = (*_frames(image, name, data, field), *colour_notices(image, field))
        image.load()
        pixels, assumed = to_upright_rgb(image, file, field=field, backdrop=backdrop)
        return DecodedPhoto(pixels, (*notices, *assumed))


def stored_size(
    data: bytes, *, limits: DecodeLimits = _DEFAULT_LIMITS, field: str = "image"
) -> tuple[int, int]:
    """Return the height and width that a file states, before any turn by EXIF; nothing is unpacked.

    Raises InputError, naming `field`, as `decode` does for what the header tells.
    """
    name = _format_of(data, limits, field)
    with _faults_of_the_file(name, limits, field):
        width, height = _opened(name, data, limits, field).size
        return height, width


def _format_of(data: bytes, limits: DecodeLimits, field: str) -> Format:
    if not data:
        raise InputError(f"{field} is empty: 0 bytes", field=field)
    if len(data) > limits.bytes:
        message = f"{field} has {len(data):,} bytes; at most {limits.bytes:,} are allowed"
        raise TooLarge(message, field=field)
    allowed = ", ".join(limits.formats)
    kind = identify(data[:HEAD_BYTES])
    if kind is None or kind is TEXT:
        start = f"it starts with {data[:8].hex(' ')}{', as text does' if kind else ''}"
        raise InputError(f"{field} is not an image: {start}; allowed are {allowed}", field=field)
    if kind.format is None or kind.format not in limits.formats:
        advice = kind.advice or missing_library(kind)
        message = f"{field} is {kind.name}{f': {advice}' if advice else ''}; allowed are {allowed}"
        raise InputError(message, field=field)
    return kind.format


def _opened(name: Format, data: bytes, limits: DecodeLimits, field: str) -> ImageFile.ImageFile:
    """Return the picture with its header read and its size within the limits, nothing unpacked."""
    if name == "GIF":
        _check_size("picture", gif_size(data), limits, field)
    if name == "JPEG" and (scans := jpeg_scans(data)) > limits.scans:
        message = f"{field} is a JPEG of {scans:,} scans; at most {limits.scans:,} are allowed"
        raise TooLarge(message, field=field)
    image = _reader(name)(io.BytesIO(data))
    _check_size("picture", image.size, limits, field)
    _check_size("tile", tiff_tile_size(image), limits, field)
    return image


def _reader(name: Format) -> type[ImageFile.ImageFile]:
    """Return Pillow's class for a format. That of HEIC is an extra, imported when a file needs it."""
    if name != "HEIC":
        return _READERS[name]
    from pillow_heif import HeifImageFile

    reader: type[ImageFile.ImageFile] = HeifImageFile
    return reader


def _frames(image: ImageFile.ImageFile, name: Format, data: bytes, field: str) -> tuple[Notice, ...]:
    """Return a warning for a file of several frames or pages. Those of a GIF are not opened to be counted."""
    several = gif_has_frames(data) if name == "GIF" else getattr(image, "is_animated", False)
    if not several:
        return ()
    message = (
        f"a {name} file of several frames or pages, of which the first was used; "
        "to use another, save it as a file of its own"
    )
    return (Notice("first-frame", message, field),)


def _check_size(what: str, size: tuple[int, int], limits: DecodeLimits, field: str) -> None:
    width, height = size
    if width * height > limits.pixels:
        raise TooLarge(
            f"{field} holds a {what} of {width} x {height} = {width * height:,} pixels; "
            f"at most {limits.pixels:,} are allowed",
            field=field,
        )


@contextmanager
def _faults_of_the_file(name: Format, limits: DecodeLimits, field: str) -> Iterator[None]:
    """Turn whatever Pillow's parsers trip over into an InputError: the bytes are at fault."""
    try:
        yield
    except (InputError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as fault:
        message = f"{field} is a {name} file of far too many pixels; at most {limits.pixels:,} are allowed"
        raise TooLarge(message, field=field) from fault
    except Exception as fault:  # a dozen types, from struct.error to zlib.error
        message = f"{field} is a damaged or incomplete {name} file: {str(fault) or type(fault).__name__}"
        raise InputError(message, field=field) from fault
