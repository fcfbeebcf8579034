"""Public API for authors of analyzers; the names in this module are stable.

    from zfscope.plugin import Analysis, Context, Model

The contract is `zfscope.analysis.contract`, with an example, the needs of analyzers, and what a tensor named
`attribution` means;
examples/zfscope-gradcam is a complete package.
"""

from zfscope.analysis.classification import softmax
from zfscope.analysis.contract import (
    API_VERSION,
    ATTRIBUTION,
    Analysis,
    Analyzer,
    Context,
    Need,
    Notice,
    Picture,
    RunsOthers,
    Subanalysis,
    Table,
    array,
    check_classifies,
    class_number,
    images_of,
    picture,
)
from zfscope.analysis.run import run
from zfscope.engine.deconvnet import project
from zfscope.engine.seeds import Unit, activation, strongest_unit, strongest_units
from zfscope.engine.trace import Trace, trace
from zfscope.errors import Cancelled, InputError, NotFound, TooMuchWork, ZfscopeError
from zfscope.images.fill import FILL_PATTERN, fill_input
from zfscope.images.geometry import Box, Geometry
from zfscope.images.heat import attribution_panel, figure, heat_panel, photo_panel
from zfscope.images.preprocess import Prepared
from zfscope.images.render import Rendering
from zfscope.images.tiles import Panel, projection_panel
from zfscope.networks import Network, NetworkSpec
from zfscope.networks.forward import FORWARD
from zfscope.networks.landmarks import DefaultLayers, default_layers
from zfscope.networks.layer import Layer
from zfscope.networks.layers import Activation, MaxPool, ReLU
from zfscope.networks.lookup import list_layers
from zfscope.networks.receptive import receptive_fields
from zfscope.networks.spec import INPUT
from zfscope.rounding import rounding
from zfscope.runtimes import Runtime
from zfscope.store import Label, Model, ModelStore

__all__ = [
    "API_VERSION",
    "ATTRIBUTION",
    "FILL_PATTERN",
    "FORWARD",
    "INPUT",
    "Activation",
    "Analysis",
    "Analyzer",
    "Box",
    "Cancelled",
    "Context",
    "DefaultLayers",
    "Geometry",
    "InputError",
    "Label",
    "Layer",
    "MaxPool",
    "Model",
    "ModelStore",
    "Need",
    "Network",
    "NetworkSpec",
    "NotFound",
    "Notice",
    "Panel",
    "Picture",
    "Prepared",
    "ReLU",
    "Rendering",
    "RunsOthers",
    "Runtime",
    "Subanalysis",
    "Table",
    "TooMuchWork",
    "Trace",
    "Unit",
    "ZfscopeError",
    "activation",
    "array",
    "attribution_panel",
    "check_classifies",
    "check_layer",
    "class_number",
    "default_layers",
    "figure",
    "fill_input",
    "heat_panel",
    "images_of",
    "list_layers",
    "photo_panel",
    "picture",
    "project",
    "projection_panel",
    "receptive_fields",
    "rounding",
    "run",
    "softmax",
    "strongest_unit",
    "strongest_units",
    "trace",
]


def check_layer(spec: NetworkSpec, layer: str, *, field: str = "layer") -> str:
    """Return the full name of a layer that is given by its name or by a unique suffix of it.

    Raises NotFound, with a short list of layers, for an unknown layer, and InputError for a suffix of several
    layers.
    """
    return spec.layer(layer, field=field).name
