"""The optimiser, its learning rate, and a training step."""

import math
from collections.abc import Collection, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from zfscope.networks.network import Network
from zfscope.training.filters import centre_filters, renormalise
from zfscope.training.recipe import Recipe
from zfscope.training.teacher import Lesson, TeacherHead, teaching_loss

# The plateau schedule divides the learning rate by DIVISOR after PATIENCE epochs without a better score.
PATIENCE = 3
DIVISOR = 10.0


class StepLosses(NamedTuple):
    """Losses of a step: of the photos' classes, and what is learnt from a teacher, weighted; 0 without."""

    labels: float
    taught: float


def make_optimizer(
    network: Network, recipe: Recipe, new_layers: Collection[str] = (), head: TeacherHead | None = None
) -> torch.optim.Optimizer:
    """Return the recipe's optimiser; weight decay does not apply to biases and weights per map.

    new_layers: layers whose learning rate is multiplied by the recipe's `new_layer_rate`, like that of the
    head of a teacher's classes.
    """
    groups = [
        {"params": parameters, "weight_decay": decay, "share": rate * new}
        for layers, new in (
            ([layer for name, layer in network.filters.items() if name not in new_layers], 1.0),
            ([layer for name, layer in network.filters.items() if name in new_layers], recipe.new_layer_rate),
        )
        for parameters, decay, rate in (
            ([layer.weight for layer in layers if layer.weight.dim() > 1], recipe.weight_decay, 1.0),
            ([layer.weight for layer in layers if layer.weight.dim() == 1], 0.0, 1.0),
            ([layer.bias for layer in layers if layer.bias is not None], 0.0, recipe.bias_rate),
        )
        if parameters
    ]
    if head is not None:
        decay = recipe.weight_decay
        groups.append({"params": [head.weight], "weight_decay": decay, "share": recipe.new_layer_rate})
        groups.append({"params": [head.bias], "weight_decay": 0.0, "share": recipe.new_layer_rate})
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum)
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=True)


def learning_rate(recipe: Recipe, done: float, epochs: int, scores: Sequence[float]) -> float:
    """Return the learning rate after `done` of `epochs` epochs.

    scores: one score per epoch so far, higher is better; used by the plateau schedule.
    """
    warm = min(1.0, done / recipe.warm_up_epochs) if recipe.warm_up_epochs else 1.0
    if recipe.schedule == "cosine":
        return recipe.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * min(done / epochs, 1.0)))
    return recipe.learning_rate * warm / DIVISOR ** plateaus(scores)


def plateaus(scores: Sequence[float]) -> int:
    """Return how often `PATIENCE` epochs in a row brought no better score."""
    best, waited, count = -math.inf, 0, 0
    for score in scores:
        best, waited = (score, 0) if score > best else (best, waited + 1)
        if waited == PATIENCE:
            count, waited = count + 1, 0
    return count


def train_step(
    network: Network,
    optimizer: torch.optim.Optimizer,
    batch: tuple[Tensor, Tensor],
    *,
    recipe: Recipe,
    rate: float,
    dropout: torch.Generator,
    half: bool,
    kept: Collection[str] = (),
    lesson: Lesson | None = None,
    head: TeacherHead | None = None,
) -> StepLosses:
    """Take one optimiser step on a batch (photos, classes) and return the losses before the step.

    rate: learning rate of the weights. dropout: random generator. half: run the network in bfloat16. kept:
    layers that start from trained filters. lesson: what a teacher says of the batch. head: the class scores
    that learn the teacher's.
    """
    photos, classes = batch
    for group in optimizer.param_groups:
        group["lr"] = rate * group["share"]
    last = network.spec.scores
    layers = {last, *(lesson.maps if lesson else ()), *((head.features,) if head else ())}
    with torch.autocast(photos.device.type, dtype=torch.bfloat16, enabled=half):
        outputs = network.outputs(photos, layers, resize_maps=True, dropout=dropout)
    labels = F.cross_entropy(outputs[last].float(), classes, label_smoothing=recipe.label_smoothing)
    taught = teaching_loss(outputs, lesson, head, recipe.teaching) if lesson else None
    loss = labels if taught is None else recipe.teaching.labels * labels + taught
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]  # untyped in torch
    optimizer.step()
    if recipe.centre_filters:
        centre_filters(network, kept=kept)
    if recipe.filter_rms:
        renormalise(network, recipe.filter_rms)
    return StepLosses(float(labels.detach()), 0.0 if taught is None else float(taught.detach()))
