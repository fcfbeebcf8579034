"""Empty options and arguments, as caused by unset shell variables."""

from collections.abc import Callable
from typing import Any

import pytest

from zfscope.cli.command import check_not_empty
from zfscope.errors import InputError

Run = Callable[..., Any]
EMPTY_ARGUMENT = "zfscope: empty argument ''; pass a value or omit it\n"


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["classify", "a.jpg", "--server", ""], "--server"),
        (["classify", "a.jpg", "--server="], "--server"),
        (["classify", "a.jpg", "--token-file", ""], "--token-file"),
        (["classify", "a.jpg", "--model", ""], "--model"),
        (["project", "a.jpg", "--out", ""], "--out"),
        (["health", "--server", ""], "--server"),
        (["models", "--store", ""], "--store"),
        (["models", "import", "a.pth", "--name="], "--name"),
        (["models", "fetch", "squeezenet-imagenet", "--store", ""], "--store"),
        (["models", "export", "tiny", "--out", ""], "--out"),
        (["serve", "--listen", ""], "--listen"),
        (["serve", "--tls-key="], "--tls-key"),
        (["train", "photos", "--out", ""], "--out"),
        (["evaluate", "photos", "--model", ""], "--model"),
        (["index", "photos", "--address", ""], "--address"),
        (["gallery", "photos", "--indexes="], "--indexes"),
        (["compare", "a.jpg", "--models", ""], "--models"),
        (["analyze", "project", "a.jpg", "--server", ""], "--server"),
        (["analyze", "project", "a.jpg", "--out="], "--out"),
    ],
)
def test_an_empty_option_is_rejected(run: Run, arguments: list[str], option: str) -> None:
    result = run(*arguments)
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr == f"zfscope: {option} is empty; pass a value or omit {option}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["classify", ""],
        ["classify", "--", ""],
        ["classify", "--json", ""],
        ["index", ""],
        ["models", ""],
        ["analyze", "project", ""],
        ["analyze", "project", "--", ""],
    ],
)
def test_an_empty_argument_does_not_mean_the_current_folder(run: Run, arguments: list[str]) -> None:
    result = run(*arguments)
    assert (result.code, result.stdout, result.stderr) == (2, "", EMPTY_ARGUMENT)


def test_an_empty_environment_variable_counts_as_unset(run: Run, photo: object, store: object) -> None:
    variables = {"ZFSCOPE_TORCHSERVE": "", "ZFSCOPE_MAX_IMAGE_BYTES": "", "ZFSCOPE_TRACEBACK": ""}
    assert run("classify", photo, env=variables).code == 0
    assert run("models", "--store", store, env={"ZFSCOPE_STORE": ""}).code == 0


def test_options_that_may_be_empty_are_accepted() -> None:
    check_not_empty(["data", "--checkpoints", ""], ["--checkpoints"])
    check_not_empty(["project", "--control-down-to", ""], ["--out"], others=True)
    with pytest.raises(InputError) as refusal:
        check_not_empty(["--tls-ca", ""], ["--tls-ca"])
    assert refusal.value.field == "tls_ca"
