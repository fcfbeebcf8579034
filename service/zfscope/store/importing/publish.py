"""An imported network as a model of the store: labels, model card, all of it or nothing."""

from collections.abc import Mapping
from pathlib import Path

from zfscope.errors import InputError
from zfscope.store.importing.imported import ImportedModel
from zfscope.store.manifest import Label, Manifest, Provenance
from zfscope.store.write import check_available, write_model

_TOLD = 20
"""So many classes are named on a model card."""


def publish(
    store: Path,
    name: str,
    imported: ImportedModel,
    *,
    provenance: Provenance,
    names: Mapping[str, str] | None = None,
    version: int = 1,
    preprocessing_assumed: bool = False,
) -> Path:
    """Add an imported network to the store, in half precision, and give its folder.

    names: of the classes by their ids, in the order of the scores; None numbers them. preprocessing_assumed:
    whether it is no more than what the network's definition does to photos. Raises InputError
    where they are not one for each class, and where the model is there already.
    """
    check_available(store, name, version)
    manifest = Manifest(
        name=name,
        version=version,
        summary=imported.summary,
        network=imported.network.spec,
        preprocessing=imported.preprocessing,
        preprocessing_assumed=preprocessing_assumed,
        labels=_labels(imported.classes, names),
        provenance=provenance,
    )
    card = model_card(manifest, imported.notes).encode()
    return write_model(store, manifest, imported.network, extra_files={"README.md": card})


def _labels(classes: int, names: Mapping[str, str] | None) -> tuple[Label, ...]:
    if names is None:
        return tuple(Label(id=str(number), name=f"class {number}") for number in range(classes))
    if len(names) != classes:
        raise InputError(
            f"{len(names)} labels for a network of {classes} classes: one for each, in their order",
            field="labels",
        )
    return tuple(Label(id=label, name=name) for label, name in names.items())


def model_card(manifest: Manifest, notes: tuple[str, ...]) -> str:
    """Write the card of an imported model as Markdown."""
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
            f"Input: short side {steps.short_side}, crop {steps.crop}, {steps.channels} minus {mean}, "
            f"divided by {std}. Weights are stored in half precision.\n",
            *(f"{note}\n" for note in notes),
            "Its accuracy was not measured here.\n",
        ]
    )


def _levels(values: tuple[float, ...] | str) -> str:
    return values if isinstance(values, str) else f"({', '.join(f'{value:g}' for value in values)})"


def _classes(labels: tuple[Label, ...]) -> str:
    if not labels:
        return "none; it ends in feature maps, and can be looked into but does not classify"
    told = ", ".join(label.name for label in labels[:_TOLD])
    return f"{told} and {len(labels) - _TOLD:,} more" if len(labels) > _TOLD else told
