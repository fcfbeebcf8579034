"""Stages of a network: its layers 1, 2 and so on, as the paper counts them, and their activations."""

from collections.abc import Sequence

from zfscope.networks.head import layers_of_scores
from zfscope.networks.landmarks import blocks
from zfscope.networks.spec import NetworkSpec, shapes, tensor_shapes


def stages(spec: NetworkSpec, *, has_classes: bool) -> tuple[str, ...]:
    """Return layers 1, 2 and so on: conv1 ... conv5, fc6 and fc7 of ZFNet.

    In a network with branches, the first convolution and the layers that join branches; otherwise all
    convolutions and fully connected layers, or the blocks of an opaque network. has_classes: whether the
    last layer has class scores, which are left out.
    """
    scores = {layer.name for layer in layers_of_scores(spec)} if has_classes else set()
    names = [name for name in blocks(spec) if name not in scores]
    joins = [name for name in names if len(spec.sources[name]) > 1]
    if joins:
        return (*spec.convolutions[:1], *joins)
    if spec.is_opaque:
        return tuple(names)
    return tuple(name for name in names if _is_weighted(spec, name))


def deep_stages(spec: NetworkSpec, *, has_classes: bool, count: int = 3) -> tuple[str, ...]:
    """Return the last stages with maps larger than a pixel: conv3, conv4 and conv5 of ZFNet."""
    known = shapes(spec)
    names = stages(spec, has_classes=has_classes)
    return tuple(name for name in names if len(known[name]) == 3 and max(known[name][1:]) > 1)[-count:]


def rectified_stages(spec: NetworkSpec, *, has_classes: bool) -> tuple[str, ...]:
    """Return the outputs of the stages after their activation functions: relu1 ... relu7 of ZFNet."""
    return tuple(activation_of(spec, stage) for stage in stages(spec, has_classes=has_classes))


def activation_of(spec: NetworkSpec, layer: str) -> str:
    """Return the activation function that is the only reader of a layer, or else the layer.

    Between the two may be a normalisation.
    """
    name = layer
    while len(readers := _readers(spec, name)) == 1:
        name = readers[0]
        if spec.by_name[name].activates:
            return name
        if _is_weighted(spec, name) or spec.by_name[name].window or spec.by_name[name].joins:
            break
    return layer


def _readers(spec: NetworkSpec, name: str) -> Sequence[str]:
    return [layer.name for layer in spec.layers if name in spec.sources[layer.name]]


def _is_weighted(spec: NetworkSpec, name: str) -> bool:
    """Return whether a layer's weights combine maps or units; those of a normalisation are factors."""
    return len(tensor_shapes(spec).get(f"{name}.weight", ())) > 1
