"""Results of a service on a GPU, compared with one on the CPU."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from zfscope.client import Client
from zfscope.server.settings import Settings

Analyze = Callable[[Client, bytes], Any]


def probabilities(client: Client, photo: bytes) -> Any:
    return [score.probability for score in client.classify(photo).classes]


def projections(client: Client, photo: bytes) -> Any:
    answer = client.project(photo, layer="conv5", top=4, tensors=True, control=True)
    return [projection.tensor for projection in answer.projections]


def occlusion(client: Client, photo: bytes) -> Any:
    return client.occlude(photo, window=8, stride=8, tensors=True).classes[0].values


def occlusion_by_full_passes(client: Client, photo: bytes) -> Any:
    return client.occlude(photo, window=8, stride=8, tensors=True, method="full").classes[0].values


def invariance(client: Client, photo: bytes) -> Any:
    answer = client.measure_invariance([photo], transformations=["rotation"], layers=["relu1", "relu5"])
    return [layer.distances for layer in answer.photos[0].curves[0].layers]


@pytest.mark.gpu
@pytest.mark.parametrize("runtime", ["onnx", "torch"])
@pytest.mark.parametrize(
    "analyze", [probabilities, projections, occlusion, occlusion_by_full_passes, invariance]
)
def test_results_on_the_gpu_match_the_cpu(
    client: Client,
    make_service: Callable[..., Any],
    settings: Settings,
    photo: bytes,
    analyze: Analyze,
    runtime: str,
) -> None:
    service = make_service(settings.model_copy(update={"device": "cuda", "runtime": runtime}))
    service.warm_up()
    with Client(service.address) as gpu_client:
        np.testing.assert_allclose(analyze(gpu_client, photo), analyze(client, photo), rtol=1e-3, atol=1e-4)
