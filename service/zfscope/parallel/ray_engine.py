"""The Ray engine: actors of one CPU each, on the machines of a cluster."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Generic

import ray
from ray.exceptions import RayError, RayTaskError

from zfscope.errors import RuntimeUnavailable
from zfscope.parallel.batches import Batch, Result, Work
from zfscope.parallel.cluster import join_cluster
from zfscope.parallel.ray_actor import BatchActor, ShardResult, installed_versions

# Number of shards assigned to an actor at a time: the one in progress and the next.
AHEAD = 2

# Number of actor deaths after which the engine gives up: on the same shard, or in succession at start.
DEATHS = 4


@dataclass(frozen=True)
class RayEngine:
    """Engine that distributes batches over the actors of a Ray cluster, one actor for each CPU.

    address: see `join_cluster`. The machines need the same software as this one and the photos under the same
    paths. The function is sent once to each actor, batches as paths; results come back merged.
    """

    address: str = ""

    def __call__(self, work: Work[Result], batches: Iterable[Batch]) -> Iterator[Result]:
        """Yield the results of all batches; see `Engine`.

        The shards of a dead actor are reassigned, and a new actor is started. Raises RuntimeUnavailable if
        the cluster cannot be joined, a machine cannot read the photos or has other software, or actors keep
        dying.
        """
        with join_cluster(self.address):
            pool = _ActorPool(work, batches)
            try:
                yield from pool.parts()
            finally:
                pool.close()


@dataclass(frozen=True)
class _Job:
    """A job for an actor: processing batches or, without batches, starting up.

    deaths: number of actors that died on this job.
    """

    batches: tuple[Batch, ...] = ()
    deaths: int = 0


class _ActorPool(Generic[Result]):
    """The actors, their jobs, and the batches not assigned yet.

    Ray's own restarts and retries are not used: they reassign a dead actor's tasks only to its replacement,
    which has to wait if its machine is gone and all other CPUs are taken.
    """

    def __init__(self, work: Work[Result], batches: Iterable[Batch]) -> None:
        self._cpus = max(1, int(ray.cluster_resources().get("CPU", 0)))
        # Batches per shard: more with more CPUs, so that about eight results arrive per second.
        self._shard = 1 + self._cpus // 4
        self._pending, self._retries = iter(batches), list[_Job]()
        self._actor, self._work = ray.remote(num_cpus=1)(BatchActor), ray.put(work)
        self._running: dict[Any, tuple[Any, _Job]] = {}  # actor and job by object reference, oldest first
        self._actors, self._idle = list[Any](), list[Any]()  # an actor is listed once per free slot in _idle

    def parts(self) -> Iterator[Result]:
        """Yield the result of each shard as it arrives.

        Starts one actor for each CPU of the cluster; an actor whose CPU is taken waits for it.
        """
        if self._assign():
            for _ in range(self._cpus):
                self._start_actor(_Job())
        while self._assign():
            (ready,), _ = ray.wait(list(self._running))
            result = self._collect(self._running[ready][0])
            if result:
                _check_readable(result)
                yield result.part

    def close(self) -> None:
        """Kill all actors, including those waiting for a CPU."""
        for actor in self._actors:
            ray.kill(actor)

    def _assign(self) -> bool:
        """Assign jobs to idle actors; return whether any jobs are unfinished."""
        while job := self._next():
            if not self._idle:
                self._retries.append(job)
                return True
            actor = self._idle.pop(0)
            self._running[actor.process.remote(job.batches)] = actor, job
        return any(job.batches for _, job in self._running.values())

    def _next(self) -> _Job | None:
        if self._retries:
            return self._retries.pop()
        batches = tuple(islice(self._pending, self._shard))
        return _Job(batches) if batches else None

    def _collect(self, actor: Any) -> ShardResult[Result] | None:
        """Return the oldest result of an actor; None if it has just started, or has died.

        An actor runs its jobs in the order of assignment, so if it dies, it died on the oldest one.
        """
        oldest, job = next((ref, job) for ref, (other, job) in self._running.items() if other is actor)
        try:
            result: ShardResult[Result] | None = ray.get(oldest)
        except RayTaskError as error:
            raise error.cause from error
        except RayError as error:
            self._replace(actor, error)
            return None
        del self._running[oldest]
        self._idle += [actor] * (1 if job.batches else AHEAD)
        return result

    def _replace(self, dead: Any, error: RayError) -> None:
        """Start a new actor for one that is dead or unreachable, and queue its jobs again."""
        refs = [ref for ref, (actor, _) in self._running.items() if actor is dead]
        first, *others = [self._running.pop(ref)[1] for ref in refs]
        first = replace(first, deaths=first.deaths + 1)
        if first.deaths == DEATHS:
            message = f"stopped after {DEATHS} Ray actors died {_description(first)}"
            raise RuntimeUnavailable(f"{message}; the last error: {error}")
        self._actors, self._idle = (
            [actor for actor in actors if actor is not dead] for actors in (self._actors, self._idle)
        )
        ray.kill(dead)
        if first.batches:
            self._retries += [*others, first]
        self._start_actor(_Job() if first.batches else first)

    def _start_actor(self, job: _Job) -> None:
        actor = self._actor.remote()
        self._actors.append(actor)
        self._running[actor.start.remote(installed_versions(), [self._work])] = actor, job


def _description(job: _Job) -> str:
    if not job.batches:
        return "at start"
    return f"on the photos from '{job.batches[0].photos[0].name}' on"


def _check_readable(result: ShardResult[Any]) -> None:
    """Raise RuntimeUnavailable for a photo that can be read here, but not on the actor's machine."""
    for path in result.unreadable:
        if os.access(path, os.R_OK):
            raise RuntimeUnavailable(
                f"machine '{result.machine}' of the Ray cluster cannot read '{path}'; every machine needs "
                "the photos under the same paths, for example on a shared file system",
                field="data",
            )
