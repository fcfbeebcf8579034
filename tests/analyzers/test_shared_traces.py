"""Analyzers share traces: none writes to one, and results are those without sharing."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.analyzers.test_contract import NEEDED, WithPhotos
from zfscope.analysis.contract import Context
from zfscope.analysis.registry import load_analyzers
from zfscope.analysis.run import read_params, run
from zfscope.analysis.trace_cache import trace_cache
from zfscope.engine.trace import Trace
from zfscope.store import Model

# Parameters with which an analyzer reaches more code that could write.
MORE = (
    ("project", {"control": True, "rule": "guided", "normalisation": "gradient"}),
    ("occlude", {"control": True, "method": "full"}),
)
ANALYZERS = load_analyzers()


@dataclass
class RecordingTracer:
    """Source of traces from a cache, which remembers them."""

    source: Callable[[Model, NDArray[np.float32], str | None], Trace]
    traces: list[Trace] = field(default_factory=list)

    def __call__(self, model: Model, pixels: NDArray[np.float32], until: str | None) -> Trace:
        self.traces.append(self.source(model, pixels, until))
        return self.traces[-1]


def content_of(traced: Trace) -> str:
    """Return a hash of every byte of a trace."""
    digest = hashlib.sha256()
    for name, tensor in (*traced.outputs.items(), *traced.switches.items()):
        digest.update(name.encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize(("name", "options"), [*((name, {}) for name in ANALYZERS), *MORE])
def test_no_analyzer_writes_to_a_shared_trace_or_photo(
    name: str, options: Mapping[str, object], plain_context: Context, with_photos: WithPhotos
) -> None:
    analyzer = ANALYZERS[name].analyzer
    alone = replace(with_photos(plain_context, analyzer.photos[0]), pictures=True)
    tracer = RecordingTracer(trace_cache().trace)
    context = replace(alone, tracer=tracer)
    before = {index: content_of(context.trace(index)) for index in range(len(context.images))}
    photos = [(each.photo.copy(), each.views.copy(), each.pixels.copy()) for each in context.images]
    params = read_params(analyzer, {**NEEDED.get(name, {}), **options})

    shared, expected = run(analyzer, context, params), run(analyzer, alone, params)

    assert {index: content_of(context.trace(index)) for index in before} == before
    for each, (photo, views, pixels) in zip(context.images, photos, strict=True):
        np.testing.assert_array_equal(each.photo, photo)
        np.testing.assert_array_equal(each.views, views)
        np.testing.assert_array_equal(each.pixels, pixels)
    assert shared.tables == expected.tables
    assert [picture.png for picture in shared.pictures] == [picture.png for picture in expected.pictures]
    for tensor, values in expected.tensors.items():
        np.testing.assert_array_equal(shared.tensors[tensor], values)
