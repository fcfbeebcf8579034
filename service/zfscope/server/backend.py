"""What the services share: the models, the threads that work on them, and the limits."""

from dataclasses import dataclass

from zfscope.analysis.registry import Registry
from zfscope.images.decode import DecodeLimits
from zfscope.server.models import Models
from zfscope.server.workers import Workers


@dataclass(frozen=True)
class Backend:
    """What the services share.

    max_units: how many units one Project may ask for. max_passes: how many forward passes one request
    may cost. max_images: how many images one ModelInfer may send. max_send_bytes: how long an answer may be.
    """

    models: Models
    analyzers: Registry
    workers: Workers
    image_limits: DecodeLimits
    max_units: int
    max_passes: int
    max_images: int
    max_send_bytes: int
