"""Build the indexes that a command needs and that do not exist yet."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from zfscope.cli.forward import ForwardOptions
from zfscope.cli.index import build_index_with_progress
from zfscope.errors import InputError

if TYPE_CHECKING:
    from zfscope.scan import DataSet, ScanPlan
    from zfscope.store import Model, ModelStore


# Option that sets the folder of the indexes in these commands; --out is the folder of the results.
OPTION = "--indexes"


def build_missing_indexes(
    models: "ModelStore",
    final: "Model",
    photos: "DataSet",
    base: str,
    plan: "ScanPlan",
    epochs: Sequence[int],
    forward: ForwardOptions,
) -> None:
    """Build the missing indexes: `base` for the final weights, and one for each epoch.

    Indexes of epochs contain the plan's layers that checkpoints store. Raises InputError if an index of that
    name holds other photos, and NotFound, before building any, for an epoch without a checkpoint.
    """
    from zfscope.networks.spec import convolutional_part
    from zfscope.scan import indexes_folder
    from zfscope.scan.open import epoch_index_name

    for stored_epoch in epochs:
        final.manifest.checkpoint(stored_epoch)
    kept = [layer.name for layer in convolutional_part(final.spec).layers]
    early = replace(plan, layers=tuple(layer for layer in plan.layers if layer in kept))
    for epoch in (None, *(epochs if early.layers else ())):
        target = indexes_folder(final) / (base if epoch is None else epoch_index_name(base, epoch))
        if target.exists():
            _check_photos(target, photos)
        elif epoch is None:
            build_index_with_progress(final, photos, plan, target, forward=forward, option=OPTION)
        else:
            then = models.load_checkpoint(final.name, epoch, final.version)
            stage = f"photos, epoch {epoch}"
            build_index_with_progress(
                then, photos, early, target, forward=forward, stage=stage, option=OPTION
            )


def _check_photos(target: Path, photos: "DataSet") -> None:
    from zfscope.scan.open import read_manifest

    if read_manifest(target).origin.data.fingerprint != photos.fingerprint:
        message = f"'{target}' is an index of other photos; choose another --index or remove that folder"
        raise InputError(message, field="index")
