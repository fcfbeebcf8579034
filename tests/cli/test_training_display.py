"""Progress of a training run on a terminal and in plain lines."""

import io

import pytest
from rich.console import Console
from rich.progress import Progress

from zfscope.cli.output import Speed
from zfscope.cli.train import TrainingDisplay, epoch_line, training_display

ROW = {"epoch": 3, "train_loss": 1.23456, "roughness": 0.452, "images_per_second": 50.0}


def test_an_epoch_line_shows_loss_roughness_speed_and_time_left() -> None:
    line = epoch_line(ROW, epochs=20, photos_left=6000)
    assert line == "epoch 3 of 20: loss 1.235, conv1 roughness 0.45, 50 photos/s, 2 min left"


def test_an_epoch_line_shows_the_accuracy_if_it_was_measured() -> None:
    line = epoch_line({**ROW, "val_top1": 61.25, "val_top5": 93.0}, epochs=20, photos_left=0)
    assert "loss 1.235, top-1 61.2 %, top-5 93.0 %, conv1" in line


def test_an_epoch_line_names_the_layer_with_the_most_dead_maps() -> None:
    line = epoch_line({**ROW, "dead_conv1": 4.2, "dead_conv2": 92.6}, epochs=20, photos_left=0)
    assert "roughness 0.45, dead maps at most 93 % (conv2), 50 photos/s" in line


def test_the_bar_counts_decoded_photos_then_training_photos() -> None:
    with Progress(Speed(), console=Console(file=io.StringIO(), force_terminal=True)) as bar:
        display = TrainingDisplay(bar, epochs=2)
        display.decoded(3)
        assert [(task.description, task.completed, task.total) for task in bar.tasks] == [
            ("decoding photos", 3, None)
        ]
        display.photos(10, 90)
        display.photos(10, 80)
        assert [(task.description, task.completed, task.total) for task in bar.tasks] == [
            ("training", 20, 100)
        ]


def test_without_a_terminal_only_lines_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with training_display(20) as display:
        display.decoded(1)
        display.photos(50, 6000)
        display.epoch(ROW)
        display.warn("the network is not learning")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "epoch 3 of 20: loss 1.235, conv1 roughness 0.45, 50 photos/s, 2 min left",
        "zfscope: warning: the network is not learning",
    ]


@pytest.mark.parametrize("terminal", [False, True])
def test_control_characters_and_markup_in_names_are_printed_as_text(terminal: bool) -> None:
    file = io.StringIO()
    with Progress(console=Console(file=file, force_terminal=terminal, width=80), disable=True) as bar:
        TrainingDisplay(bar, epochs=2).print_line("odd photo '[red]:cat:\x1b[2J\x9b\r.jpg'\nsecond line")
    assert file.getvalue() == "odd photo '[red]:cat:\\x1b[2J\\x9b\\r.jpg'\nsecond line\n"
