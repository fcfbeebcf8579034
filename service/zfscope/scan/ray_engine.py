"""Ray runs a scan: actors of one CPU each, on whatever machines a cluster has."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from zfscope.errors import RuntimeUnavailable
from zfscope.scan.batches import ScanBatch
from zfscope.scan.cluster import join_cluster
from zfscope.scan.engine import ScanFunction
from zfscope.scan.partial import PartialResult
from zfscope.scan.ray_actor import ScanActor, ShardResult, installed

AHEAD = 2
"""Shards that an actor has at a time: the one that it works on, and the next."""

DEATHS = 4
"""How many actors may die at one shard, or one after the other at their start, before the scan gives up."""


@dataclass(frozen=True)
class RayEngine:
    """Shares batches out among the actors of a Ray cluster, one for each of its CPUs.

    address: of the cluster; `join_cluster` says what none means. Its machines need the same software as this
    one, and the photos under the same paths. Work is sent once to each; batches go there as paths, and what
    comes back is reduced.
    """

    address: str = ""

    def __call__(self, work: ScanFunction, batches: Iterable[ScanBatch]) -> Iterator[PartialResult]:
        """Give what was found in the batches; see `Engine`.

        An actor that dies gives back what it had, and another takes its place. Raises RuntimeUnavailable
        where there is no cluster, a machine of it does not see the photos or has other software, or
        actors keep dying.
        """
        with join_cluster(self.address):
            pool = _ActorPool(work, batches)
            try:
                yield from pool.parts()
            finally:
                pool.close()


@dataclass(frozen=True)
class _Job:
    """What an actor was asked for: to scan batches, or, where there are none, to make itself ready.

    deaths: of actors that were asked for it before.
    """

    batches: tuple[ScanBatch, ...] = ()
    deaths: int = 0


class _ActorPool:
    """Actors, what each of them is at, and what is left.

    Ray's own restarts and retries are not used: they give a dead actor's work to it alone, which waits
    where its machine is gone and the others are taken.
    """

    def __init__(self, work: ScanFunction, batches: Iterable[ScanBatch]) -> None:
        self._cpus = max(1, int(ray.cluster_resources().get("CPU", 0)))
        self._shard = 1 + self._cpus // 4  # so that some eight results a second come back, however many CPUs
        self._left, self._again = iter(batches), list[_Job]()
        self._actor, self._work = ray.remote(num_cpus=1)(ScanActor), ray.put(work)
        self._running: dict[Any, tuple[Any, _Job]] = {}
        self._actors, self._free = list[Any](), list[Any]()

    def parts(self) -> Iterator[PartialResult]:
        """Give what was found in each shard, as it comes.

        An actor is hired for each CPU that the cluster has now; one whose CPU is taken waits for it.
        """
        if self._hand_out():
            for _ in range(self._cpus):
                self._hire(_Job())
        while self._hand_out():
            (ready,), _ = ray.wait(list(self._running))
            found = self._take(self._running[ready][0])
            if found:
                _check_seen(found)
                yield found.part

    def close(self) -> None:
        """End all actors, also those that wait for a CPU."""
        for actor in self._actors:
            ray.kill(actor)

    def _hand_out(self) -> bool:
        """Give free actors what is left; say whether there is anything to wait for."""
        while job := self._next():
            if not self._free:
                self._again.append(job)
                return True
            actor = self._free.pop(0)
            self._running[actor.scan.remote(job.batches)] = actor, job
        return any(job.batches for _, job in self._running.values())

    def _next(self) -> _Job | None:
        if self._again:
            return self._again.pop()
        batches = tuple(islice(self._left, self._shard))
        return _Job(batches) if batches else None

    def _take(self, actor: Any) -> ShardResult | None:
        """Take the oldest result of an actor that has one, None where it has become ready, or has died.

        Actors do what they were asked for in that order: so it is known at which of it one died.
        """
        oldest, job = next((ref, job) for ref, (other, job) in self._running.items() if other is actor)
        try:
            found: ShardResult | None = ray.get(oldest)
        except RayTaskError as error:
            raise error.cause from error
        except RayError as error:
            self._replace(actor, error)
            return None
        del self._running[oldest]
        self._free += [actor] * (1 if job.batches else AHEAD)
        return found

    def _replace(self, dead: Any, error: RayError) -> None:
        """Hire another actor for one that is dead, or out of reach, and take back what it had."""
        had = [ref for ref, (actor, _) in self._running.items() if actor is dead]
        first, *others = [self._running.pop(ref)[1] for ref in had]
        first = replace(first, deaths=first.deaths + 1)
        if first.deaths == DEATHS:
            raise RuntimeUnavailable(f"Ray gives up: {DEATHS} actors died {_at(first)}, the last so: {error}")
        self._actors, self._free = (
            [actor for actor in actors if actor is not dead] for actors in (self._actors, self._free)
        )
        ray.kill(dead)
        if first.batches:
            self._again += [*others, first]
        self._hire(_Job() if first.batches else first)

    def _hire(self, job: _Job) -> None:
        actor = self._actor.remote()
        self._actors.append(actor)
        self._running[actor.start.remote(installed(), [self._work])] = actor, job


def _at(job: _Job) -> str:
    if not job.batches:
        return "at their start"
    return f"at the photos from '{job.batches[0].photos[0].name}' on"


def _check_seen(found: ShardResult) -> None:
    """Raise RuntimeUnavailable for a photo that is here and not there."""
    for path in found.unseen:
        if os.access(path, os.R_OK):
            raise RuntimeUnavailable(
                f"machine '{found.machine}' of the Ray cluster does not see '{path}': each needs the photos "
                "under the same path as here, as a shared file system gives them",
                field="data",
            )
