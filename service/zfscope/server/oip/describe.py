"""What models and analyzers read and give, in the protocol's words."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from zfscope.images.tensors import SCALES
from zfscope.inference import inference_pb2 as pb
from zfscope.networks.layers import Shape
from zfscope.server.backend import Backend
from zfscope.server.oip.analyzers import ANALYSIS, PICTURES
from zfscope.server.oip.inputs import INPUT, PHOTOS
from zfscope.server.oip.models import outputs_of
from zfscope.server.oip.parameters import TENSOR_SCALE, Target
from zfscope.store import Manifest

_ANY = -1
_TYPES: Mapping[str, pb.DataType.ValueType] = {"FP32": pb.TYPE_FP32, "BYTES": pb.TYPE_STRING}
Metadata = pb.ModelMetadataResponse.TensorMetadata


@dataclass(frozen=True)
class Tensor:
    """A tensor that is read or given; shape: without the batch."""

    name: str
    datatype: str
    shape: Shape


@dataclass(frozen=True)
class Description:
    """A model as the protocol knows it. images: the most in a batch, 0 where there is none."""

    name: str
    version: int
    platform: str
    images: int
    reads: tuple[Tensor, ...]
    gives: tuple[Tensor, ...]
    parameters: Mapping[str, str] = field(default_factory=dict)


def metadata(backend: Backend, target: Target) -> pb.ModelMetadataResponse:
    """Answer a ModelMetadata. Blocks; no weights are loaded."""
    found = describe(backend, target)
    model = found.name.partition("/")[0]
    versions = sorted(known.version for known in backend.models.store.manifests() if known.name == model)
    return pb.ModelMetadataResponse(
        name=found.name,
        versions=[str(version) for version in versions],
        platform=found.platform,
        inputs=_metadata(found.reads, batch=found.images > 0),
        outputs=_metadata(found.gives, batch=found.images > 0),
    )


def config(backend: Backend, target: Target) -> pb.ModelConfigResponse:
    """Answer a ModelConfig. Blocks; no weights are loaded."""
    found = describe(backend, target)
    layout = {INPUT: pb.ModelInput.FORMAT_NCHW}
    return pb.ModelConfigResponse(
        config=pb.ModelConfig(
            name=found.name,
            platform=found.platform,
            max_batch_size=found.images,
            input=[
                pb.ModelInput(
                    name=tensor.name,
                    data_type=_TYPES[tensor.datatype],
                    format=layout.get(tensor.name, pb.ModelInput.FORMAT_NONE),
                    dims=tensor.shape,
                )
                for tensor in found.reads
            ],
            output=[
                pb.ModelOutput(name=tensor.name, data_type=_TYPES[tensor.datatype], dims=tensor.shape)
                for tensor in found.gives
            ],
            parameters={
                name: pb.ModelParameter(string_value=value) for name, value in found.parameters.items()
            },
        )
    )


def describe(backend: Backend, target: Target) -> Description:
    """Describe a model, or an analyzer of it. Raises NotFound for one that there is not."""
    manifest = backend.models.manifest(target.model, target.version)
    return _analyzer(backend, target, manifest) if target.analyzer else _model(backend, manifest)


def _model(backend: Backend, manifest: Manifest) -> Description:
    network, outputs = manifest.network, outputs_of(manifest)
    (first, shape), *others = outputs.items()
    side = (network.input_channels, network.input_size, network.input_size)
    return Description(
        name=manifest.name,
        version=manifest.version,
        platform="zfscope_safetensors",
        images=backend.settings.max_images,
        reads=(Tensor(INPUT, "FP32", side),),
        gives=(Tensor(first, "FP32", shape),),
        parameters={
            "inputs": PHOTOS,
            TENSOR_SCALE: ",".join(SCALES),
            "outputs": ",".join(name for name, _ in others if name != first),
            "analyzers": ",".join(backend.registry),
        },
    )


def _analyzer(backend: Backend, target: Target, manifest: Manifest) -> Description:
    analyzer = backend.registry.analyzer(target.analyzer)
    photos = (Tensor(PHOTOS, "BYTES", (_ANY,)),) if analyzer.photos[1] else ()
    return Description(
        name=target.title(manifest.name),
        version=manifest.version,
        platform="zfscope_analyzer",
        images=0,
        reads=photos,
        gives=(Tensor(PICTURES, "BYTES", (_ANY,)), Tensor(ANALYSIS, "BYTES", (1,))),
        parameters={
            **({"inputs": INPUT} if photos else {}),
            "parameters_schema": json.dumps(analyzer.params.model_json_schema()),
        },
    )


def _metadata(tensors: Iterable[Tensor], *, batch: bool) -> list[Metadata]:
    free = (_ANY,) if batch else ()
    return [
        Metadata(name=tensor.name, datatype=tensor.datatype, shape=(*free, *tensor.shape))
        for tensor in tensors
    ]
