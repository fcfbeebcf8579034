"""ModelStatistics and RepositoryIndex, extensions of Triton: what models have run, and which there are."""

from zfscope.errors import InputError
from zfscope.inference import inference_pb2 as pb
from zfscope.server.backend import Backend
from zfscope.server.oip.parameters import InferTarget
from zfscope.server.telemetry.statistics import Duration, Key, TargetStatistics
from zfscope.store import DamagedEntry

_READY, _UNAVAILABLE = "READY", "UNAVAILABLE"


def statistics(backend: Backend, target: InferTarget, *, every: bool) -> pb.ModelStatisticsResponse:
    """Handle a ModelStatistics call. every: whether the request names no model. Blocks.

    Raises NotFound for an unknown model, version or analyzer.
    """
    known = backend.statistics.snapshot()
    keys = {*known, *_stored(backend)} if every else set(_keys(backend, target))
    return pb.ModelStatisticsResponse(
        model_stats=[_to_wire(key, known.get(key, TargetStatistics())) for key in sorted(keys)]
    )


def repository_index(
    backend: Backend, request: pb.RepositoryIndexRequest, *, serving: bool
) -> pb.RepositoryIndexResponse:
    """Handle a RepositoryIndex call. serving: health status of the service. Blocks.

    Raises InputError if the request names a repository.
    """
    if request.repository_name:
        message = f"repository '{request.repository_name:.80}' not found; leave the name empty: there is one"
        raise InputError(message, field="repository_name")
    reason = "" if serving else "the service is not serving"
    entries = []
    for entry in backend.store.listing():
        fault = entry.reason if isinstance(entry, DamagedEntry) else reason
        state = _UNAVAILABLE if fault else _READY
        if not (request.ready and fault):
            entries.append(
                pb.RepositoryIndexResponse.ModelIndex(
                    name=entry.name, version=str(entry.version), state=state, reason=fault
                )
            )
    return pb.RepositoryIndexResponse(models=entries)


def _stored(backend: Backend) -> list[Key]:
    return [(manifest.name, manifest.version) for manifest in backend.store.manifests()]


def _keys(backend: Backend, target: InferTarget) -> list[Key]:
    """Return the versions of a model or analyzer. Raises NotFound for unknown ones."""
    manifest = backend.models.manifest(target.model, target.version)
    if target.analyzer:
        backend.registry.analyzer(target.analyzer)
    versions = [version for name, version in _stored(backend) if name == manifest.name]
    return [
        (target.title(manifest.name), version) for version in versions if target.version in (None, version)
    ]


def _to_wire(key: Key, stats: TargetStatistics) -> pb.ModelStatistics:
    (name, version), calls, passes = key, stats.calls, stats.passes
    runs = calls.get("success", Duration()).count
    analyzer = "/" in name
    return pb.ModelStatistics(
        name=name,
        version=str(version),
        last_inference=stats.last_ms,
        inference_count=runs if analyzer else sum(images * each.count for images, each in passes.items()),
        execution_count=runs if analyzer else sum(each.count for each in passes.values()),
        inference_stats=pb.InferStatistics(
            success=_duration(calls.get("success")),
            fail=_duration(calls.get("fail")),
            queue=_duration(calls.get("queue")),
            compute_input=_duration(calls.get("input")),
            compute_infer=_duration(calls.get("infer")),
            compute_output=_duration(calls.get("output")),
        ),
        batch_stats=[
            pb.InferBatchStatistics(
                batch_size=images,
                compute_input=pb.StatisticDuration(count=passes[images].count),
                compute_infer=_duration(passes[images]),
                compute_output=pb.StatisticDuration(count=passes[images].count),
            )
            for images in sorted(passes)
        ],
    )


def _duration(duration: Duration | None) -> pb.StatisticDuration:
    return pb.StatisticDuration(count=duration.count, ns=duration.ns) if duration else pb.StatisticDuration()
