"""What a network sees of a photo: the crop, before normalisation, and its position in the photo."""

import numpy as np

from zfscope.answers import PreprocessingInfo
from zfscope.images.decode import decode_photo
from zfscope.images.geometry import Box
from zfscope.images.normalise import Preprocessing
from zfscope.images.preprocess import prepare_photo
from zfscope.images.render import encode_png


def network_view(photo: bytes, info: PreprocessingInfo) -> tuple[bytes, Box]:
    """Return the crop of a photo as PNG, and its box in photo pixels. Blocks.

    Raises InputError for a photo that the model cannot read.
    """
    channels = 1 if info.channels == "grey" else 3
    preprocessing = Preprocessing.model_validate(
        {
            "short_side": info.short_side_px,
            "centre": info.centre_px,
            "crop": info.crop_px,
            "channels": info.channels,
            "mean": (0.0,) * channels,  # the crop is shown before normalisation
            "std": (1.0,) * channels,
            "interpolation": info.interpolation or "bilinear",
        }
    )
    prepared = prepare_photo(decode_photo(photo, field="photo"), preprocessing, field="photo")
    return encode_png(np.ascontiguousarray(prepared.views[0]), text={}), prepared.geometries[0].region
