"""Inputs and outputs of models and analyzers, as protocol metadata. No weights are loaded."""

import json
from collections.abc import Iterable, Mapping

from zfscope.images.tensors import SCALES
from zfscope.inference import inference_pb2 as pb
from zfscope.server.backend import Backend
from zfscope.server.oip.analyzers import ANALYSIS, PICTURES
from zfscope.server.oip.inputs import INPUT, PHOTOS
from zfscope.server.oip.models import outputs_of
from zfscope.server.oip.parameters import TENSOR_SCALE, InferTarget
from zfscope.store import Manifest

_ANY = -1
_DATATYPES: Mapping[int, str] = {pb.TYPE_FP32: "FP32", pb.TYPE_STRING: "BYTES"}
Metadata = pb.ModelMetadataResponse.TensorMetadata


def metadata(backend: Backend, target: InferTarget) -> pb.ModelMetadataResponse:
    """Handle a ModelMetadata call. Blocks."""
    described = _config(backend, target)
    model, batch = described.name.partition("/")[0], (_ANY,) if described.max_batch_size else ()
    versions = sorted(known.version for known in backend.models.store.manifests() if known.name == model)

    def tensors(fields: Iterable[pb.ModelInput | pb.ModelOutput]) -> list[Metadata]:
        return [
            Metadata(name=each.name, datatype=_DATATYPES[each.data_type], shape=(*batch, *each.dims))
            for each in fields
        ]

    return pb.ModelMetadataResponse(
        name=described.name,
        versions=[str(version) for version in versions],
        platform=described.platform,
        inputs=tensors(described.input),
        outputs=tensors(described.output),
    )


def config(backend: Backend, target: InferTarget) -> pb.ModelConfigResponse:
    """Handle a ModelConfig call. Blocks."""
    return pb.ModelConfigResponse(config=_config(backend, target))


def _config(backend: Backend, target: InferTarget) -> pb.ModelConfig:
    """Describe a model, or an analyzer of it. Raises NotFound for one that does not exist."""
    manifest = backend.models.manifest(target.model, target.version)
    return _analyzer(backend, target, manifest) if target.analyzer else _model(backend, manifest)


def _model(backend: Backend, manifest: Manifest) -> pb.ModelConfig:
    network, outputs = manifest.network, outputs_of(manifest)
    (first, shape), *others = outputs.items()
    side = (network.input_channels, network.input_size, network.input_size)
    parameters = {
        "inputs": PHOTOS,
        TENSOR_SCALE: ",".join(SCALES),
        "outputs": ",".join(name for name, _ in others if name != first),
        "analyzers": ",".join(backend.registry),
        "precision": backend.settings.precision.value,
    }
    return pb.ModelConfig(
        name=manifest.name,
        platform="zfscope_onnx" if manifest.graph else "zfscope_safetensors",
        max_batch_size=backend.settings.max_images,
        input=[
            pb.ModelInput(name=INPUT, data_type=pb.TYPE_FP32, format=pb.ModelInput.FORMAT_NCHW, dims=side)
        ],
        output=[pb.ModelOutput(name=first, data_type=pb.TYPE_FP32, dims=shape)],
        parameters=_parameters(parameters),
    )


def _analyzer(backend: Backend, target: InferTarget, manifest: Manifest) -> pb.ModelConfig:
    analyzer = backend.registry.analyzer(target.analyzer)
    photos = [pb.ModelInput(name=PHOTOS, data_type=pb.TYPE_STRING, dims=(_ANY,))]
    takes_photos = analyzer.photos[1] > 0
    parameters = {
        **({"inputs": INPUT} if takes_photos else {}),
        "parameters_schema": json.dumps(analyzer.params.model_json_schema()),
    }
    return pb.ModelConfig(
        name=target.title(manifest.name),
        platform="zfscope_analyzer",
        input=photos if takes_photos else [],
        output=[
            pb.ModelOutput(name=PICTURES, data_type=pb.TYPE_STRING, dims=(_ANY,)),
            pb.ModelOutput(name=ANALYSIS, data_type=pb.TYPE_STRING, dims=(1,)),
        ],
        parameters=_parameters(parameters),
    )


def _parameters(values: Mapping[str, str]) -> dict[str, pb.ModelParameter]:
    return {name: pb.ModelParameter(string_value=value) for name, value in values.items()}
