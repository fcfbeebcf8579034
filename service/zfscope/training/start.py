"""What a training run starts from: a network with random weights, or a model of the store."""

from dataclasses import dataclass

import torch

from zfscope.errors import InputError
from zfscope.images.preprocess import Preprocessing
from zfscope.images.presets import PRESETS
from zfscope.networks import NETWORKS
from zfscope.networks.head import replace_head
from zfscope.networks.lookup import layer_names
from zfscope.networks.network import Network, initialise
from zfscope.networks.resize import resized_shapes
from zfscope.networks.spec import NetworkSpec
from zfscope.networks.transfer import common_layers, same_windows, transfer_filters
from zfscope.store import Model, require_layers
from zfscope.text import one_line
from zfscope.training.recipe import Recipe
from zfscope.training.settings import TrainingSettings


@dataclass(frozen=True, eq=False)
class TrainingStart:
    """The network and the preprocessing of a run.

    source: the model to start from; None for a network with random weights. new_layers: layers of the network
    whose weights the model does not have. transferred: convolutions that start from filters of the model, if
    the network is another one.
    """

    spec: NetworkSpec
    preprocessing: Preprocessing
    source: Model | None = None
    new_layers: frozenset[str] = frozenset()
    transferred: frozenset[str] = frozenset()

    @property
    def kept_layers(self) -> frozenset[str]:
        """Layers that start from weights of the model as it has them."""
        if self.source is None:
            return frozenset()
        return frozenset(layer.name for layer in self.spec.layers) - self.new_layers

    @property
    def identity(self) -> dict[str, str]:
        """The weights and preprocessing of the tuned model; empty for a network with random weights."""
        if self.source is None:
            return {}
        steps = self.preprocessing.model_dump_json(exclude_defaults=True)
        return {"tuned model": f"{self.source.weights_sha256} {steps}"}

    @property
    def tuned_from(self) -> str:
        """Name, version and hash of the tuned model; empty for a network with random weights."""
        if self.source is None:
            return ""
        return f"{self.source.name}:{self.source.version}, weights SHA-256 {self.source.weights_sha256}"


def training_start(settings: TrainingSettings, recipe: Recipe, classes: int) -> TrainingStart:
    """Return what a run starts from.

    Raises InputError if the recipe's mean does not suit it, if the network does not accept the recipe's sizes
    of photos, if it has no convolution, or if it is opaque.
    """
    if settings.source is not None:
        require_layers(settings.source.manifest)
    _check_mean(settings, recipe)
    if settings.source is not None and not settings.source.spec.convolutions:
        message = f"{settings.source.manifest.title} has no convolution; choose a convolutional network"
        raise InputError(message, field="from")
    start = _start(settings, recipe, classes)
    _check_phases(recipe, start)
    return start


def _start(settings: TrainingSettings, recipe: Recipe, classes: int) -> TrainingStart:
    if settings.source is not None and settings.new_network:
        return _other_network(settings, settings.source, classes)
    if settings.source is not None:
        head = replace_head(settings.source.spec, classes)
        return TrainingStart(head.spec, settings.source.preprocessing, settings.source, head.new_layers)
    preprocessing = Preprocessing(mean="image") if recipe.mean == "image" else PRESETS["torchvision"]
    return TrainingStart(NETWORKS[settings.network](classes=classes, hidden=settings.hidden), preprocessing)


def _other_network(settings: TrainingSettings, source: Model, classes: int) -> TrainingStart:
    """Return the start of a network with layers of a model of another architecture."""
    spec = NETWORKS[settings.network](classes=classes, hidden=settings.hidden)
    taken = common_layers(spec, source.spec)
    if not taken:
        message = f"'{settings.network}' and {source.manifest.title} have no convolution of the same name"
        raise InputError(f"{message}; remove --network or --from", field="from")
    if source.spec.input_channels != spec.input_channels or source.preprocessing.crop != spec.input_size:
        raise InputError(
            f"{source.manifest.title} reads {source.spec.input_channels} channels of "
            f"{source.preprocessing.crop} pixels, '{settings.network}' {spec.input_channels} of "
            f"{spec.input_size}; remove --network or --from",
            field="from",
        )
    new = frozenset(layer.name for layer in spec.layers if not same_windows(layer, source.spec))
    return TrainingStart(spec, source.preprocessing, source, new, taken)


def initial_network(start: TrainingStart, settings: TrainingSettings, recipe: Recipe) -> Network:
    """Return the network with its initial weights.

    Raises InputError if it does not fit into memory, and like `layer_names` for the layers in the recipe.
    """
    deviations = _deviations(start.spec, recipe)
    try:
        network = Network(start.spec)
    except (RuntimeError, MemoryError) as error:  # torch's allocator raises the former
        message = f"the network does not fit into memory with --hidden {settings.hidden}: {error}"
        raise InputError(one_line(message), field="hidden") from error
    generator = torch.Generator().manual_seed(settings.seed)
    initialise(network, deviations, generator=generator)
    if start.source is not None:
        arrays = {name: torch.from_numpy(array) for name, array in start.source.weights.arrays().items()}
        if start.transferred:
            transfer_filters(network, arrays, start.transferred)
        else:
            kept = {
                name: array
                for name, array in arrays.items()
                if name.rpartition(".")[0] not in start.new_layers
            }
            network.layers.load_state_dict({**network.layers.state_dict(), **kept})
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stub
    return network.to(settings.device)


def _deviations(spec: NetworkSpec, recipe: Recipe) -> dict[str, float]:
    """Return the recipe's initial deviations by full names of layers, and by "*"."""
    named = {name: value for name, value in recipe.initial_deviation.items() if name != "*"}
    others = {name: value for name, value in recipe.initial_deviation.items() if name == "*"}
    names = layer_names(spec, tuple(named), field="recipe.initial_deviation")
    return dict(zip(names, named.values(), strict=True)) | others


def _check_mean(settings: TrainingSettings, recipe: Recipe) -> None:
    """Raise InputError unless the recipe takes the model's preprocessing exactly if a model is tuned."""
    name = settings.recipe_name
    if settings.source is not None and recipe.mean != "model":
        raise InputError(
            f"recipe '{name}' has mean = \"{recipe.mean}\", but a tuned model keeps its preprocessing; use "
            "recipe 'fine-tune' or one with mean = \"model\"",
            field="recipe",
        )
    if settings.source is None and recipe.mean == "model":
        raise InputError(
            f"recipe '{name}' fine-tunes a model, but none is given; name it with --from, or choose another "
            "recipe",
            field="recipe",
        )


def _check_phases(recipe: Recipe, start: TrainingStart) -> None:
    own = start.preprocessing.crop
    for size in (phase.size or own for phase in recipe.phases):
        if recipe.mean == "model" and start.preprocessing.mean == "image" and size != own:
            raise InputError(
                f"photos of {size} pixels do not fit the mean image that the model subtracts; use a recipe "
                f"without sizes, or with size {own} only",
                field="recipe",
            )
        try:
            resized_shapes(start.spec, size)
        except ValueError as error:
            raise InputError(
                f"photos of {size} pixels do not fit the network: {error}; change the sizes in the recipe",
                field="recipe",
            ) from error
