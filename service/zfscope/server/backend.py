"""What the services share: the models, the threads that work on them, and the limits."""

from dataclasses import dataclass

from zfscope.images.decode import DecodeLimits
from zfscope.server.models import Models
from zfscope.server.workers import Workers


@dataclass(frozen=True)
class Backend:
    """What the services share; max_units is how many units one Project may ask for."""

    models: Models
    workers: Workers
    image_limits: DecodeLimits
    max_units: int
