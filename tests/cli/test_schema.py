"""Options made from a JSON schema."""

from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import Base64Bytes, BaseModel, Field

from zfscope.cli.command import make_command, with_parameters
from zfscope.cli.schema import AnalyzerCommand, schema_options
from zfscope.errors import InputError


class Box(BaseModel):
    x: int


class Params(BaseModel):
    window: int = Field(default=32, description="Pixels, 100 % of them.")
    share: float | None = None
    label: str = "dog"
    fill: Literal["grey", "mean"] = "grey"
    raw: bool = False
    layers: tuple[str, ...] = ("conv1",)
    boxes: tuple[Box, ...] = ()
    where: Box | None = None
    icon: Base64Bytes | None = None
    masks: tuple[Base64Bytes, ...] = ()


def parse(*words: str, params: type[BaseModel] = Params) -> dict[str, Any]:
    options, given = schema_options(params.model_json_schema()), dict[str, Any]()

    def fake(**values: Any) -> None:
        taken = {name: values[option.name] for name, option in options.items()}
        given.update({name: value for name, value in taken.items() if value is not None})

    command = make_command(with_parameters(fake, *options.values()), "fake", cls=AnalyzerCommand)
    command.main(list(words), prog_name="zfscope analyze fake", standalone_mode=False)
    return given


def test_what_is_not_given_is_left_out() -> None:
    assert parse() == {}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--window", "16"], {"window": 16}),
        (["--share", "0.5"], {"share": 0.5}),
        (["--label=a cat"], {"label": "a cat"}),
        (["--fill", "mean"], {"fill": "mean"}),
        (["--raw"], {"raw": True}),
        (["--no-raw"], {"raw": False}),
        (["--layers", "conv1", "--layers", "fc7"], {"layers": ["conv1", "fc7"]}),
        (["--boxes", '[{"x": 1}]'], {"boxes": [{"x": 1}]}),
        (["--where", '{"x": 2}'], {"where": {"x": 2}}),
    ],
)
def test_options_are_read_as_the_schema_types_them(words: list[str], expected: dict[str, Any]) -> None:
    assert parse(*words) == expected
    Params.model_validate(expected)


def test_bytes_come_from_files(tmp_path: Path) -> None:
    files = [tmp_path / name for name in "abc"]
    for file in files:
        file.write_bytes(file.name.encode() * 100 + b"\xff\n")
    given = parse("--icon", str(files[0]), "--masks", *map(str, files[1:]), "--masks", str(files[0]))
    params = Params.model_validate(given)
    assert params.icon == files[0].read_bytes()
    assert params.masks == tuple(files[place].read_bytes() for place in (1, 2, 0))


@pytest.mark.parametrize("written", ["{}", "@{}"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_json_may_come_from_a_file(tmp_path: Path, written: str, encoding: str) -> None:
    file = tmp_path / "boxes.json"
    file.write_text('[{"x": 7}]', encoding=encoding)
    assert parse("--boxes", written.format(file)) == {"boxes": [{"x": 7}]}


def test_a_file_whose_name_is_json_is_told_by_an_at_sign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("7").write_text('[{"x": 8}]')
    assert parse("--boxes", "7") == {"boxes": 7}
    assert parse("--boxes", "@7") == {"boxes": [{"x": 8}]}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "Expecting value: line 1 column 1"),
        (b'[{"x": 7,}]', "Expecting property name|Illegal trailing comma"),
        (b"\xff\xfe\xff", "codec can't decode"),
    ],
)
def test_a_file_without_json_is_told_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, told: str
) -> None:
    monkeypatch.chdir(tmp_path)  # a message does not show all of a long path
    Path("boxes.json").write_bytes(content)
    with pytest.raises(InputError, match=f"--boxes: file 'boxes.json' is not valid JSON: .*({told})"):
        parse("--boxes", "boxes.json")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--window", "wide"], "--window: invalid int value: 'wide'"),
        (["--fill", "blue"], "--fill: invalid choice: 'blue'"),
        (["--speed", "1"], "--speed is not known; allowed are --help, --window, --share"),
        (["--boxes", "[{"], r"--boxes: '\[\{' is not valid JSON: Expecting property name"),
        (
            ["--boxes", "nowhere.json"],
            "'nowhere.json' is neither valid JSON nor a readable file: No such file",
        ),
        (["--boxes", "@nowhere.json"], "'nowhere.json' is neither valid JSON nor a readable file: No such"),
        (["--boxes", "."], "'.' is neither valid JSON nor a readable file: Is a directory"),
        (["--boxes", ""], "'' is neither valid JSON nor a readable file: Is a directory"),
        (["--icon", "nowhere.png"], "--icon: 'nowhere.png' cannot be read: No such file"),
        (["--masks", __file__, "nowhere.png"], "--masks: 'nowhere.png' cannot be read: No such file"),
        (["--masks"], "--masks: expected at least one argument"),
    ],
)
def test_what_cannot_be_read_is_told(words: list[str], told: str) -> None:
    with pytest.raises(InputError, match=told):
        parse(*words)


def test_what_is_required_is_asked_for() -> None:
    class Asking(BaseModel):
        part_boxes: tuple[Box, ...]

    with pytest.raises(InputError, match="required: --part-boxes"):
        parse(params=Asking)


def test_the_help_has_descriptions_and_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    parse("--help")
    text = " ".join(capsys.readouterr().out.split())
    assert "Pixels, 100 % of them. [default: 32]" in text
    assert '[default: ["conv1"]] May be repeated.' in text
    assert "--masks FILE [FILE ...]" in text
    assert 'JSON or a JSON file: [{"x": INTEGER}, ...]' in text
    assert 'JSON or a JSON file: {"x": INTEGER}' in text


class Tree(BaseModel):
    branches: "tuple[Tree, ...]" = ()


def test_the_sketch_of_json_that_holds_itself_ends(capsys: pytest.CaptureFixture[str]) -> None:
    class Growing(BaseModel):
        tree: Tree = Tree()

    parse("--help", params=Growing)
    assert '{"branches": [{"branches": [{"branches": [..., ...]}, ...]}, ...]}' in " ".join(
        capsys.readouterr().out.split()
    )
