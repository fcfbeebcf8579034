"""Dynamic batching: images of several requests share forward passes."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from zfscope.errors import Busy, NotReady, RuntimeUnavailable
from zfscope.runtimes import LoadedModel
from zfscope.runtimes.protocol import Runtime, check_images
from zfscope.server.telemetry.tracing import span

# Outputs of layers by layer name, or the class scores under _SCORES.
Outputs = Mapping[str, NDArray[np.float32]]

ObserveWait = Callable[[float], object]

# Key of the class scores; no layer has an empty name.
_SCORES = ""


def _ignore_wait(_: float) -> None:
    """Default of `observe_wait`."""


@dataclass(frozen=True, eq=False)
class _QueuedImage:
    """Image of a request, float32 (C, H, W), with the future of its outputs.

    names: requested layers, or only _SCORES. queued_at: value of time.perf_counter(). observe_wait: called
    with the seconds that the image was queued.
    """

    image: NDArray[np.float32]
    names: tuple[str, ...]
    outputs: "asyncio.Future[Outputs]"
    queued_at: float
    observe_wait: ObserveWait

    @property
    def pending(self) -> bool:
        return not self.outputs.done()

    @property
    def wants_scores(self) -> bool:
        return self.names == (_SCORES,)

    def succeed(self, outputs: Outputs) -> None:
        if self.pending:
            self.outputs.set_result(outputs)

    def fail(self, error: Exception) -> None:
        if self.pending:
            self.outputs.set_exception(error)


class Batcher:
    """Batches the forward passes of all requests: one pass per model at a time, of up to `size` images.

    Images run in order of arrival across requests; layer outputs and class scores need separate passes.
    Images cancelled before their pass starts are dropped. A failed pass is repeated image by image, so that
    only the images that cause the failure fail. Not thread-safe: all calls come from one event loop.
    """

    def __init__(
        self,
        *,
        size: int,
        delay_s: float,
        queue: int,
        models: int,
        observe_wait: ObserveWait = _ignore_wait,
    ) -> None:
        """size: maximum images per pass. queue: maximum queued images per model.

        delay_s: maximum seconds, from the end of a pass, that the next one waits for as many images as were
        in that pass or queued when it ended: clients often send the next request right after a response. A
        client that sends one image at a time, with no other client, never waits.
        models: maximum number of concurrent passes, each of a different model. observe_wait: called with the
        seconds that each image was queued.
        """
        self._size = size
        self._delay_s = delay_s
        self._max_queued = queue
        self._observe_wait = observe_wait
        self._passes = _PassPool(models)
        self._queues: dict[LoadedModel, _ModelQueue] = {}

    async def forward(
        self, loaded: LoadedModel, images: NDArray[np.float32], *, observe_wait: ObserveWait = _ignore_wait
    ) -> NDArray[np.float32]:
        """Return the class scores (logits), (N, classes), of images: float32 (N, C, H, W), normalised.

        observe_wait: called with the seconds that each of these images was queued.
        Cancellation drops images that are still queued. Raises InputError for images that do not fit the
        model, Busy if the model's queue is full, NotReady during shutdown, and the runtime's exceptions for
        these images.
        """
        return (await self._run(loaded, images, (_SCORES,), observe_wait))[_SCORES]

    async def outputs(
        self,
        loaded: LoadedModel,
        images: NDArray[np.float32],
        layers: Sequence[str],
        *,
        observe_wait: ObserveWait = _ignore_wait,
    ) -> Outputs:
        """Return the outputs of layers for images, by layer name: (N, maps, rows, columns) or (N, units).

        observe_wait: called with the seconds that each of these images was queued. Cancellation and
        exceptions are those of `forward`, plus NotFound for an unknown layer.
        """
        names = tuple(loaded.model.spec.layer(layer, field="layers").name for layer in layers)
        return await self._run(loaded, images, names, observe_wait) if names else {}

    async def _run(
        self,
        loaded: LoadedModel,
        images: NDArray[np.float32],
        names: tuple[str, ...],
        observe_wait: ObserveWait,
    ) -> Outputs:
        check_images(images, loaded.model.spec)
        queue = self._queue_of(loaded)
        if queue.length >= self._max_queued:
            title = loaded.model.manifest.title
            raise Busy(
                f"the queue of {title} is full ({queue.length} images queued, limit {self._max_queued}); "
                "try again in a moment"
            )
        with span("batch", images=len(images)):
            return await queue.run(images, names, observe_wait)

    async def close(self) -> None:
        """Fail queued images with NotReady and wait for running passes."""
        queues = tuple(self._queues.values())
        for queue in queues:
            queue.close()
        await asyncio.gather(*(queue.task for queue in queues), return_exceptions=True)
        self._passes.close()

    def _queue_of(self, loaded: LoadedModel) -> "_ModelQueue":
        queue = self._queues.get(loaded)
        if queue is None or queue.task.done():
            queue = _ModelQueue(loaded.runtime, self._passes, self._size, self._delay_s, self._observe_wait)
            self._queues[loaded] = queue
            queue.task.add_done_callback(partial(self._forget, loaded, queue))
        return queue

    def _forget(self, loaded: LoadedModel, queue: "_ModelQueue", _: "asyncio.Task[None]") -> None:
        if self._queues.get(loaded) is queue:
            del self._queues[loaded]


class _PassPool:
    """Threads for forward passes; `slots` has one slot per thread, so that no pass waits in the pool."""

    def __init__(self, count: int) -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="passes")
        self.slots = asyncio.Semaphore(count)

    async def run(self, work: Callable[[], Sequence[Outputs]]) -> Sequence[Outputs]:
        """Run a pass in a thread. The caller holds a slot."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown()


class _BatchRunner:
    """Runs a model's passes from one reused input buffer.

    Allocating a buffer for each pass would cost more than copying the images: the kernel maps fresh pages.
    """

    def __init__(self, runtime: Runtime, size: int) -> None:
        self._runtime = runtime
        self._size = size
        self._buffer = np.empty(0, np.float32)

    def run(self, items: Sequence[_QueuedImage]) -> Sequence[Outputs]:
        """Run one pass; return the outputs of each image. All items want scores, or all want layers."""
        if not len(self._buffer):
            self._buffer = np.empty((self._size, *items[0].image.shape), np.float32)
        batch = np.stack([item.image for item in items], out=self._buffer[: len(items)])
        outputs = self._outputs(batch, items)
        for rows in outputs.values():
            if len(rows) != len(items):
                message = f"returned {len(rows)} rows for {len(items)} images"
                raise RuntimeError(f"runtime '{self._runtime.name}' {message}")
        return [{name: outputs[name][row] for name in item.names} for row, item in enumerate(items)]

    def _outputs(self, batch: NDArray[np.float32], items: Sequence[_QueuedImage]) -> Outputs:
        if items[0].wants_scores:
            return {_SCORES: self._runtime.forward(batch)}
        layers = dict.fromkeys(name for item in items for name in item.names)
        return self._runtime.outputs(batch, list(layers))


class _ModelQueue:
    """Queue of one model's images, with the task that runs them; the task ends when the queue is empty."""

    def __init__(
        self,
        runtime: Runtime,
        passes: _PassPool,
        size: int,
        delay_s: float,
        observe_wait: ObserveWait,
    ) -> None:
        self._runner = _BatchRunner(runtime, size)
        self._passes = passes
        self._size = size
        self._delay_s = delay_s
        self._observe_wait = observe_wait
        self._items: deque[_QueuedImage] = deque()
        self._expected = 1
        self._closed = False
        self._ready = asyncio.Event()
        self.task = asyncio.create_task(self._run())

    @property
    def length(self) -> int:
        """Number of images waiting for a pass; cancelled ones do not count."""
        return sum(item.pending for item in self._items)

    async def run(
        self, images: NDArray[np.float32], names: tuple[str, ...], observe_wait: ObserveWait
    ) -> Outputs:
        """Append images to the queue and wait for their outputs."""
        loop = asyncio.get_running_loop()
        now = time.perf_counter()
        items = [_QueuedImage(image, names, loop.create_future(), now, observe_wait) for image in images]
        self._items.extend(items)
        self._update_ready()
        try:
            outputs = await asyncio.gather(*(item.outputs for item in items))
        finally:  # if one image failed or the request was cancelled, drop the rest
            for item in items:
                item.outputs.cancel()
        return {name: np.stack([each[name] for each in outputs]) for name in names}

    def close(self) -> None:
        """Fail queued images with NotReady; the task ends after the running pass."""
        self._closed = True
        self._update_ready()
        for item in self._items:
            item.fail(NotReady("the service is shutting down; try another replica"))

    async def _run(self) -> None:
        try:
            while await self._wait_for_images():
                async with self._passes.slots:
                    items = self._take_batch()
                    await self._run_batch(items)
                # Clients of this pass are about to send their next requests, on top of those queued.
                self._expected = len(items) + self.length
        finally:
            self.close()

    async def _wait_for_images(self) -> bool:
        """Wait up to `delay_s` for the expected number of images; return whether any are queued."""
        self._ready.clear()
        self._update_ready()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._delay_s):
                await self._ready.wait()
        return bool(self.length)

    def _update_ready(self) -> None:
        if self._closed or self.length >= min(self._size, self._expected):
            self._ready.set()

    def _take_batch(self) -> Sequence[_QueuedImage]:
        """Remove the images of the next pass from the queue, and drop cancelled ones.

        All want scores or all want layers, as the first image does; the others keep their positions.
        """
        pending = [item for item in self._items if item.pending]
        batch = [item for item in pending if item.wants_scores == pending[0].wants_scores][: self._size]
        self._items = deque(item for item in pending if item not in batch)
        for item in batch:
            waited_s = time.perf_counter() - item.queued_at
            self._observe_wait(waited_s)
            item.observe_wait(waited_s)
        return batch

    async def _run_batch(self, items: Sequence[_QueuedImage]) -> None:
        """Run images in one pass; if it fails, run them one by one."""
        pending = [item for item in items if item.pending]
        if not pending:
            return
        try:
            outputs = await self._passes.run(partial(self._runner.run, pending))
        except Exception as error:
            await self._handle_failure(pending, error)
        else:
            for item, its_outputs in zip(pending, outputs, strict=True):
                item.succeed(its_outputs)

    async def _handle_failure(self, items: Sequence[_QueuedImage], error: Exception) -> None:
        # A lost runtime is not an image's fault: retrying each image would fail too, after its own timeout.
        if len(items) == 1 or isinstance(error, RuntimeUnavailable):
            for item in items:
                item.fail(error)
            return
        for item in items:
            await self._run_batch([item])
