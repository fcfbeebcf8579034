"""What the services share: the models, the threads that work on them, and the limits."""

import asyncio
from dataclasses import dataclass

from zfscope.analysis.registry import Registry
from zfscope.images.limits import DecodeLimits
from zfscope.runtimes import Loaded
from zfscope.server.batching import Batcher
from zfscope.server.models import Models
from zfscope.server.workers import Workers
from zfscope.store import ModelStore


@dataclass(frozen=True)
class Backend:
    """What the services share.

    readers: threads for what is short: manifests, photos to decode. workers: threads for analyses. batcher:
    who runs the forward passes of what is classified. max_units: how many units one Project may ask for.
    max_passes: how many forward passes one request may cost. max_images: how many images
    one ModelInfer may send. max_send_bytes: how long an answer may be.
    """

    models: Models
    registry: Registry
    readers: Workers
    workers: Workers
    batcher: Batcher
    image_limits: DecodeLimits
    max_units: int
    max_passes: int
    max_images: int
    max_send_bytes: int

    @property
    def store(self) -> ModelStore:
        """The models that there are."""
        return self.models.store

    def loaded(self, name: str, version: int | None) -> Loaded:
        """Return a model and its runtime; see `Models.loaded`."""
        return self.models.loaded(name, version)

    async def close(self) -> None:
        """Let what runs end, and end the threads."""
        await self.batcher.close()
        for pool in (self.readers, self.workers):
            await asyncio.to_thread(pool.close)
