"""Analyzers share traces: none writes to one, and results are those without sharing."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from tests.analyzers.test_contract import NEEDED, WithPhotos
from zfscope.analysis.contract import Context
from zfscope.analysis.registry import load_analyzers
from zfscope.analysis.run import read_params, run
from zfscope.analysis.trace_cache import trace_cache
from zfscope.engine.trace import Trace
from zfscope.networks import Network

# Parameters with which an analyzer reaches more code that could write.
MORE = (
    ("project", {"control": True, "rule": "guided", "normalisation": "gradient"}),
    ("occlude", {"control": True, "method": "full"}),
    ("top-k", {"control": True}),
)
ANALYZERS = load_analyzers()


def content_of(traced: Trace) -> str:
    """Return a hash of every byte of a trace."""
    digest = hashlib.sha256()
    for name, tensor in (*traced.outputs.items(), *traced.switches.items()):
        digest.update(name.encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def parameters_of(network: Network) -> str:
    """Return a hash of the weights and biases of a network."""
    return content_of(Trace(network.state_dict(), {}))


@pytest.mark.parametrize(("name", "options"), [*((name, {}) for name in ANALYZERS), *MORE])
def test_no_analyzer_writes_to_a_shared_trace_or_photo(
    name: str,
    options: Mapping[str, object],
    plain_context: Context,
    with_photos: WithPhotos,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The sheet of `explain` shows how long methods take.
    monkeypatch.setattr("zfscope_analyzers.faithfulness.measure.perf_counter", lambda: 0.0)
    analyzer = ANALYZERS[name].analyzer
    alone = replace(with_photos(plain_context, analyzer.photos[0]), pictures=True)
    cache = trace_cache()
    context = replace(alone, tracer=cache.trace, randomiser=cache.randomise)
    controls = [context.control(layer) for layer in ("conv5", "relu5")]
    random = [parameters_of(control) for control in controls]
    before = {index: content_of(context.trace(index)) for index in range(len(context.images))}
    photos = [(each.photo.copy(), each.views.copy(), each.pixels.copy()) for each in context.images]
    params = read_params(analyzer, {**NEEDED.get(name, {}), **options})

    shared, expected = run(analyzer, context, params), run(analyzer, alone, params)

    assert {index: content_of(context.trace(index)) for index in before} == before
    assert [parameters_of(control) for control in controls] == random
    for each, (photo, views, pixels) in zip(context.images, photos, strict=True):
        np.testing.assert_array_equal(each.photo, photo)
        np.testing.assert_array_equal(each.views, views)
        np.testing.assert_array_equal(each.pixels, pixels)
    assert shared.tables == expected.tables
    assert [picture.png for picture in shared.pictures] == [picture.png for picture in expected.pictures]
    for tensor, values in expected.tensors.items():
        np.testing.assert_array_equal(shared.tensors[tensor], values)
