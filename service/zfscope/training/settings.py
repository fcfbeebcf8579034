"""The settings of a training session, and their checks."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from zfscope.errors import InputError, NotFound, RuntimeUnavailable
from zfscope.networks import NETWORKS
from zfscope.store import Model
from zfscope.store.manifest import NAME_PATTERN

# Largest seed of torch's generators.
_MAX_SEED = 2**63 - 1


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of a training session.

    data: data set of training photos. out: folder of the run. name: name of the model in the store.
    validation: data set on which the accuracy is measured after every epoch. classes: expected number of
    classes; None accepts any. hidden: number of units of fc6 and fc7. source: model to start from: with its
    network, or with the `network` and `hidden` of these settings if `new_network`. teacher: model to learn
    from as well. recipe: default: `fine-tune` with a source, else `modern`. checkpoints: epochs
    after which to keep the convolutional layers, in addition to the last. labels: human-readable class names,
    by folder name.
    """

    data: Path
    out: Path
    name: str
    validation: Path | None = None
    network: str = "zfnet"
    classes: int | None = None
    hidden: int = 4096
    source: Model | None = None
    new_network: bool = False
    teacher: Model | None = None
    recipe: str = ""
    epochs: int = 60
    checkpoints: tuple[int, ...] = ()
    seed: int = 0
    device: str = "cpu"
    labels: Mapping[str, str] | None = None

    @property
    def recipe_name(self) -> str:
        """The recipe, or its default."""
        return self.recipe or ("modern" if self.source is None else "fine-tune")


def check_settings(settings: TrainingSettings) -> None:
    """Raise InputError, NotFound or RuntimeUnavailable for the first setting that is not valid."""
    if settings.network not in NETWORKS:
        message = f"unknown network '{settings.network}'; available: {', '.join(NETWORKS)}"
        raise NotFound(message, field="network")
    if not re.fullmatch(NAME_PATTERN, settings.name):
        raise InputError(
            f"name '{settings.name}' must match {NAME_PATTERN}; choose another --name", field="name"
        )
    if settings.epochs < 1 or settings.hidden < 1:
        raise InputError(
            f"epochs is {settings.epochs} and hidden is {settings.hidden}; both must be at least 1",
            field="epochs",
        )
    if not 0 <= settings.seed <= _MAX_SEED:
        raise InputError(f"seed is {settings.seed}; allowed: 0 to {_MAX_SEED}", field="seed")
    _check_checkpoints(settings)
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise RuntimeUnavailable("device 'cuda' is not available: torch finds no CUDA GPU", field="device")


def _check_checkpoints(settings: TrainingSettings) -> None:
    invalid = [epoch for epoch in settings.checkpoints if not 1 <= epoch <= settings.epochs]
    if invalid:
        message = f"checkpoints contains epoch {invalid[0]}; allowed: 1 to {settings.epochs}"
        raise InputError(message, field="checkpoints")
