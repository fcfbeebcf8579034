"""Methods that explain a class by the maps of a layer."""

from pydantic import Field
from torch.nn.functional import interpolate

from zfscope.plugin import InputError, Model, check_layer, default_layers, list_layers
from zfscope_captum.analysis import Attributed, Call, CaptumAnalyzer, CaptumParams, summed
from zfscope_captum.module import leading_to_scores


class LayerParams(CaptumParams):
    """The class, and the layer whose maps explain it."""

    layer: str = Field(
        default="",
        description="Layer of feature maps below the class scores. Empty: the activation after the last "
        "convolution.",
    )


class _LayerMethod(CaptumAnalyzer[LayerParams]):
    params = LayerParams

    def check(self, model: Model, params: LayerParams) -> None:
        layer_with_maps(model, params.layer)


class LayerGradCam(_LayerMethod):
    """Grad-CAM (Selvaraju et al. 2017). `attribution` is the map, enlarged bilinearly to the crop."""

    name = "captum-layer-grad-cam"
    summary = "Where the evidence for a class lies: Grad-CAM (Captum)"
    title = "Grad-CAM"

    def cost(self, model: Model, params: LayerParams) -> int:
        """Return two forward passes and a backward pass."""
        return 3

    def attribute(self, call: Call[LayerParams]) -> Attributed:
        """Call Captum."""
        from captum.attr import LayerGradCam as Method

        layer = call.module.layer(layer_with_maps(call.context.model, call.params.layer))
        values = (
            Method(call.module, layer).attribute(call.images, call.target, relu_attributions=True).detach()
        )
        size = call.images.shape[-2:]
        enlarged = interpolate(values, size=size, mode="bilinear", align_corners=False)
        return Attributed(values[0], enlarged[0, 0])


class GuidedGradCam(_LayerMethod):
    """Guided Grad-CAM: guided backpropagation times the enlarged map of Grad-CAM (Selvaraju et al. 2017).

    Captum guides at ReLUs; other activations keep their gradients.
    """

    name = "captum-guided-grad-cam"
    summary = "Which pixels support a class, where Grad-CAM finds evidence: guided Grad-CAM (Captum)"
    title = "Guided Grad-CAM"

    def cost(self, model: Model, params: LayerParams) -> int:
        """Return three forward passes and two backward passes."""
        return 5

    def attribute(self, call: Call[LayerParams]) -> Attributed:
        """Call Captum."""
        from captum.attr import GuidedGradCam as Method

        layer = call.module.layer(layer_with_maps(call.context.model, call.params.layer))
        values = Method(call.module, layer).attribute(call.images, call.target)
        return Attributed(values[0], summed(values))


def layer_with_maps(model: Model, name: str) -> str:
    """Return the full name of a layer, or of the default layer if the name is empty.

    Raises NotFound or InputError unless the layer has maps and leads to the class scores.
    """
    spec, shapes = model.network.spec, model.network.shapes
    layer = check_layer(spec, name or default_layers(spec).last_activation)
    if len(shapes[layer]) != 3:
        with_maps = [step.name for step in spec.layers if len(shapes[step.name]) == 3]
        allowed = list_layers(spec, with_maps)
        raise InputError(f"layer '{layer}' has no maps; layers with maps: {allowed}", field="layer")
    if layer not in leading_to_scores(spec):
        raise InputError(f"layer '{layer}' does not lead to the class scores", field="layer")
    return layer
