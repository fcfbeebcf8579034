"""`zfscope train`: a network from a folder of photos into the model store."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zfscope.cli.index import plain_name
from zfscope.cli.labels import read_labels
from zfscope.cli.options import AsJson, DeviceName
from zfscope.cli.output import print_json
from zfscope.cli.photos_used import photos_json, sentence, skipped_in_words
from zfscope.cli.streams import echo
from zfscope.cli.training_watch import display
from zfscope.errors import InputError

if TYPE_CHECKING:
    from zfscope.training.decoded import DecodedPhotos
    from zfscope.training.labelled import LabelledPhotos
    from zfscope.training.session import Session
    from zfscope.training.settings import Settings

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
    name: Annotated[str, typer.Option(help="Of the model.  [default: NETWORK-DATA]")] = "",
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Of the run; resumed if it is there.  [default: runs/NAME]"),
    ] = None,
    store: Annotated[
        Path, typer.Option(envvar="ZFSCOPE_STORE", help="The folder of models that the result is added to.")
    ] = Path("model_store"),
    seed: Annotated[int, typer.Option(help="Of weights, crops and dropout.")] = 0,
    device: Annotated[DeviceName, typer.Option(help="What it is trained on.")] = DeviceName.cpu,
    as_json: AsJson = False,
) -> None:
    """Train a network on a folder of photos, and add it to the model store.

    A run that was stopped goes on where it was when the same command is given again.

    \b
    Examples:
      zfscope train photos/train --validation photos/val --epochs 20
      zfscope train photos/train --network alexnet --recipe paper --checkpoints 1,10,70 --epochs 70
    """
    from zfscope.training.settings import Settings

    title = name or f"{network}-{plain_name(data)}"
    settings = Settings(
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


def _train(settings: "Settings", store: Path) -> "tuple[Session, Path]":
    from zfscope.cli.memory import keep_freed_memory
    from zfscope.store.write import check_free
    from zfscope.training.run import Watch
    from zfscope.training.session import Session

    check_free(store, settings.name)  # said before the hours of training, not after
    keep_freed_memory()
    with display(settings.epochs) as shown:
        session = Session(settings, advance=shown.decoded, warn=shown.warn)
        if session.resumed:
            shown.say(f"going on with the run in '{settings.out}', after epoch {session.run.progress.epoch}")
        session.train(Watch(photos=shown.photos, epoch=shown.epoch, warn=shown.warn))
        return session, session.publish(store)


def photos_of(session: "Session") -> dict[str, Any]:
    """Return which photos were trained on, and measured on, as JSON."""
    found = _used(session.training, session.photos)
    if session.validation and session.held_out:
        found["validation"] = _used(session.validation, session.held_out)
    return found


def in_words(session: "Session") -> str:
    """Return which photos were trained on, and measured on, without a full stop."""
    words = f"Trained on {_said(session.training, session.photos)}"
    if session.validation and session.held_out:
        words += f". Measured on {_said(session.validation, session.held_out)}"
    return words


def _used(decoded: "DecodedPhotos", photos: "LabelledPhotos") -> dict[str, Any]:
    return photos_json(len(decoded.targets), decoded.skipped, photos.passed_over)


def _said(decoded: "DecodedPhotos", photos: "LabelledPhotos") -> str:
    return sentence(len(decoded.targets), skipped_in_words(decoded.skipped), photos.passed_over)


def _epochs(text: str, epochs: int) -> tuple[int, ...]:
    """Read the epochs that are kept; of those by default, the ones that the run has."""
    asked = tuple(_number(part, "checkpoints") for part in text.split(",") if part)
    return tuple(epoch for epoch in asked if epoch <= epochs) if text == DEFAULT_CHECKPOINTS else asked


def _number(text: str, field: str) -> int:
    if not text.strip().isdecimal():
        raise InputError(f"{field}: '{text}' is no number", field=field)
    return int(text)
