"""Indexes that a command needs: those that are missing are made first."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from zfscope.cli.index import Passes, make_index
from zfscope.errors import InputError

if TYPE_CHECKING:
    from zfscope.scan import DataSet, ScanPlan
    from zfscope.store import Model, ModelStore


# Puts the indexes that a command needs elsewhere; its --out is where the results go.
OPTION = "--indexes"


def make_missing(
    models: "ModelStore",
    final: "Model",
    photos: "DataSet",
    base: str,
    plan: "ScanPlan",
    epochs: Sequence[int],
    passes: Passes,
) -> None:
    """Make the indexes that are missing: `base` of the final weights, and one of each epoch.

    Those of epochs are of the plan's layers that checkpoints keep. Raises InputError for an index of that
    name of other photos, and NotFound, before any is made, for an epoch that was not kept.
    """
    from zfscope.networks.spec import layers_of_maps
    from zfscope.scan import indexes_folder
    from zfscope.scan.open import epoch_index_name

    for kept_epoch in epochs:
        final.manifest.checkpoint(kept_epoch)
    kept = [layer.name for layer in layers_of_maps(final.spec).layers]
    early = replace(plan, layers=tuple(layer for layer in plan.layers if layer in kept))
    for epoch in (None, *(epochs if early.layers else ())):
        target = indexes_folder(final) / (base if epoch is None else epoch_index_name(base, epoch))
        if target.exists():
            _check_photos(target, photos)
        elif epoch is None:
            make_index(final, photos, plan, target, passes=passes, option=OPTION)
        else:
            then = models.load_checkpoint(final.name, epoch, final.version)
            stage = f"photos, epoch {epoch}"
            make_index(then, photos, early, target, passes=passes, stage=stage, option=OPTION)


def _check_photos(target: Path, photos: "DataSet") -> None:
    from zfscope.scan.open import read_manifest

    if read_manifest(target).origin.data.fingerprint != photos.fingerprint:
        message = f"'{target}' is an index of other photos: give another --index, or remove that folder"
        raise InputError(message, field="index")
