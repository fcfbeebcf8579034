"""Command-line options generated from a JSON schema."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Base64Bytes, BaseModel, Field, WithJsonSchema

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


def parse(*arguments: str, params: type[BaseModel] = Params) -> dict[str, Any]:
    options, parsed = schema_options(params.model_json_schema()), dict[str, Any]()

    def fake(**values: Any) -> None:
        by_parameter = {name: values[option.name] for name, option in options.items()}
        parsed.update({name: value for name, value in by_parameter.items() if value is not None})

    command = make_command(with_parameters(fake, *options.values()), "fake", cls=AnalyzerCommand)
    command.main(list(arguments), prog_name="zfscope analyze fake", standalone_mode=False)
    return parsed


def test_options_that_are_not_passed_are_left_out() -> None:
    assert parse() == {}


@pytest.mark.parametrize(
    ("arguments", "expected"),
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
def test_values_are_parsed_as_the_types_of_the_schema(arguments: list[str], expected: dict[str, Any]) -> None:
    assert parse(*arguments) == expected
    Params.model_validate(expected)


Polygon = Annotated[Any, WithJsonSchema({"type": "array", "format": "polygon", "items": {"type": "array"}})]


class Drawn(BaseModel):
    polygons: tuple[Polygon, ...] = ()


@pytest.mark.parametrize(
    ("text", "polygons"),
    [
        ("120,80 200,90.5 160,170", [[[120, 80], [200, 90.5], [160, 170]]]),
        ("-1,+2 3,4 .5,6;\n7,8 9,10 11,12;", [[[-1, 2], [3, 4], [0.5, 6]], [[7, 8], [9, 10], [11, 12]]]),
        ("[[[1, 2], [3, 4], [5, 6]]]", [[[1, 2], [3, 4], [5, 6]]]),
    ],
)
def test_polygons_are_text_or_json(text: str, polygons: Any) -> None:
    assert parse("--polygons", text, params=Drawn) == {"polygons": polygons}


def test_polygons_can_be_read_from_a_json_file(tmp_path: Path) -> None:
    (tmp_path / "polygons.json").write_text("[[[1, 2], [3, 4], [5, 6]]]")
    parsed = parse("--polygons", str(tmp_path / "polygons.json"), params=Drawn)
    assert parsed == {"polygons": [[[1, 2], [3, 4], [5, 6]]]}


@pytest.mark.parametrize("text", ["120,80 200", "1,2,3 4,5", "1.2.3,4"])
def test_invalid_vertices_are_rejected_with_the_form(text: str) -> None:
    message = f"argument --polygons: '{text}' is not a list of vertices; write each as X,Y: 120,80 200,90"
    with pytest.raises(InputError, match=re.escape(message)):
        parse("--polygons", text, params=Drawn)


def test_the_help_shows_both_forms_of_polygons(capsys: pytest.CaptureFixture[str]) -> None:
    parse("--help", params=Drawn)
    text = " ".join(capsys.readouterr().out.split())
    assert '--polygons "X,Y X,Y X,Y; ..."|JSON|FILE' in text


def test_bytes_are_read_from_files(tmp_path: Path) -> None:
    files = [tmp_path / name for name in "abc"]
    for file in files:
        file.write_bytes(file.name.encode() * 100 + b"\xff\n")
    parsed = parse("--icon", str(files[0]), "--masks", *map(str, files[1:]), "--masks", str(files[0]))
    params = Params.model_validate(parsed)
    assert params.icon == files[0].read_bytes()
    assert params.masks == tuple(files[index].read_bytes() for index in (1, 2, 0))


@pytest.mark.parametrize("form", ["{}", "@{}"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_json_can_be_read_from_a_file(tmp_path: Path, form: str, encoding: str) -> None:
    file = tmp_path / "boxes.json"
    file.write_text('[{"x": 7}]', encoding=encoding)
    assert parse("--boxes", form.format(file)) == {"boxes": [{"x": 7}]}


def test_an_at_sign_marks_a_file_whose_name_is_valid_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("7").write_text('[{"x": 8}]')
    assert parse("--boxes", "7") == {"boxes": 7}
    assert parse("--boxes", "@7") == {"boxes": [{"x": 8}]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "Expecting value: line 1 column 1"),
        (b'[{"x": 7,}]', "Expecting property name|Illegal trailing comma"),
        (b"\xff\xfe\xff", "codec can't decode"),
    ],
)
def test_a_file_without_json_is_reported_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, message: str
) -> None:
    monkeypatch.chdir(tmp_path)  # messages truncate long paths
    Path("boxes.json").write_bytes(content)
    with pytest.raises(InputError, match=f"--boxes: file 'boxes.json' is not valid JSON: .*({message})"):
        parse("--boxes", "boxes.json")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--window", "wide"], "--window: invalid int value: 'wide'"),
        (["--fill", "blue"], "--fill: invalid choice: 'blue'"),
        (["--speed", "1"], "--speed is not known; allowed: --help, --window, --share"),
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
def test_an_invalid_option_is_rejected_with_a_reason(arguments: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse(*arguments)


def test_a_missing_required_option_is_reported() -> None:
    class Required(BaseModel):
        part_boxes: tuple[Box, ...]

    with pytest.raises(InputError, match="required: --part-boxes"):
        parse(params=Required)


def test_the_help_shows_descriptions_and_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    parse("--help")
    text = " ".join(capsys.readouterr().out.split())
    assert "Pixels, 100 % of them. [default: 32]" in text
    assert '[default: ["conv1"]] May be repeated.' in text
    assert "--masks FILE [FILE ...]" in text
    assert 'JSON or a JSON file: [{"x": INTEGER}, ...]' in text
    assert 'JSON or a JSON file: {"x": INTEGER}' in text


class Tree(BaseModel):
    branches: "tuple[Tree, ...]" = ()


def test_the_help_abbreviates_a_recursive_schema(capsys: pytest.CaptureFixture[str]) -> None:
    class Growing(BaseModel):
        tree: Tree = Tree()

    parse("--help", params=Growing)
    assert '{"branches": [{"branches": [{"branches": [..., ...]}, ...]}, ...]}' in " ".join(
        capsys.readouterr().out.split()
    )
