"""What to train, on what, and how; checked before any work."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from zfscope.errors import InputError, NotFound, RuntimeUnavailable
from zfscope.networks import NETWORKS
from zfscope.store.manifest import NAME_PATTERN

# Seeds that torch's generators take.
_MOST_SEED = 2**63 - 1


@dataclass(frozen=True)
class TrainingSettings:
    """What to train, on what, and how.

    validation: a second data set, whose accuracy is measured after every epoch. classes: None takes the
    folders as they are, a number has to be theirs. hidden: the width of fc6 and fc7. checkpoints: epochs
    after which the conv layers are kept; the last always is. labels: names of the classes for people, by
    folder.
    """

    data: Path
    out: Path
    name: str
    validation: Path | None = None
    network: str = "zfnet"
    classes: int | None = None
    hidden: int = 4096
    recipe: str = "modern"
    epochs: int = 60
    checkpoints: tuple[int, ...] = ()
    seed: int = 0
    device: str = "cpu"
    labels: Mapping[str, str] | None = None


def check_settings(settings: TrainingSettings) -> None:
    """Raise InputError, NotFound or RuntimeUnavailable for the first setting that cannot be used."""
    if settings.network not in NETWORKS:
        raise NotFound(f"no network '{settings.network}'; there are {', '.join(NETWORKS)}", field="network")
    if not re.fullmatch(NAME_PATTERN, settings.name):
        raise InputError(f"name '{settings.name}' must match {NAME_PATTERN}; give a --name", field="name")
    if settings.epochs < 1 or settings.hidden < 1:
        raise InputError(
            f"epochs = {settings.epochs}, hidden = {settings.hidden}; both are at least 1", field="epochs"
        )
    if not 0 <= settings.seed <= _MOST_SEED:
        raise InputError(f"seed is {settings.seed}; allowed is 0 to {_MOST_SEED}", field="seed")
    _check_checkpoints(settings)
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise RuntimeUnavailable("device 'cuda' cannot be used: torch finds no CUDA GPU", field="device")


def _check_checkpoints(settings: TrainingSettings) -> None:
    wrong = [epoch for epoch in settings.checkpoints if not 1 <= epoch <= settings.epochs]
    if wrong:
        message = f"checkpoints name epoch {wrong[0]}; epochs count from 1 to {settings.epochs}"
        raise InputError(message, field="checkpoints")
