"""`zfscope train`: train a network on labelled photos and add it to the model store."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import Progress, TaskID
from rich.text import Text

from zfscope.cli import options as opt
from zfscope.cli.index import plain_name
from zfscope.cli.labels import read_labels
from zfscope.cli.output import Speed, print_json, progress
from zfscope.cli.photos import PhotosUsed
from zfscope.cli.streams import echo
from zfscope.cli.warn import warning_line
from zfscope.errors import InputError
from zfscope.location import find_target_store
from zfscope.text import printable

if TYPE_CHECKING:
    from zfscope.store import Model
    from zfscope.training.decoded import DecodedPhotos
    from zfscope.training.labelled import LabelledPhotos
    from zfscope.training.session import TrainingSession
    from zfscope.training.settings import TrainingSettings

RUNS = Path("runs")
DEFAULT_CHECKPOINTS = "1,2,5,10,20"
DEFAULT_NETWORK, DEFAULT_HIDDEN = "zfnet", 4096


def train(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="Labelled photos: a folder with one subfolder per class; a .tar of such a folder; or a text "
            "file that lists photos with their classes.",
        ),
    ],
    validation: Annotated[
        Path | None,
        typer.Option(metavar="DATA", help="Labelled photos to measure the accuracy on after each epoch."),
    ] = None,
    source: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="MODEL[:VERSION]",
            help="Fine-tune this model of the store: its network, weights and preprocessing are taken; its "
            "class scores are replaced. With --network, start that network from the model's filters.",
        ),
    ] = "",
    teacher: Annotated[
        str,
        typer.Option(
            metavar="MODEL[:VERSION]",
            help="Learn from this model of the store as well: its class scores, and the maps of the layers "
            "that the recipe matches.",
        ),
    ] = "",
    network: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Network architecture: zfnet, zfnet-b or alexnet.  [default: zfnet]"
        ),
    ] = None,
    classes: Annotated[
        str, typer.Option(metavar="auto|N", help="Expected number of classes; auto accepts any.")
    ] = "auto",
    hidden: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Number of units in fc6 and fc7.  [default: 4096]"),
    ] = None,
    recipe: Annotated[
        str,
        typer.Option(
            metavar="NAME|FILE",
            help="Training recipe: modern, paper, fine-tune, match, or a .toml file.  "
            "[default: modern; with --from: fine-tune]",
        ),
    ] = "",
    epochs: Annotated[int, typer.Option(metavar="N", min=1, help="Number of training epochs.")] = 60,
    checkpoints: Annotated[
        str,
        typer.Option(
            metavar="N,N,...", help="Epochs after which to store a checkpoint, besides the final weights."
        ),
    ] = DEFAULT_CHECKPOINTS,
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="File with one class per line: folder, a space or a TAB, and name."
        ),
    ] = None,
    name: Annotated[
        str, typer.Option(metavar="NAME", help="Name of the model.  [default: NETWORK-DATA or MODEL-DATA]")
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of the training run; an existing run is resumed.  [default: runs/NAME]",
        ),
    ] = None,
    store: opt.TargetStore = None,
    seed: Annotated[
        int, typer.Option(metavar="N", help="Random seed of initial weights, crops and dropout.")
    ] = 0,
    device: Annotated[opt.DeviceName, typer.Option(help="Device to train on.")] = opt.DeviceName.cpu,
    as_json: opt.AsJson = False,
) -> None:
    """Train a network and add it to the model store.

    With --from, fine-tune a model of the store. Repeat the command to resume an interrupted run.

    \b
    Examples:
      zfscope train photos/train --validation photos/val --epochs 20
      zfscope train photos/train --from zfnet-imagenette --epochs 5 --name mine
      zfscope train photos/train --network alexnet --recipe paper --checkpoints 1,10,70 --epochs 70
    """
    from zfscope.training.settings import TrainingSettings

    target = find_target_store(store)
    tuned = _model(source, target, "from")
    new_network = tuned is not None and network is not None
    _check_hidden(source, network, hidden)
    network = network or DEFAULT_NETWORK
    title = name or f"{tuned.name if tuned and not new_network else network}-{plain_name(data)}"
    settings = TrainingSettings(
        data=data,
        out=out or RUNS / title,
        name=title,
        validation=validation,
        network=network,
        classes=None if classes == "auto" else _number(classes, "classes"),
        hidden=hidden or DEFAULT_HIDDEN,
        source=tuned,
        new_network=new_network,
        teacher=_model(teacher, target, "teacher"),
        recipe=recipe,
        epochs=epochs,
        checkpoints=_epochs(checkpoints, epochs),
        seed=seed,
        device=device.value,
        labels=read_labels(labels) if labels else None,
    )
    session, folder = _train(settings, target)
    if as_json:
        print_json(
            {"model": title, "version": int(folder.name), "folder": str(folder), **photos_json(session)}
        )
    else:
        echo(f"Model written to {folder}; inspect it with: zfscope models {title} --store {target}")
        echo(f"{photos_text(session)}.")


def _model(reference: str, store: Path, option: str) -> "Model | None":
    """Load the model that an option names; None if it is not given."""
    if not reference:
        return None
    from zfscope.store import ModelStore

    name, version = opt.model_reference(reference, option)
    return ModelStore(store).load(name, version)


def _check_hidden(source: str, network: str | None, hidden: int | None) -> None:
    """Raise InputError if --hidden describes the network of a model that is fine-tuned as it is."""
    if source and network is None and hidden is not None:
        raise InputError(
            f"--hidden {hidden} cannot be combined with --from: the network is that of '{source}'; "
            "remove one of the two, or add --network",
            field="hidden",
        )


def _train(settings: "TrainingSettings", store: Path) -> "tuple[TrainingSession, Path]":
    from zfscope.allocator import keep_freed_memory
    from zfscope.store.write import check_available
    from zfscope.training.run import TrainingCallbacks
    from zfscope.training.session import TrainingSession

    check_available(store, settings.name)  # fail before hours of training, not after
    keep_freed_memory()
    with training_display(settings.epochs) as shown:
        session = TrainingSession(settings, advance=shown.decoded, warn=shown.warn)
        if session.resumed:
            shown.print_line(f"resuming the run in '{settings.out}' after epoch {session.run.progress.epoch}")
        session.train(TrainingCallbacks(photos=shown.photos, epoch=shown.epoch, warn=shown.warn))
        return session, session.publish(store)


def photos_json(session: "TrainingSession") -> dict[str, Any]:
    """Return the counts of training and validation photos as a JSON object."""
    counts = _used(session.training, session.training_photos).as_object()
    if session.validation and session.validation_photos:
        counts["validation"] = _used(session.validation, session.validation_photos).as_object()
    return counts


def photos_text(session: "TrainingSession") -> str:
    """Return a sentence on the training and validation photos, without the full stop."""
    text = f"Trained on {_used(session.training, session.training_photos)}"
    if session.validation and session.validation_photos:
        text += f". Measured on {_used(session.validation, session.validation_photos)}"
    return text


def _used(decoded: "DecodedPhotos", photos: "LabelledPhotos") -> PhotosUsed:
    return PhotosUsed(len(decoded.targets), decoded.skipped, photos.skipped_files)


def _epochs(text: str, epochs: int) -> tuple[int, ...]:
    """Parse the checkpoint epochs; of the default ones, keep those within the run."""
    parsed = tuple(_number(part, "checkpoints") for part in text.split(",") if part)
    return tuple(epoch for epoch in parsed if epoch <= epochs) if text == DEFAULT_CHECKPOINTS else parsed


def _number(text: str, field: str) -> int:
    if not text.strip().isdecimal():
        raise InputError(f"{field}: '{text}' is not a whole number", field=field)
    return int(text)


class TrainingDisplay:
    """Progress display: a bar on terminals, and lines; its methods are callbacks of a training session."""

    def __init__(self, bar: Progress, epochs: int) -> None:
        self._bar = bar
        self._epochs = epochs
        self._decoding = bar.add_task("decoding photos", total=None)
        self._training: TaskID | None = None
        self._left = 0

    def decoded(self, count: int) -> None:
        """Advance the bar by `count` decoded photos."""
        self._bar.advance(self._decoding, count)

    def photos(self, count: int, left: int) -> None:
        """Advance the bar by `count` trained photos, with `left` remaining in the run."""
        if self._training is None:
            self._bar.remove_task(self._decoding)
            self._training = self._bar.add_task("training", total=count + left)
        self._bar.advance(self._training, count)
        self._left = left

    def epoch(self, row: Mapping[str, float]) -> None:
        """Print the results of an epoch."""
        self.print_line(epoch_line(row, epochs=self._epochs, photos_left=self._left))

    def warn(self, message: str) -> None:
        """Print a warning."""
        self.print_line(warning_line(message))

    def print_line(self, line: str) -> None:
        """Print a line above the bar."""
        self._bar.console.print(Text(printable(line)), soft_wrap=True)


@contextmanager
def training_display(epochs: int) -> Iterator[TrainingDisplay]:
    """Show the progress of a run with this number of epochs on stderr."""
    with progress(Speed(), transient=False) as bar:
        yield TrainingDisplay(bar, epochs)


def epoch_line(row: Mapping[str, float], *, epochs: int, photos_left: int) -> str:
    """Format a row of the history, with the remaining time at the epoch's speed."""
    minutes = photos_left / row["images_per_second"] / 60
    parts = [f"loss {row['train_loss']:.3f}"]
    if "val_top1" in row:
        parts.append(f"top-1 {row['val_top1']:.1f} %, top-5 {row['val_top5']:.1f} %")
    parts.append(f"conv1 roughness {row['roughness']:.2f}")
    dead = {key.removeprefix("dead_"): share for key, share in row.items() if key.startswith("dead_")}
    if dead:
        worst = max(dead, key=dead.__getitem__)
        parts.append(f"dead maps at most {dead[worst]:.0f} % ({worst})")
    parts.append(f"{row['images_per_second']:.0f} photos/s, {minutes:.0f} min left")
    return f"epoch {row['epoch']:.0f} of {epochs}: {', '.join(parts)}"
