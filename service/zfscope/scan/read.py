"""From a photo of a data set to the network's input for it, or the reason why it cannot be used."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zfscope.datasets.dataset import Photo
from zfscope.datasets.read import FIELD, digest_of, read_photo
from zfscope.errors import InputError
from zfscope.images.decode import decode
from zfscope.images.limits import DecodeLimits
from zfscope.images.preprocess import MeanImage, Preprocessing, prepare


@dataclass(frozen=True, eq=False)
class Sight:
    """The network's input for a photo: float32 (3, H, W), normalised; and the BLAKE2b of its file."""

    pixels: NDArray[np.float32]
    digest: bytes


def see(
    photo: Photo,
    preprocessing: Preprocessing,
    mean_image: MeanImage | None,
    limits: DecodeLimits | None = None,
) -> Sight | str:
    """Read and prepare the centre crop of a photo; return the reason, in words, where it cannot be used.

    limits: those of the environment unless given.
    """
    try:
        data = read_photo(photo, limits)
        pixels = prepare(
            decode(data, field=FIELD, limits=limits), preprocessing, mean_image=mean_image
        ).pixels
    except InputError as error:
        return " ".join(error.message.split())
    return Sight(pixels[0], digest_of(data))
