"""Decoding of image files to upright RGB pixels; limits are checked before any pixel is unpacked."""

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

# TIFF tags: version of the DNG format, role of an image in the file (1: reduced version of another one),
# offsets of the other images, and offset of the camera settings.
_DNG_VERSION, _NEW_SUBFILE_TYPE, _SUB_IFDS, _EXIF = 50706, 254, 330, 34665
_REDUCED = 1

# Pillow's classes are called directly: Image.open applies its own, process-wide pixel limit and tries all of
# Pillow's forty formats.
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
    """Decoded photo.

    pixels: uint8 (height, width, 3), RGB, upright; (height, width) if decoded by `decode_grey`.
    size: (height, width) of the upright photo in the file; larger than that of `pixels` if the photo was
    decoded at a smaller scale. warnings: assumptions made while decoding.
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
    """Return the pixels of `decode_photo`, for callers that do not show warnings."""
    return decode_photo(data, limits=limits, field=field, backdrop=backdrop).pixels


def decode_photo(
    data: bytes,
    *,
    limits: DecodeLimits | None = None,
    field: str = "image",
    backdrop: int = MID_GREY,
) -> DecodedPhoto:
    """Decode an image file as a viewer would show it.

    Returns the first frame, turned by its EXIF orientation. Transparent pixels are blended over the grey
    level `backdrop` (0 to 255). More than 8 bits per channel are scaled to 8, by the number of bits in use
    (see `zfscope.images.depth`). Colours are read as sRGB, whatever colour space the file declares.
    Assumptions become warnings about `field`. The array may be read-only.

    limits: by default those of the environment. field: request field named in errors and warnings.
    Raises InputError for files that are damaged, truncated, or not of an allowed format, and TooLarge for
    files that exceed a limit.
    """
    limits = limits or environment_limits()
    file_format = _identify_format(data, limits, field)
    with _translate_decoder_errors(file_format, limits, field):
        image, (width, height), open_warnings = _open_image(file_format, data, limits, field)
        file = pixel_storage(image, data, lambda: _open_image(file_format, data, limits, field).image)
        frame_warnings = _frame_notices(image, file_format, data, field)
        _load(image, data)
        file_warnings = (*open_warnings, *frame_warnings, *colour_notices(image, data, field))
        pixels, pixel_warnings = to_upright_rgb(image, file, field=field, backdrop=backdrop)
        size = (width, height) if orientation_swaps_sides(image) else (height, width)
        return DecodedPhoto(pixels, size, (*file_warnings, *pixel_warnings))


def decode_grey(data: bytes, *, limits: DecodeLimits | None = None, field: str = "image") -> DecodedPhoto:
    """Decode the luminance (ITU-R 601) of an image, uint8 (height, width), upright; transparency is black.

    A grey or black-and-white image that is not a JPEG may have four times the allowed number of pixels, since
    each takes only one byte. Larger JPEGs are decoded at a smaller scale. Raises like `decode_photo`.
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
    warnings = tuple(notice for notice in photo.warnings if notice.code != TRANSPARENCY)  # black is intended
    return dataclasses.replace(photo, pixels=grey, warnings=warnings)


def single_channel_limits(limits: DecodeLimits) -> DecodeLimits:
    """Return the limits for images of one byte per pixel: four times as many pixels."""
    return dataclasses.replace(limits, pixels=MAX_PIXEL_FACTOR * limits.pixels)


def stored_size(data: bytes, *, limits: DecodeLimits | None = None, field: str = "image") -> tuple[int, int]:
    """Return (height, width) from the header of a file, before EXIF orientation; no pixels are unpacked.

    Raises like `decode`, for problems that the header reveals.
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
        message = f"{field} has {len(data):,} bytes; allowed: at most {limits.bytes:,}"
        raise TooLarge(message, field=field)
    allowed = ", ".join(limits.formats)
    kind = identify(data[:HEAD_BYTES])
    if kind is None or kind is PLAIN_TEXT:
        start = f"it starts with {data[:8].hex(' ')}{', like text' if kind else ''}"
        raise InputError(f"{field} is not an image: {start}; allowed: {allowed}", field=field)
    if kind.format is None or kind.format not in limits.formats:
        advice = kind.advice or missing_library(kind)
        message = f"{field} is {kind.name}; allowed: {allowed}{f'; {advice}' if advice else ''}"
        raise InputError(message, field=field)
    return kind.format


def _check_not_raw(image: ImageFile.ImageFile, field: str) -> None:
    """Raise InputError for a camera raw file in TIFF format; its first image is only a thumbnail."""
    tags = getattr(image, "tag_v2", {})
    is_reduced = tags.get(_NEW_SUBFILE_TYPE) == _REDUCED and _EXIF in tags and _SUB_IFDS in tags
    if _DNG_VERSION in tags or is_reduced:
        message = f"{field} is a camera raw file; its first image is only a thumbnail: {RAW_ADVICE}"
        raise InputError(message, field=field)


def _check_frames(pixels: int, limits: DecodeLimits, field: str) -> None:
    """Raise TooLarge if all frames, such as photo and alpha, have over 4 times the allowed pixels."""
    maximum = MAX_PIXEL_FACTOR * limits.pixels
    if pixels > maximum:
        message = f"{field} has frames of {pixels:,} pixels in all; allowed: at most {maximum:,}"
        raise TooLarge(message, field=field)


class _OpenedImage(NamedTuple):
    """Image whose header was read.

    size: (width, height) in the file. warnings: about a reduced scale and about damage.
    """

    image: ImageFile.ImageFile
    size: tuple[int, int]
    warnings: tuple[Notice, ...] = ()


def _open_image(file_format: Format, data: bytes, limits: DecodeLimits, field: str) -> _OpenedImage:
    """Read the header of an image and check its size against the limits, without unpacking pixels."""
    if file_format == "JPEG":
        return _open_jpeg(data, limits, field)
    if file_format == "GIF":
        _check_pixels("", gif_size(data), limits, field)
    if file_format == "PNG":
        check_chunk_count(data)
    if file_format == "AVIF":
        _check_frames(frame_pixels(data), limits, field)
    image = _reader(file_format)(io.BytesIO(data))
    _check_pixels("", image.size, limits, field)
    _check_pixels("tiles of ", tiff_tile_size(image), limits, field)
    _check_not_raw(image, field)
    return _OpenedImage(image, image.size)


def _open_jpeg(data: bytes, limits: DecodeLimits, field: str) -> _OpenedImage:
    """Open a JPEG, set to a smaller scale if it exceeds the pixel limit."""
    header = read_jpeg(data)
    if header.lossless or header.bits not in (0, 8):
        kind = "JPEG-LS file" if header.lossless else f"JPEG file of {header.bits} bits per sample"
        raise InputError(
            f"{field} is a {kind}; allowed: 8-bit JPEG; convert to 8 bits or to PNG", field=field
        )
    if header.scans > limits.scans:
        message = f"{field} is a JPEG file with {header.scans:,} scans; allowed: at most {limits.scans:,}"
        raise TooLarge(message, field=field)
    image = JpegImageFile(io.BytesIO(with_open_end(data, header)))
    damage_warnings = damage_notices(data, header, field)
    if math.prod(image.size) <= limits.pixels:
        return _OpenedImage(image, image.size, damage_warnings)
    _check_cost(image.size, header, limits, field)
    width, height = image.size
    scale = next(n for n in (2, 4, 8) if -(-width // n) * -(-height // n) <= limits.pixels)
    image.draft(None, (width // scale, height // scale))
    message = (
        f"a JPEG of {width:,} x {height:,} pixels was decoded at 1/{scale} of its size: max_image_pixels is "
        f"{limits.pixels:,}; positions refer to the original size"
    )
    _check_pixels("", image.size, limits, field)  # Pillow may not have been able to scale it
    return _OpenedImage(image, (width, height), (Notice("smaller-scale", message, field), *damage_warnings))


def _check_cost(size: tuple[int, int], header: JpegHeader, limits: DecodeLimits, field: str) -> None:
    """Raise TooLarge for a JPEG that is too expensive to decode at any scale.

    Even at a smaller scale the decoder reads every scan in full, and for several scans it keeps all
    coefficients in memory. Time (scans x pixels) and memory must not exceed those of an image of the allowed
    size.
    """
    pixels, maximum = math.prod(size), MAX_PIXEL_FACTOR * limits.pixels
    fits_memory = header.coefficients <= BYTES_PER_PIXEL * limits.pixels
    if pixels <= maximum and header.scans * pixels <= limits.scans * limits.pixels and fits_memory:
        return
    if pixels > maximum:
        allowed = f"allowed: at most {limits.pixels:,}, {maximum:,} in a JPEG"
    else:
        allowed = (
            f"allowed: at most {limits.pixels:,} with {header.scans:,} scans; save it as a baseline JPEG"
        )
    raise TooLarge(f"{field} has {size[0]} x {size[1]} = {pixels:,} pixels; {allowed}", field=field)


def _reader(file_format: Format) -> type[ImageFile.ImageFile]:
    """Return the Pillow class of a format; the one for HEIC, from an extra, is imported on first use."""
    if file_format != "HEIC":
        return _READERS[file_format]
    from pillow_heif import HeifImageFile

    reader: type[ImageFile.ImageFile] = HeifImageFile
    return reader


def _frame_notices(
    image: ImageFile.ImageFile, file_format: Format, data: bytes, field: str
) -> tuple[Notice, ...]:
    """Return a warning for a file with several frames or pages."""
    # Pillow would decode the frames of a GIF to count them.
    several = gif_has_several_frames(data) if file_format == "GIF" else getattr(image, "is_animated", False)
    if not several:
        return ()
    message = (
        f"the {file_format} file has several frames or pages, and the first was used; "
        "to use another one, save it as a separate file"
    )
    return (Notice("first-frame", message, field),)


def _load(image: ImageFile.ImageFile, data: bytes) -> None:
    """Unpack the pixels. Raises Malformed if rows are missing, and any exception of Pillow."""
    image.load()
    check_strips(image)
    check_rows(image, data)


def _check_pixels(part: str, size: tuple[int, int], limits: DecodeLimits, field: str) -> None:
    """Raise TooLarge if (width, height) exceeds the pixel limit.

    part: such as `tiles of `; empty for the whole image.
    """
    width, height = size
    if width * height > limits.pixels:
        raise TooLarge(
            f"{field} has {part}{width} x {height} = {width * height:,} pixels; "
            f"allowed: at most {limits.pixels:,}",
            field=field,
        )


@contextmanager
def _translate_decoder_errors(file_format: Format, limits: DecodeLimits, field: str) -> Iterator[None]:
    """Translate any exception of Pillow's parsers into an InputError, since the file causes it."""
    try:
        yield
    except (InputError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        message = (
            f"{field} is a {file_format} file with far too many pixels; allowed: at most {limits.pixels:,}"
        )
        raise TooLarge(message, field=field) from error
    except Exception as error:  # a dozen types, from struct.error to zlib.error
        if str(error) == "unknown pixel mode":
            message = (
                f"{field} is a {file_format} file with an unsupported pixel type; convert to 8 or 16 bits"
            )
            raise InputError(message, field=field) from error
        message = f"{field} is a damaged or incomplete {file_format} file: {damage_reason(error)}"
        raise InputError(message, field=field) from error
