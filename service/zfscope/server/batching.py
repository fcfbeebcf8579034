"""Forward passes that requests share: images of many callers in one batch, each with a fate of its own."""

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

Given = Mapping[str, NDArray[np.float32]]
"""What layers gave, by name."""

_SCORES = ""
"""The name of class scores, which no layer has."""


@dataclass(frozen=True, eq=False)
class _Item:
    """An image, float32 (3, H, W), and where its caller waits for what the network gives of it.

    names: of layers, or _SCORES alone. since: when it came.
    """

    image: NDArray[np.float32]
    names: tuple[str, ...]
    given: "asyncio.Future[Given]"
    since: float

    @property
    def awaited(self) -> bool:
        return not self.given.done()

    @property
    def scored(self) -> bool:
        return self.names == (_SCORES,)

    def give(self, given: Given) -> None:
        if self.awaited:
            self.given.set_result(given)

    def fail(self, error: Exception) -> None:
        if self.awaited:
            self.given.set_exception(error)


class Batcher:
    """Runs the forward passes of all requests: of each loaded model one at a time, on up to `size` images.

    Images are run in the order in which they come, whoever sends them; those of which layers are wanted, by
    other passes than those of which class scores are. What is cancelled before its pass begins takes no part
    in it; a pass that fails is run again image by image, so that only those fail which cannot be run. It
    belongs to one event loop.
    """

    def __init__(
        self,
        *,
        size: int,
        delay_s: float,
        queue: int,
        models: int,
        waited: Callable[[float], object] = lambda _: None,
    ) -> None:
        """size: images of one pass at most. queue: images that wait for a model at most.

        delay_s: how long after a pass the next one waits, at most, for as many images as there were then:
        who was just answered often asks again at once. A lone request never waits.
        models: number of concurrent passes. waited: called with the seconds that an image waited.
        """
        self._size = size
        self._delay_s = delay_s
        self._queue = queue
        self._waited = waited
        self._passes = _Passes(models)
        self._lanes: dict[LoadedModel, _Lane] = {}

    async def forward(self, loaded: LoadedModel, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the class scores (logits), (N, classes), of images: float32 (N, 3, H, W), normalised.

        Cancel it, and what still waits of it is never run. Raises InputError for images that the model
        does not read, Busy where the model's queue is full, NotReady where the service shuts down, and
        whatever the runtime raises for these images alone.
        """
        return (await self._run(loaded, images, (_SCORES,)))[_SCORES]

    async def outputs(self, loaded: LoadedModel, images: NDArray[np.float32], layers: Sequence[str]) -> Given:
        """Return what layers give for images, by name: (N, maps, rows, columns), or (N, units).

        Everything else is as for `forward`; raises NotFound for an unknown layer too.
        """
        for layer in layers:
            loaded.model.spec.layer(layer, field="layers")
        return await self._run(loaded, images, tuple(layers)) if layers else {}

    async def _run(self, loaded: LoadedModel, images: NDArray[np.float32], names: tuple[str, ...]) -> Given:
        check_images(images, loaded.model.spec)
        lane = self._lane(loaded)
        if lane.waiting >= self._queue:
            title = loaded.model.manifest.title
            raise Busy(f"{lane.waiting} images wait for {title}; try again in a moment")
        with span("batch", images=len(images)):
            return await lane.run(images, names)

    async def close(self) -> None:
        """Refuse what waits, and let running passes end."""
        lanes = tuple(self._lanes.values())
        for lane in lanes:
            lane.close()
        await asyncio.gather(*(lane.work for lane in lanes), return_exceptions=True)
        self._passes.close()

    def _lane(self, loaded: LoadedModel) -> "_Lane":
        lane = self._lanes.get(loaded)
        if lane is None or lane.work.done():
            lane = _Lane(loaded.runtime, self._passes, self._size, self._delay_s, self._waited)
            self._lanes[loaded] = lane
            lane.work.add_done_callback(partial(self._forget, loaded, lane))
        return lane

    def _forget(self, loaded: LoadedModel, lane: "_Lane", _: "asyncio.Task[None]") -> None:
        if self._lanes.get(loaded) is lane:
            del self._lanes[loaded]


class _Passes:
    """Threads for passes, each taken only by who can begin at once."""

    def __init__(self, count: int) -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="passes")
        self.turn = asyncio.Semaphore(count)

    async def run(self, work: Callable[[], Sequence[Given]]) -> Sequence[Given]:
        """Run a pass, with a turn taken."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()


class _Tray:
    """The memory where images lie side by side for their passes, one pass at a time.

    It is kept: fresh pages from the system for each pass cost more than the copy does.
    """

    def __init__(self, runtime: Runtime, size: int) -> None:
        self._runtime = runtime
        self._size = size
        self._images = np.empty(0, np.float32)

    def run(self, items: Sequence[_Item]) -> Sequence[Given]:
        """Run a pass of images of one kind, and give each what it wants."""
        if not len(self._images):
            self._images = np.empty((self._size, *items[0].image.shape), np.float32)
        batch = np.stack([item.image for item in items], out=self._images[: len(items)])
        found = self._found(batch, items)
        for given in found.values():
            if len(given) != len(items):
                message = f"gave {len(given)} rows for {len(items)} images"
                raise RuntimeError(f"runtime '{self._runtime.name}' {message}")
        return [{name: found[name][row] for name in item.names} for row, item in enumerate(items)]

    def _found(self, batch: NDArray[np.float32], items: Sequence[_Item]) -> Given:
        if items[0].scored:
            return {_SCORES: self._runtime.forward(batch)}
        layers = dict.fromkeys(name for item in items for name in item.names)
        return self._runtime.outputs(batch, list(layers))


class _Lane:
    """The images that wait for one model, and the task that runs them; it ends when none are left."""

    def __init__(
        self,
        runtime: Runtime,
        passes: _Passes,
        size: int,
        delay_s: float,
        waited: Callable[[float], object],
    ) -> None:
        self._tray = _Tray(runtime, size)
        self._passes = passes
        self._size = size
        self._delay_s = delay_s
        self._waited = waited
        self._items: deque[_Item] = deque()
        self._expected = 1
        self._closed = False
        self._enough = asyncio.Event()
        self.work = asyncio.create_task(self._run())

    @property
    def waiting(self) -> int:
        """How many images wait for a pass."""
        return sum(item.awaited for item in self._items)

    async def run(self, images: NDArray[np.float32], names: tuple[str, ...]) -> Given:
        """Put images at the end of the queue, and wait for what the network gives of them."""
        loop = asyncio.get_running_loop()
        now = time.perf_counter()
        items = [_Item(image, names, loop.create_future(), now) for image in images]
        self._items.extend(items)
        self._look()
        try:
            given = await asyncio.gather(*(item.given for item in items))
        finally:  # one of them may have failed, or the caller be gone: nobody waits for the others
            for item in items:
                item.given.cancel()
        return {name: np.stack([each[name] for each in given]) for name in names}

    def close(self) -> None:
        """Turn away what waits, and end with the pass that runs."""
        self._closed = True
        self._look()
        for item in self._items:
            item.fail(NotReady("the service is shutting down; try another one"))

    async def _run(self) -> None:
        try:
            while await self._gathered():
                async with self._passes.turn:
                    items = self._next()
                    await self._pass(items)
                self._expected = len(items) + self.waiting
        finally:
            self.close()

    async def _gathered(self) -> bool:
        """Wait until a pass is worth its while; return whether there is anything to run."""
        self._enough.clear()
        self._look()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._delay_s):
                await self._enough.wait()
        return bool(self.waiting)

    def _look(self) -> None:
        if self._closed or self.waiting >= min(self._size, self._expected):
            self._enough.set()

    def _next(self) -> Sequence[_Item]:
        """Take the images of a pass out of the queue, and drop those that nobody waits for any more.

        They are of the kind of the first one; those of the other kind keep their places.
        """
        awaited = [item for item in self._items if item.awaited]
        items = [item for item in awaited if item.scored == awaited[0].scored][: self._size]
        self._items = deque(item for item in awaited if item not in items)
        for item in items:
            self._waited(time.perf_counter() - item.since)
        return items

    async def _pass(self, items: Sequence[_Item]) -> None:
        """Run images together, and apart where that fails."""
        awaited = [item for item in items if item.awaited]
        if not awaited:
            return
        try:
            given = await self._passes.run(partial(self._tray.run, awaited))
        except Exception as error:
            await self._failed(awaited, error)
        else:
            for item, its_own in zip(awaited, given, strict=True):
                item.give(its_own)

    async def _failed(self, items: Sequence[_Item], error: Exception) -> None:
        if len(items) == 1 or isinstance(error, RuntimeUnavailable):  # not caused by an image
            for item in items:
                item.fail(error)
            return
        for item in items:
            await self._pass([item])
