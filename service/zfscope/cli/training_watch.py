"""What a person sees of a training run on stderr: a bar, a line for each epoch, warnings."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TimeRemainingColumn,
)
from rich.text import Text

from zfscope.cli.output import Description, Speed
from zfscope.cli.warn import warning_line
from zfscope.text import printable


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
    console = Console(stderr=True, highlight=False, markup=False)
    columns = (
        Description(),
        BarColumn(),
        MofNCompleteColumn(),
        Speed(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=console, disable=not console.is_terminal, speed_estimate_period=30
    ) as bar:
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
