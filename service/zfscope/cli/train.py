"""`zfscope train`: a network from a folder of photos into the model store."""

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
from zfscope.text import printable

if TYPE_CHECKING:
    from zfscope.training.decoded import DecodedPhotos
    from zfscope.training.labelled import LabelledPhotos
    from zfscope.training.session import TrainingSession
    from zfscope.training.settings import TrainingSettings

RUNS = Path("runs")
DEFAULT_CHECKPOINTS = "1,2,5,10,20"


def train(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="A folder with one folder of photos per class, a .tar of it, or a text file that lists "
            "photos with their classes.",
        ),
    ],
    validation: Annotated[
        Path | None, typer.Option(metavar="DATA", help="Photos to measure the accuracy on, after each epoch.")
    ] = None,
    network: Annotated[str, typer.Option(help="zfnet, zfnet-b or alexnet.")] = "zfnet",
    classes: Annotated[str, typer.Option(metavar="auto|N", help="How many classes there must be.")] = "auto",
    hidden: Annotated[int, typer.Option(min=1, help="Units of fc6 and of fc7.")] = 4096,
    recipe: Annotated[str, typer.Option(help="modern, paper, or a .toml file of your own.")] = "modern",
    epochs: Annotated[int, typer.Option(min=1, help="How often every photo is seen.")] = 60,
    checkpoints: Annotated[
        str,
        typer.Option(metavar="N,N,...", help="Epochs after which the filters are kept; the last always is."),
    ] = DEFAULT_CHECKPOINTS,
    labels: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Lines of a class's folder, a space or a TAB, and its name."),
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the model.  [default: NETWORK-DATA]")] = "",
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Directory of the run, resumed if it exists.  [default: runs/NAME]"),
    ] = None,
    store: opt.TargetStore = opt.DEFAULT_STORE,
    seed: Annotated[int, typer.Option(help="Seed of weights, crops and dropout.")] = 0,
    device: Annotated[opt.DeviceName, typer.Option(help="Device of the training.")] = opt.DeviceName.cpu,
    as_json: opt.AsJson = False,
) -> None:
    """Train a network on a folder of photos, and add it to the model store.

    A run that was stopped goes on where it was when the same command is given again.

    \b
    Examples:
      zfscope train photos/train --validation photos/val --epochs 20
      zfscope train photos/train --network alexnet --recipe paper --checkpoints 1,10,70 --epochs 70
    """
    from zfscope.training.settings import TrainingSettings

    title = name or f"{network}-{plain_name(data)}"
    settings = TrainingSettings(
        data=data,
        out=out or RUNS / title,
        name=title,
        validation=validation,
        network=network,
        classes=None if classes == "auto" else _number(classes, "classes"),
        hidden=hidden,
        recipe=recipe,
        epochs=epochs,
        checkpoints=_epochs(checkpoints, epochs),
        seed=seed,
        device=device.value,
        labels=read_labels(labels) if labels else None,
    )
    session, folder = _train(settings, store)
    if as_json:
        print_json({"model": title, "version": int(folder.name), "folder": str(folder), **photos_of(session)})
    else:
        echo(f"The model is in {folder}; look at it with: zfscope models {title} --store {store}")
        echo(f"{in_words(session)}.")


def _train(settings: "TrainingSettings", store: Path) -> "tuple[TrainingSession, Path]":
    from zfscope.cli.memory import keep_freed_memory
    from zfscope.store.write import check_available
    from zfscope.training.run import TrainingCallbacks
    from zfscope.training.session import TrainingSession

    check_available(store, settings.name)  # said before the hours of training, not after
    keep_freed_memory()
    with display(settings.epochs) as shown:
        session = TrainingSession(settings, advance=shown.decoded, warn=shown.warn)
        if session.resumed:
            shown.say(f"going on with the run in '{settings.out}', after epoch {session.run.progress.epoch}")
        session.train(TrainingCallbacks(photos=shown.photos, epoch=shown.epoch, warn=shown.warn))
        return session, session.publish(store)


def photos_of(session: "TrainingSession") -> dict[str, Any]:
    """Return which photos were trained on, and measured on, as JSON."""
    found = _used(session.training, session.photos).as_object()
    if session.validation and session.held_out:
        found["validation"] = _used(session.validation, session.held_out).as_object()
    return found


def in_words(session: "TrainingSession") -> str:
    """Return which photos were trained on, and measured on, without a full stop."""
    words = f"Trained on {_used(session.training, session.photos)}"
    if session.validation and session.held_out:
        words += f". Measured on {_used(session.validation, session.held_out)}"
    return words


def _used(decoded: "DecodedPhotos", photos: "LabelledPhotos") -> PhotosUsed:
    return PhotosUsed(len(decoded.targets), decoded.skipped, photos.passed_over)


def _epochs(text: str, epochs: int) -> tuple[int, ...]:
    """Read the epochs that are kept; of those by default, the ones that the run has."""
    asked = tuple(_number(part, "checkpoints") for part in text.split(",") if part)
    return tuple(epoch for epoch in asked if epoch <= epochs) if text == DEFAULT_CHECKPOINTS else asked


def _number(text: str, field: str) -> int:
    if not text.strip().isdecimal():
        raise InputError(f"{field}: '{text}' is no number", field=field)
    return int(text)


class Display:
    """A bar on a terminal, lines everywhere; its methods are what a training session tells."""

    def __init__(self, bar: Progress, epochs: int) -> None:
        self._bar = bar
        self._epochs = epochs
        self._decoding = bar.add_task("decoding photos", total=None)
        self._training: TaskID | None = None
        self._left = 0

    def decoded(self, count: int) -> None:
        """Show that so many photos more are decoded."""
        self._bar.advance(self._decoding, count)

    def photos(self, count: int, left: int) -> None:
        """Show that so many photos more were learnt from, and how many are left in the run."""
        if self._training is None:
            self._bar.remove_task(self._decoding)
            self._training = self._bar.add_task("training", total=count + left)
        self._bar.advance(self._training, count)
        self._left = left

    def epoch(self, row: Mapping[str, float]) -> None:
        """Say how an epoch went."""
        self.say(epoch_line(row, epochs=self._epochs, photos_left=self._left))

    def warn(self, message: str) -> None:
        """Say what may be going wrong."""
        self.say(warning_line(message))

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        self._bar.console.print(Text(printable(line)), soft_wrap=True)


@contextmanager
def display(epochs: int) -> Iterator[Display]:
    """Show a run of so many epochs on stderr."""
    with progress(Speed(), transient=False) as bar:
        yield Display(bar, epochs)


def epoch_line(row: Mapping[str, float], *, epochs: int, photos_left: int) -> str:
    """Put a row of the history in words, with the time left at the epoch's speed."""
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
