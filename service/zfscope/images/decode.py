"""From encoded bytes to upright RGB pixels, every limit checked before a pixel is unpacked."""

import dataclasses
import io
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

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
from zfscope.images.av1 import frame_pixels
from zfscope.images.bombs import gif_has_several_frames, gif_size, tiff_tile_size
from zfscope.images.chunks import check_chunk_count
from zfscope.images.colour import (
    MID_GREY,
    TRANSPARENCY,
    apply_orientation,
    orientation_swaps_sides,
    to_upright_rgb,
)
from zfscope.images.damage import check_rows, check_strips, damage_notices
from zfscope.images.depth import pixel_storage
from zfscope.images.formats import HEAD_BYTES, PLAIN_TEXT, RAW_ADVICE, Format, identify, missing_library
from zfscope.images.jpeg import JpegHeader, read_jpeg, with_open_end
from zfscope.images.limits import BYTES_PER_PIXEL, MAX_PIXEL_FACTOR, DecodeLimits, environment_limits
from zfscope.images.malformed import damage_reason
from zfscope.images.numbers import needs_rescaling
from zfscope.images.profiles import colour_notices
from zfscope.results import Notice

# Tags of TIFF: the version of a DNG, what a picture is to the others (here a smaller version of one), and
# where those others and the camera's settings are.
_DNG_VERSION, _NEW_SUBFILE_TYPE, _SUB_IFDS, _EXIF = 50706, 254, 330, 34665
_REDUCED = 1

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


@dataclass(frozen=True, eq=False)
class DecodedPhoto:
    """A photo as a viewer shows it: uint8 (height, width, 3), RGB, upright; a grey one has no third axis.

    size: (height, width) of the photo itself, upright, larger than its pixels where they were decoded at a
    smaller scale. warnings: what was assumed.
    """

    pixels: NDArray[np.uint8]
    size: tuple[int, int]
    warnings: tuple[Notice, ...] = ()


def decode(
    data: bytes,
    *,
    limits: DecodeLimits | None = None,
    field: str = "image",
    backdrop: int = MID_GREY,
) -> NDArray[np.uint8]:
    """Return the pixels of `decode_photo`, for callers that show no warnings."""
    return decode_photo(data, limits=limits, field=field, backdrop=backdrop).pixels


def decode_photo(
    data: bytes,
    *,
    limits: DecodeLimits | None = None,
    field: str = "image",
    backdrop: int = MID_GREY,
) -> DecodedPhoto:
    """Return the picture as a viewer shows it, upright, with what was assumed as warnings about `field`.

    The first frame of a file that has several; turned as its EXIF orientation says; what is
    transparent blended over the grey of `backdrop`; more than 8 bits a channel scaled to 8, by the bits that
    are used (see `zfscope.images.depth`). Colour spaces other than sRGB are not applied. The array may be
    read-only.

    Raises InputError, naming `field`, for bytes that are no image of an allowed format, or that are damaged
    or cut short, and TooLarge for what exceeds a limit.
    """
    limits = limits or environment_limits()
    file_format = _identify_format(data, limits, field)
    with _translate_decoder_errors(file_format, limits, field):
        image, (width, height), scaled = _open_image(file_format, data, limits, field)
        file = pixel_storage(image, data, lambda: _open_image(file_format, data, limits, field).image)
        frames = _frame_notices(image, file_format, data, field)
        _load(image, data)
        notices = (*scaled, *frames, *colour_notices(image, data, field))
        pixels, assumed = to_upright_rgb(image, file, field=field, backdrop=backdrop)
        size = (width, height) if orientation_swaps_sides(image) else (height, width)
        return DecodedPhoto(pixels, size, (*notices, *assumed))


def decode_grey(data: bytes, *, limits: DecodeLimits | None = None, field: str = "image") -> DecodedPhoto:
    """Return a picture's luminance (ITU-R 601), uint8 (height, width), upright, transparent pixels as black.

    A grey or black-and-white picture that is not a JPEG may have four times the pixels that are allowed, for
    it takes a byte for each. A larger JPEG is decoded at a smaller scale. Raises as `decode_photo` does.
    """
    limits = limits or environment_limits()
    file_format = _identify_format(data, limits, field)
    if file_format != "JPEG":
        with _translate_decoder_errors(file_format, limits, field):
            image, _, _ = _open_image(file_format, data, single_channel_limits(limits), field)
            if image.mode in ("1", "L") and not image.has_transparency_data and not needs_rescaling(image):
                _load(image, data)
                grey = apply_orientation(np.asarray(image.convert("L")), image)
                return DecodedPhoto(
                    grey, (grey.shape[0], grey.shape[1]), _frame_notices(image, file_format, data, field)
                )
    photo = decode_photo(data, limits=limits, field=field, backdrop=0)
    grey = np.asarray(Image.fromarray(photo.pixels).convert("L"))
    warnings = tuple(notice for notice in photo.warnings if notice.code != TRANSPARENCY)  # black is meant
    return dataclasses.replace(photo, pixels=grey, warnings=warnings)


def single_channel_limits(limits: DecodeLimits) -> DecodeLimits:
    """Return the limits of pictures that take one byte for each pixel."""
    return dataclasses.replace(limits, pixels=MAX_PIXEL_FACTOR * limits.pixels)


def stored_size(data: bytes, *, limits: DecodeLimits | None = None, field: str = "image") -> tuple[int, int]:
    """Return the height and width that a file states, before any turn by EXIF; nothing is unpacked.

    Raises InputError, naming `field`, like `decode`, for faults that the header shows.
    """
    limits = limits or environment_limits()
    file_format = _identify_format(data, limits, field)
    with _translate_decoder_errors(file_format, limits, field):
        width, height = _open_image(file_format, data, limits, field).size
        return height, width


def _identify_format(data: bytes, limits: DecodeLimits, field: str) -> Format:
    if not data:
        raise InputError(f"{field} is empty: 0 bytes", field=field)
    if len(data) > limits.bytes:
        message = f"{field} has {len(data):,} bytes; at most {limits.bytes:,} are allowed"
        raise TooLarge(message, field=field)
    allowed = ", ".join(limits.formats)
    kind = identify(data[:HEAD_BYTES])
    if kind is None or kind is PLAIN_TEXT:
        start = f"it starts with {data[:8].hex(' ')}{', as text does' if kind else ''}"
        raise InputError(f"{field} is not an image: {start}; allowed are {allowed}", field=field)
    if kind.format is None or kind.format not in limits.formats:
        advice = kind.advice or missing_library(kind)
        message = f"{field} is {kind.name}{f': {advice}' if advice else ''}; allowed are {allowed}"
        raise InputError(message, field=field)
    return kind.format


def _check_not_raw(image: ImageFile.ImageFile, field: str) -> None:
    """Raise InputError for a camera's raw file in the form of a TIFF, whose first picture is a thumbnail."""
    tags = getattr(image, "tag_v2", {})
    smaller = tags.get(_NEW_SUBFILE_TYPE) == _REDUCED and _EXIF in tags and _SUB_IFDS in tags
    if _DNG_VERSION in tags or smaller:
        message = f"{field} is a camera's raw file, and its first picture a thumbnail: {RAW_ADVICE}"
        raise InputError(message, field=field)


def _check_frames(pixels: int, limits: DecodeLimits, field: str) -> None:
    """Raise TooLarge for frames far larger than those of any picture of the allowed size."""
    most = MAX_PIXEL_FACTOR * limits.pixels
    if pixels > most:
        message = f"{field} holds frames of {pixels:,} pixels; at most {most:,} are allowed"
        raise TooLarge(message, field=field)


class _OpenedImage(NamedTuple):
    """A file whose header was read. size: (width, height) that it states. warnings: its scale and damage."""

    image: ImageFile.ImageFile
    size: tuple[int, int]
    warnings: tuple[Notice, ...] = ()


def _open_image(file_format: Format, data: bytes, limits: DecodeLimits, field: str) -> _OpenedImage:
    """Return the picture with its header read and its size within the limits, nothing unpacked."""
    if file_format == "JPEG":
        return _open_jpeg(data, limits, field)
    if file_format == "GIF":
        _check_pixels("picture", gif_size(data), limits, field)
    if file_format == "PNG":
        check_chunk_count(data)
    if file_format == "AVIF":
        _check_frames(frame_pixels(data), limits, field)
    image = _reader(file_format)(io.BytesIO(data))
    _check_pixels("picture", image.size, limits, field)
    _check_pixels("tile", tiff_tile_size(image), limits, field)
    _check_not_raw(image, field)
    return _OpenedImage(image, image.size)


def _open_jpeg(data: bytes, limits: DecodeLimits, field: str) -> _OpenedImage:
    """Open a JPEG; above the limit of pixels so that it is decoded at a smaller scale."""
    header = read_jpeg(data)
    if header.lossless or header.bits not in (0, 8):
        kind = "of JPEG-LS" if header.lossless else f"of {header.bits} bits a sample"
        raise InputError(
            f"{field} is a JPEG file {kind}, which is not read; convert to 8 bits or to PNG", field=field
        )
    if header.scans > limits.scans:
        message = f"{field} is a JPEG of {header.scans:,} scans; at most {limits.scans:,} are allowed"
        raise TooLarge(message, field=field)
    image = JpegImageFile(io.BytesIO(with_open_end(data, header)))
    damaged = damage_notices(data, header, field)
    if math.prod(image.size) <= limits.pixels:
        return _OpenedImage(image, image.size, damaged)
    _check_cost(image.size, header, limits, field)
    width, height = image.size
    scale = next(each for each in (2, 4, 8) if -(-width // each) * -(-height // each) <= limits.pixels)
    image.draft(None, (width // scale, height // scale))
    message = (
        f"a JPEG of {width:,} x {height:,} pixels was decoded at 1/{scale} of its size, since at most "
        f"{limits.pixels:,} pixels are allowed (max_image_pixels); positions are those of the whole photo"
    )
    _check_pixels("picture", image.size, limits, field)  # a JPEG that Pillow could not scale
    return _OpenedImage(image, (width, height), (Notice("smaller-scale", message, field), *damaged))


def _check_cost(size: tuple[int, int], header: JpegHeader, limits: DecodeLimits, field: str) -> None:
    """Raise TooLarge for a JPEG that costs too much at any scale.

    Each scan is read whole, and a decoder keeps the coefficients of all of them: both count against what a
    picture of the allowed size may cost.
    """
    pixels, most = math.prod(size), MAX_PIXEL_FACTOR * limits.pixels
    costs = header.coefficients > BYTES_PER_PIXEL * limits.pixels
    if pixels <= most and header.scans * pixels <= limits.scans * limits.pixels and not costs:
        return
    what = f"a picture of {size[0]} x {size[1]} = {pixels:,} pixels"
    if pixels > most:
        reason = f"at most {limits.pixels:,} are allowed, {most:,} in a JPEG"
    else:
        reason = (
            f"with {header.scans:,} scans at most {limits.pixels:,} are allowed: save it as a baseline JPEG"
        )
    raise TooLarge(f"{field} holds {what}; {reason}", field=field)


def _reader(file_format: Format) -> type[ImageFile.ImageFile]:
    """Return Pillow's class for a format. That of HEIC is an extra, imported when a file needs it."""
    if file_format != "HEIC":
        return _READERS[file_format]
    from pillow_heif import HeifImageFile

    reader: type[ImageFile.ImageFile] = HeifImageFile
    return reader


def _frame_notices(
    image: ImageFile.ImageFile, file_format: Format, data: bytes, field: str
) -> tuple[Notice, ...]:
    """Return a warning for a file of several frames or pages. Those of a GIF are not opened to be counted."""
    several = gif_has_several_frames(data) if file_format == "GIF" else getattr(image, "is_animated", False)
    if not several:
        return ()
    message = (
        f"a {file_format} file of several frames or pages, of which the first was used; "
        "to use another, save it as a file of its own"
    )
    return (Notice("first-frame", message, field),)


def _load(image: ImageFile.ImageFile, data: bytes) -> None:
    """Unpack a picture. Raises whatever Pillow does, and Malformed where it ends before its last row."""
    image.load()
    check_strips(image)
    check_rows(image, data)


def _check_pixels(what: str, size: tuple[int, int], limits: DecodeLimits, field: str) -> None:
    width, height = size
    if width * height > limits.pixels:
        raise TooLarge(
            f"{field} holds a {what} of {width} x {height} = {width * height:,} pixels; "
            f"at most {limits.pixels:,} are allowed",
            field=field,
        )


@contextmanager
def _translate_decoder_errors(file_format: Format, limits: DecodeLimits, field: str) -> Iterator[None]:
    """Turn whatever Pillow's parsers trip over into an InputError: the bytes are at fault."""
    try:
        yield
    except (InputError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        message = (
            f"{field} is a {file_format} file of far too many pixels; at most {limits.pixels:,} are allowed"
        )
        raise TooLarge(message, field=field) from error
    except Exception as error:  # a dozen types, from struct.error to zlib.error
        if str(error) == "unknown pixel mode":
            message = (
                f"{field} is a {file_format} file with an unsupported pixel type: convert to 8 or 16 bits"
            )
            raise InputError(message, field=field) from error
        message = f"{field} is a damaged or incomplete {file_format} file: {damage_reason(error)}"
        raise InputError(message, field=field) from error
