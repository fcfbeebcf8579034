"""Adding an imported network to the store, with labels and a model card; all or nothing."""

from collections.abc import Mapping
from pathlib import Path

from zfscope.errors import InputError
from zfscope.store.importing.imported import ImportedModel, OpaqueNetwork
from zfscope.store.manifest import Label, Manifest, Provenance
from zfscope.store.weights import Precision
from zfscope.store.write import check_available, write_model

# Maximum number of classes named on a model card.
_MAX_NAMED = 20


def publish(
    store: Path,
    name: str,
    imported: ImportedModel,
    *,
    provenance: Provenance,
    names: Mapping[str, str] | None = None,
    version: int = 1,
    preprocessing_assumed: bool = False,
    precision: Precision = "float32",
) -> Path:
    """Add an imported network to the store and return its folder.

    names: class names by class id, in the order of the scores; None numbers the classes.
    preprocessing_assumed: whether the preprocessing is a default that nobody stated. precision: of the stored
    weights. Raises InputError if the number of names is not that of the classes, or if the model already
    exists.
    """
    check_available(store, name, version)
    network = imported.network
    manifest = Manifest(
        name=name,
        version=version,
        summary=imported.summary,
        network=imported.network.spec,
        preprocessing=imported.preprocessing,
        preprocessing_assumed=preprocessing_assumed,
        labels=_labels(imported.classes, names),
        graph=network.info if isinstance(network, OpaqueNetwork) else None,
        provenance=provenance,
    )
    card = model_card(manifest, imported.notes, precision).encode()
    files = {"README.md": card}
    content = network.graph if isinstance(network, OpaqueNetwork) else network
    return write_model(store, manifest, content, extra_files=files, precision=precision)


def _labels(classes: int, names: Mapping[str, str] | None) -> tuple[Label, ...]:
    if names is None:
        return tuple(Label(id=str(number), name=f"class {number}") for number in range(classes))
    if len(names) != classes:
        raise InputError(
            f"{len(names)} labels for a network with {classes} classes; give one label per class, in order",
            field="labels",
        )
    return tuple(Label(id=label, name=name) for label, name in names.items())


def model_card(manifest: Manifest, notes: tuple[str, ...], precision: Precision) -> str:
    """Return the model card of an imported model as Markdown."""
    steps, origin = manifest.preprocessing, manifest.provenance
    mean, std = _levels(steps.mean), _levels(steps.std)
    return "\n".join(
        [
            f"# {manifest.name}, version {manifest.version}\n",
            f"{manifest.summary}.\n",
            "## Where it comes from\n",
            f"{origin.source}.\n",
            f"Trained on: {origin.data or 'not stated'}. Licence of the weights: "
            f"{origin.licence or 'not stated'}; of the data: {origin.data_licence or 'not stated'}.\n",
            "## What it is\n",
            f"Classes: {_classes(manifest.labels)}.\n",
            f"Input: short side {steps.short_side} ({steps.interpolation}), crop {steps.crop}, "
            f"{steps.channels} minus {mean}, divided by {std}. {_stored(manifest, precision)}\n",
            *(f"{note}\n" for note in notes),
            "Its accuracy has not been measured here.\n",
        ]
    )


def _stored(manifest: Manifest, precision: Precision) -> str:
    """Return how the weights are stored, and what follows from it."""
    if manifest.graph is None:
        return f"Weights are stored as {precision}."
    reason = f": {manifest.graph.obstacle}" if manifest.graph.obstacle else ""
    return (
        f"The network is an opaque graph, which ONNX Runtime runs as a whole{reason}. It has no projections "
        "or other analyses that walk through layers."
    )


def _levels(values: tuple[float, ...] | str) -> str:
    return values if isinstance(values, str) else f"({', '.join(f'{value:g}' for value in values)})"


def _classes(labels: tuple[Label, ...]) -> str:
    if not labels:
        return "none; the network ends in feature maps: its layers can be inspected, but it does not classify"
    named = ", ".join(label.name for label in labels[:_MAX_NAMED])
    return f"{named} and {len(labels) - _MAX_NAMED:,} more" if len(labels) > _MAX_NAMED else named
