"""`zfscope models`, in process and against a service."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.toy_kinds import toy_kinds
from zfscope.networks import NetworkSpec
from zfscope.networks.layer import Layer
from zfscope.networks.layers import Add, Conv, Flatten, Linear, ReLU
from zfscope.networks.windows import Padding

Run = Callable[..., Any]


@pytest.fixture
def deep(tmp_path: Path, write: Callable[..., Path]) -> Path:
    """A store with `deep`, a network of twenty residual blocks, whose first window is 3 x 5 pixels."""
    layers = [
        Conv(name="stem", channels=4, kernel=(3, 5), stride=(1, 2), padding=Padding(2, 1, 2, 1)),
        *(layer for number in range(20) for layer in _block(number)),
        Flatten(name="flatten"),
        Linear(name="fc", units=4),
    ]
    write(tmp_path, 2, name="deep", network=NetworkSpec(name="deep", input_size=32, layers=tuple(layers)))
    return tmp_path


def _block(number: int) -> tuple[Layer, ...]:
    name, below = f"block{number}", f"block{number - 1}.add" if number else "stem"
    return (
        Conv(name=f"{name}.conv", channels=4, kernel=1),
        ReLU(name=f"{name}.relu"),
        Add(name=f"{name}.add", inputs=(f"{name}.relu", below)),
    )


def test_text_output_is_a_table_of_models(run: Run) -> None:
    lines = run("models").stdout.splitlines()
    assert any("tiny (default)" in line and " 2 " in line and "Random weights" in line for line in lines)
    assert sum("tiny" in line for line in lines) >= 2


def test_text_output_of_a_model_lists_its_layers(run: Run) -> None:
    text = run("models", "tiny").stdout
    assert "tiny version 2: Random weights" in text
    assert "10 x 7 x 7" in text
    assert (
        "Preprocessing: short side 36 px (bilinear), crop 32 px, RGB, minus 123.68, 116.779, 103.939, "
        "divided by 50, 50, 50"
    ) in " ".join(text.split())
    assert "Accuracy on 4 photos (four photos): top-1 50.0 %, top-5 100.0 %" in text
    assert "Classes: ant, bee, church, dog" in text


def test_a_deep_network_is_shown_by_its_blocks(run: Run, deep: Path) -> None:
    rows = {
        selection: _layers_of(run("models", "deep", *selection, "--store", deep).stdout)
        for selection in ((), ("--layers", "blocks"), ("--layers", "all"))
    }
    described = json.loads(run("models", "deep", "--json", "--store", deep).stdout)["layers"]
    every = [f"block{number}.{part}" for number in range(20) for part in ("conv", "relu", "add")]
    assert (
        rows["--layers", "all"] == [layer["name"] for layer in described] == ["stem", *every, "flatten", "fc"]
    )
    assert rows[()] == rows["--layers", "blocks"] == [layer["name"] for layer in described if layer["block"]]
    assert {f"block{number}.add" for number in range(20)} <= set(rows[()])
    assert not {"block7.conv", "block7.relu"} & set(rows[()])


def test_the_text_says_how_to_see_the_other_layers(run: Run, deep: Path) -> None:
    text = run("models", "deep", "--store", deep).stdout
    assert re.search(r"Outputs of blocks; \d+ other layers: zfscope models deep --layers all", text)
    assert "other layers" not in run("models", "deep", "--layers", "all", "--store", deep).stdout


def test_receptive_fields_that_are_not_square_have_rows_and_columns(run: Run, deep: Path) -> None:
    text = run("models", "deep", "--store", deep).stdout
    assert re.search(r"block0\.add .* 4 x 32 x 16 .* 3 x 5 .* 1 x 2 ", text)


def _layers_of(text: str) -> list[str]:
    return re.findall(r"^│ ([a-z][\w.]+) ", text, re.MULTILINE)


def test_a_model_without_a_measured_accuracy_shows_none(run: Run) -> None:
    assert "Accuracy on" not in run("models", "tiny", "--version", 1).stdout


@pytest.mark.parametrize("arguments", [[], ["tiny"], ["tiny", "--version", "1"]])
def test_a_service_returns_the_same_object(run: Run, server: str, arguments: list[str]) -> None:
    local = json.loads(run("models", *arguments, "--json").stdout)
    remote = json.loads(run("models", *arguments, "--json", "--server", server).stdout)
    if arguments:  # float32 on the wire, float64 in the manifest
        mean, remote_mean = local["preprocessing"].pop("mean"), remote["preprocessing"].pop("mean")
        assert mean == pytest.approx(remote_mean)
    assert local == remote
    assert local["layers"] if arguments else local["models"]


def test_verify_checks_every_file(run: Run, tmp_path: Path, write: Callable[..., Path]) -> None:
    folder = write(tmp_path, 1)
    assert run("models", "--verify", "--store", tmp_path).code == 0
    (folder / "note.txt").touch()
    result = run("models", "--verify", "--store", tmp_path)
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr.startswith("zfscope: model 'tiny' version 1: 'note.txt' is in ")


def test_verify_cannot_be_combined_with_a_service(run: Run, server: str) -> None:
    result = run("models", "--verify", "--server", server)
    assert (result.code, result.stdout) == (2, "")
    assert "cannot be combined with --server" in result.stderr


def test_a_missing_store_is_reported_in_one_line(run: Run, tmp_path: Path) -> None:
    result = run("models", "--store", tmp_path / "nowhere")
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr == f"zfscope: no model store at '{tmp_path / 'nowhere'}': no such folder\n"


def test_all_models_of_a_store_are_listed(run: Run, tmp_path: Path, write: Callable[..., Path]) -> None:
    write(tmp_path, 1, "one")
    write(tmp_path, 1, "two")
    listed = json.loads(run("models", "--store", tmp_path, "--json").stdout)["models"]
    assert [(model["name"], model["is_default"]) for model in listed] == [("one", False), ("two", False)]


def test_the_default_model_is_read_from_the_store(
    run: Run, tmp_path: Path, photo: Path, write: Callable[..., Path]
) -> None:
    write(tmp_path, 1, "one")
    write(tmp_path, 1, "two")
    write(tmp_path, 2, "two")
    (tmp_path / "store.json").write_text('{"default_model": "two"}')
    listed = json.loads(run("models", "--store", tmp_path, "--json").stdout)["models"]
    assert [(model["name"], model["version"]) for model in listed if model["is_default"]] == [("two", 2)]
    classified = json.loads(run("classify", photo, "--store", tmp_path, "--json").stdout)
    assert (classified["model"], classified["version"]) == ("two", 2)


def test_an_empty_store_has_no_models(run: Run, tmp_path: Path) -> None:
    assert run("models", "--store", tmp_path).stdout == (
        "The store is empty. Add a model with: zfscope models fetch squeezenet-imagenet\n"
    )
    assert json.loads(run("models", "--store", tmp_path, "--json").stdout) == {"models": []}


def test_without_a_default_a_model_must_be_named(
    run: Run, tmp_path: Path, photo: Path, write: Callable[..., Path]
) -> None:
    write(tmp_path, 1, "one")
    write(tmp_path, 1, "two")
    result = run("classify", photo, "--store", tmp_path)
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr == "zfscope: the store has several models and no default; name one of one, two\n"


def test_classifying_with_an_empty_store_is_reported_in_one_line(
    run: Run, tmp_path: Path, photo: Path
) -> None:
    result = run("classify", photo, "--store", tmp_path)
    assert (result.code, result.stderr) == (2, f"zfscope: the model store '{tmp_path}' has no models\n")


def test_a_damaged_model_is_listed_with_the_reason_and_others_still_work(
    run: Run, tmp_path: Path, photo: Path, write: Callable[..., Path]
) -> None:
    write(tmp_path, 1)
    (tmp_path / "foo" / "1").mkdir(parents=True)
    table = run("models", "--store", tmp_path)
    assert table.code == 0
    assert "DAMAGED: 'model.json' is missing; copy the model" in table.stdout
    assert "tiny (default)" in table.stdout
    foo, tiny = json.loads(run("models", "--store", tmp_path, "--json").stdout)["models"]
    assert (foo["name"], foo["version"], foo["is_default"]) == ("foo", 1, False)
    assert foo["damage"].startswith("'model.json' is missing; copy the model from its source again")
    assert (tiny["name"], tiny["damage"], tiny["is_default"]) == ("tiny", "", True)
    assert run("classify", photo, "--store", tmp_path).code == 0
    shown = run("models", "foo", "--store", tmp_path)
    assert (shown.code, shown.stdout) == (2, "")
    assert shown.stderr.startswith("zfscope: model 'foo' version 1: 'model.json' is missing; copy the model")
    verified = run("models", "--verify", "--store", tmp_path)
    assert (verified.code, verified.stderr) == (2, shown.stderr)


def test_a_damaged_default_model_prevents_the_start_in_one_line(fork: Run, tmp_path: Path) -> None:
    (tmp_path / "tiny" / "1").mkdir(parents=True)
    served = fork("serve", "--listen", "127.0.0.1:0", "--store", tmp_path)
    assert (served.code, served.stdout) == (2, "")
    assert served.stderr.startswith(
        "zfscope: model 'tiny' version 1: 'model.json' is missing; copy the model"
    )
    assert len(served.stderr.splitlines()) == 1


def test_an_added_kind_of_layer_is_shown_like_any_other(
    run: Run, tmp_path: Path, write: Callable[..., Path]
) -> None:
    with toy_kinds() as spec:
        write(tmp_path, 1, network=spec)
        layers = json.loads(run("models", "tiny", "--store", tmp_path, "--json").stdout)["layers"]
    (depthwise,) = (layer for layer in layers if layer["kind"] == "depthwise")
    assert (depthwise["name"], depthwise["shape"], depthwise["parameters"]) == ("apart", [4, 15, 15], 40)
