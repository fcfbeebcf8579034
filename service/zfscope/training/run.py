"""A training run: a folder with state, history and checkpoints, which can be resumed after a kill."""

import json
import math
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import BaseModel, ValidationError
from safetensors.torch import save

from zfscope.errors import InputError
from zfscope.files import make_folder, replacing, write_file
from zfscope.networks.network import Network
from zfscope.networks.spec import NetworkSpec, convolutional_part, tensor_shapes
from zfscope.runtimes.precision import has_bfloat16
from zfscope.training.batches import Batches
from zfscope.training.evaluate import MeasuredAccuracy
from zfscope.training.filters import dead_maps, filter_report
from zfscope.training.optimise import learning_rate, make_optimizer, train_step
from zfscope.training.recipe import Phase, Recipe
from zfscope.training.teacher import Teacher, TeacherHead

SAVE_EVERY_S = 300.0
# Key of the class names, as JSON, in a run's identity.
LABELS = "labels"
# Number of photos used to find dead maps after each epoch.
WATCHED_PHOTOS = 64
# A loss within this fraction of ln(classes) after an epoch counts as no progress.
PLATEAU_MARGIN = 0.02

_Model = TypeVar("_Model", bound=BaseModel)


@dataclass
class TrainingProgress:
    """Progress of a run.

    epoch: epochs done. step: steps done in the current epoch. loss_sum: sum of their losses. taught_sum: sum
    of their losses of what is learnt from a teacher. history: a row of metrics per epoch.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    taught_sum: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)


@dataclass(frozen=True)
class TrainingCallbacks:
    """Callbacks of a training run.

    photos: called after each step with the numbers of photos in the step and left in the run. epoch: called
    after each epoch with its row of history. warn: called with warnings.
    """

    photos: Callable[[int, int], None]
    epoch: Callable[[dict[str, float]], None]
    warn: Callable[[str], None]


class TrainingRun:
    """A network in training, and the folder with its `state.pt`, `history.json` and `checkpoints/`."""

    def __init__(
        self,
        folder: Path,
        network: Network,
        batches: Batches,
        epochs: int,
        *,
        data: Mapping[str, str] | None = None,
        new_layers: Collection[str] = (),
        kept_layers: Collection[str] = (),
        teacher: Teacher | None = None,
    ) -> None:
        """Create the folder of the run.

        data: identity of photos, classes and tuned model; a saved run is resumed only if it is unchanged.
        new_layers: layers of a tuned model that are trained with the rate of new layers.
        kept_layers: layers that start from trained filters, which are not centred. teacher: model that the
        network learns from as well.
        """
        self.folder, self.network, self.batches, self.epochs = folder, network, batches, epochs
        self._data = dict(data or {})
        self.progress = TrainingProgress()
        self._device = next(network.parameters()).device
        self._kept = frozenset(kept_layers)
        self._teacher, self._head = teacher, self._teacher_head(teacher)
        self.optimizer = make_optimizer(network, batches.recipe, new_layers, self._head)
        make_folder(folder / "checkpoints")

    @property
    def _identity(self) -> dict[str, Any]:
        return {
            "network": self.network.spec.fingerprint,
            "recipe": self.batches.recipe.model_dump_json(),
            "epochs": self.epochs,
            "seed": self.batches.seed,
            "photos": len(self.batches.targets),
            **self._data,
        }

    def save(self) -> None:
        """Write the state atomically: after a kill, either the old or the new state is there."""
        state = {
            "identity": self._identity,
            "progress": vars(self.progress),
            "network": self.network.layers.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        if self._head is not None:
            state["teacher_head"] = self._head.state_dict()
        with replacing(self.folder / "state.pt", durable=True) as file:
            torch.save(state, file)

    def resume(self, *, warn: Callable[[str], None] = lambda message: None) -> bool:
        """Restore the saved state; return whether one exists.

        warn: called if an older version saved the state without a record of the photos. Raises InputError if
        the folder holds a run with other settings or photos, or a damaged state.
        """
        path = self.folder / "state.pt"
        if not path.exists():
            return False
        state = self._read_state(path)
        self._check_identity(state["identity"])
        if self._data.keys() - state["identity"].keys():
            warn(
                f"the run in '{self.folder}' was started by an older version, which did not record its "
                "photos; make sure that photos and classes have not changed"
            )
        try:
            self.network.layers.load_state_dict(state["network"])
            self.optimizer.load_state_dict(state["optimizer"])
            if self._head is not None:
                self._head.load_state_dict(state["teacher_head"])
            self.progress = TrainingProgress(**state["progress"])
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise self._damaged(path) from error
        return True

    def _read_state(self, path: Path) -> dict[str, Any]:
        """Read a saved state. Raises InputError if the file is damaged or not a state."""
        with path.open("rb"):  # an unreadable file raises OSError here, rather than being reported as damaged
            pass
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            complete = {"identity", "progress", "network", "optimizer"} <= state.keys()
        except MemoryError:
            raise
        except Exception as error:  # torch has no common class; truncated files raise OSError
            raise self._damaged(path) from error
        if not complete:
            raise self._damaged(path)
        return state

    def _damaged(self, path: Path) -> InputError:
        message = f"'{path}' is damaged or not the state of a run; to start again, remove '{self.folder}'"
        return InputError(message, field="out")

    def _check_identity(self, saved: Mapping[str, Any]) -> None:
        own, saved = self._identity, _current_form(saved)
        # Older versions did not save the identity of the photos.
        comparable = [name for name in {**own, **saved} if name in saved or name not in self._data]
        differing = [
            _difference(name, saved.get(name), own.get(name))
            for name in comparable
            if saved.get(name) != own.get(name)
        ]
        if differing:
            raise InputError(
                f"'{self.folder}' holds a run that differs in {', '.join(differing)}; "
                "use the same settings to resume it, or choose another folder",
                field="out",
            )

    def run(
        self,
        *,
        checkpoints: frozenset[int],
        validate: Callable[[int], MeasuredAccuracy] | None,
        callbacks: TrainingCallbacks,
    ) -> None:
        """Train to the last epoch.

        checkpoints: epochs after which to keep the convolutional layers, in addition to the last. validate:
        returns the validation accuracy with photos of the given size in pixels. Raises InputError if the
        loss is not finite after an epoch.
        """
        while self.progress.epoch < self.epochs:
            started = time.monotonic()
            first_step = self.progress.step
            self._train_epoch(callbacks)
            self._check_loss()
            seconds = time.monotonic() - started
            row = self._finish_epoch(validate, seconds / max(1, self.batches.steps - first_step))
            if self.progress.epoch in checkpoints | {self.epochs}:
                self._keep_checkpoint()
            self.save()
            write_file(self.folder / "history.json", self.history_json())
            callbacks.epoch(row)
            self._warn_of_plateau(row, callbacks)

    def history_json(self) -> bytes:
        """Return the contents of `history.json`: the rows of all epochs."""
        return json.dumps(self.progress.history, indent=1).encode()

    @property
    def _phase(self) -> Phase:
        return self.batches.recipe.phase(self.progress.epoch / self.epochs)

    def _train_epoch(self, callbacks: TrainingCallbacks) -> None:
        progress, recipe = self.progress, self.batches.recipe
        half = has_bfloat16(self._device)
        saved = time.monotonic()
        for photos, classes in self.batches.epoch(progress.epoch, self._phase, first_step=progress.step):
            photos = photos.to(self._device)
            losses = train_step(
                self.network,
                self.optimizer,
                (photos, classes.to(self._device)),
                recipe=recipe,
                rate=self._rate(),
                dropout=self._dropout(),
                half=half,
                kept=self._kept,
                lesson=self._teacher.lesson(photos) if self._teacher else None,
                head=self._head,
            )
            progress.loss_sum += losses.labels
            progress.taught_sum += losses.taught
            progress.step += 1
            callbacks.photos(len(classes), self._photos_left())
            if time.monotonic() - saved > SAVE_EVERY_S:
                self.save()
                saved = time.monotonic()

    def _check_loss(self) -> None:
        """Raise InputError if the loss is not finite, since then the weights are not finite either."""
        if not math.isfinite(self.progress.loss_sum + self.progress.taught_sum):
            message = f"epoch {self.progress.epoch + 1}: the loss is not finite, so training cannot continue"
            advice = (
                "start again with a smaller learning_rate in the recipe or another seed, and another --out"
            )
            raise InputError(f"{message}; {advice}", field="recipe")

    def _rate(self) -> float:
        done = self.progress.epoch + self.progress.step / self.batches.steps
        key = "val_top1" if self.progress.history and "val_top1" in self.progress.history[0] else "train_loss"
        sign = 1 if key == "val_top1" else -1
        scores = [sign * row[key] for row in self.progress.history]
        return learning_rate(self.batches.recipe, done, self.epochs, scores)

    def _dropout(self) -> torch.Generator:
        progress = self.progress
        seed = (self.batches.seed * 1_000_003 + progress.epoch) * 1_000_003 + progress.step
        return torch.Generator(self._device).manual_seed(seed % 2**64)  # torch takes 64-bit seeds

    def _photos_left(self) -> int:
        progress, batches = self.progress, self.batches
        steps = (self.epochs - progress.epoch) * batches.steps - progress.step
        return steps * batches.recipe.batch

    def _finish_epoch(
        self, validate: Callable[[int], MeasuredAccuracy] | None, seconds_a_step: float
    ) -> dict[str, float]:
        progress = self.progress
        size = self._phase.size or self.network.spec.input_size
        row = {
            "epoch": progress.epoch + 1,
            "size": size,
            "lr": self._rate(),
            "train_loss": progress.loss_sum / self.batches.steps,
            "images_per_second": self.batches.recipe.batch / max(seconds_a_step, 1e-9),
            **filter_report(self.network),
            **dead_maps(self.network, self.batches.sample(WATCHED_PHOTOS).to(self._device)),
        }
        if self._teacher is not None:
            row["taught_loss"] = progress.taught_sum / self.batches.steps
        if validate:
            accuracy = validate(size)
            row |= {"val_top1": accuracy.top1, "val_top5": accuracy.top5}
        progress.history.append(row)
        progress.epoch, progress.step = progress.epoch + 1, 0
        progress.loss_sum = progress.taught_sum = 0.0
        return row

    def _teacher_head(self, teacher: Teacher | None) -> TeacherHead | None:
        if teacher is None or not teacher.classes:
            return None
        generator = torch.Generator().manual_seed(self.batches.seed)
        return TeacherHead(self.network.spec, teacher.classes, generator).to(self._device)

    def _keep_checkpoint(self) -> None:
        kept = tensor_shapes(convolutional_part(self.network.spec))
        tensors = {
            name: value.half().contiguous().cpu()
            for name, value in self.network.layers.state_dict().items()
            if name in kept
        }
        name = f"epoch-{self.progress.epoch:03}.safetensors"
        write_file(self.folder / "checkpoints" / name, save(tensors), durable=True)

    def _warn_of_plateau(self, row: dict[str, float], callbacks: TrainingCallbacks) -> None:
        chance = math.log(self.network.shapes[self.network.spec.scores][0])
        if row["train_loss"] > (1 - PLATEAU_MARGIN) * chance:
            callbacks.warn(
                f"epoch {row['epoch']:.0f}: the loss is {row['train_loss']:.3f}, close to that of guessing, "
                f"ln(classes) = {chance:.3f}: the network is not learning. Usual remedies: another seed, "
                "Kaiming initial weights (remove initial_deviation), a longer warm-up"
            )


def _current_form(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Return a saved identity as this version writes it.

    Older versions saved the whole network as JSON, and recipes without fields that were added since.
    """
    return {
        **identity,
        "network": _converted(identity.get("network"), NetworkSpec, lambda spec: spec.fingerprint),
        "recipe": _converted(identity.get("recipe"), Recipe, lambda recipe: recipe.model_dump_json()),
    }


def _converted(saved: Any, kind: type[_Model], convert: Callable[[_Model], str]) -> Any:
    """Return the converted JSON of a model; anything else is returned unchanged."""
    try:
        return convert(kind.model_validate_json(saved))
    except ValidationError:
        return saved


def _difference(name: str, before: Any, now: Any) -> str:
    """Return the name of a setting that differs; for labels, with the first class whose label changed."""
    if name != LABELS or before is None:
        return name
    old, new = json.loads(before), json.loads(now)
    label = next((label for label in {**old, **new} if old.get(label) != new.get(label)), "")
    return f"{name} (class '{label}' was labelled '{old.get(label)}', now '{new.get(label)}')"
