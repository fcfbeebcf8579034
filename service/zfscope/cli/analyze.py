"""`zfscope analyze`: any analyzer that is installed, with the options that its parameters make."""

import os
from argparse import SUPPRESS, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zfscope.analysis.reserved import RESERVED
from zfscope.cli.access import FILES, TLS, accessing, option_of
from zfscope.cli.connect import connect, read_photo
from zfscope.cli.output import (
    print_json,
    print_table,
    print_warnings,
    progress,
    title_of,
    warnings_json,
)
from zfscope.cli.schema import Parser, add_options

if TYPE_CHECKING:
    from zfscope.client import Analyzed, AnalyzerInfo

RAW = {"ignore_unknown_options": True, "allow_interspersed_args": False, "help_option_names": []}
"""How the command is registered: what comes after NAME is read here, by the analyzer's own options."""


def analyze(
    context: typer.Context,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="NAME PHOTO... [--option value]...", show_default=False)
    ] = None,
) -> None:
    """Run any analyzer on photos; `zfscope analyze NAME --help` lists its options.

    \b
    Examples:
      zfscope analyze project china.jpg --layer conv4 --top 4 --out seen
      zfscope analyze project china.jpg --server localhost:50051 --json
      zfscope analyze invariance china.jpg --transformations scale --scales 0.5 --scales 1 --scales 2
      zfscope analyze correspond a.jpg b.jpg --parts boxes.json
    """
    given = words or ["--help"]
    if given[0] in ("-h", "--help"):
        typer.echo(context.get_help())
        return
    server = _value_of("--server", given)
    store = _value_of("--store", given) or os.environ.get("ZFSCOPE_STORE")
    access = {name: _value_of(option_of(name), given) for name in FILES} | {"tls": "--tls" in given}
    with accessing(access), connect(server or "", Path(store) if store else None) as zfscope:
        listed = zfscope.analyzers(_value_of("--model", given) or "")
        known = {found.name: found for found in listed}
        chosen = _parse(_known(known, given[0]), given[1:])
        about, parameters = _parts(chosen)
        photos = [read_photo(path) for path in chosen.photos]
        with progress() as bar:
            task = bar.add_task(given[0], total=100)
            found = zfscope.analyze(
                given[0],
                photos,
                parameters,
                progress=lambda told: bar.update(task, completed=int(100 * told.fraction)),
                **about,
            )
    files = write(chosen.out, given[0], found)
    if chosen.json:
        print_json(as_object(found, files))
    else:
        print_warnings(found.warnings)
        _print(given[0], found, files)


def _known(known: "dict[str, AnalyzerInfo]", name: str) -> "AnalyzerInfo":
    from zfscope.errors import NotFound

    if name not in known:
        raise NotFound(f"no analyzer '{name}'; there are {', '.join(known)}", field="analyzer")
    return known[name]


def _value_of(option: str, words: list[str]) -> str | None:
    """Find the value of an option that has to be known before the others are."""
    for place, word in enumerate(words):
        if word == option:
            return words[place + 1] if place + 1 < len(words) else None
        if word.startswith(f"{option}="):
            return word.removeprefix(f"{option}=")
    return None


def _parse(info: "AnalyzerInfo", words: list[str]) -> Namespace:
    parser = Parser(prog=f"zfscope analyze {info.name}", description=info.summary, allow_abbrev=False)
    fewest, most = info.photos
    if most:
        parser.add_argument("photos", metavar="PHOTO", type=Path, nargs="+" if fewest else "*")
    else:
        parser.set_defaults(photos=[])
    add_options(parser.add_argument_group("parameters"), info.parameters_schema)
    common = parser.add_argument_group("common options")
    common.add_argument("--out", metavar="DIR", type=Path, default=Path(info.name), help="To write to.")
    common.add_argument("--tensors", action="store_true", help="Write the numbers too, as .npy.")
    common.add_argument("--model", default="", help="A model of the store.  [default: the store's own]")
    common.add_argument("--version", type=int, default=None, help="Of the model.  [default: the newest]")
    common.add_argument("--store", default=SUPPRESS, metavar="DIR", help="The folder of models.")
    common.add_argument("--server", default=SUPPRESS, metavar="HOST:PORT", help="Ask a running service.")
    common.add_argument("--tls", action="store_true", default=SUPPRESS, help=TLS)
    for name, meaning in FILES.items():
        common.add_argument(option_of(name), default=SUPPRESS, metavar="FILE", help=meaning)
    common.add_argument("--json", action="store_true", help="Print one JSON object, for programs.")
    return parser.parse_args(words)


def _parts(chosen: Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """Part what is about the call from the analyzer's own parameters."""
    about = {name: getattr(chosen, name) for name in ("model", "version", "tensors")}
    parameters = {name: value for name, value in vars(chosen).items() if name not in RESERVED}
    return about, parameters


def write(folder: Path, name: str, found: "Analyzed") -> list[Path]:
    """Write pictures as PNG, and tensors as .npy, into a folder; give the files."""
    import numpy as np

    from zfscope.cli.files import plain

    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for picture in found.analysis.pictures:
        files.append(folder / f"{plain(picture.name)}.png")
        files[-1].write_bytes(picture.png)
    for tensor_name, tensor in found.analysis.tensors.items():
        files.append(folder / f"{plain(tensor_name)}.npy")
        np.save(files[-1], tensor)
    return files


def as_object(found: "Analyzed", files: list[Path]) -> dict[str, Any]:
    """Give what an analyzer found as a JSON object; files by their paths."""
    analysis = found.analysis
    return {
        "model": found.model,
        "version": found.version,
        "numbers": dict(analysis.numbers),
        "tables": {name: table.records() for name, table in analysis.tables.items()},
        "files": [str(path) for path in files],
        "warnings": warnings_json(found.warnings),
    }


def _print(name: str, found: "Analyzed", files: list[Path]) -> None:
    title = f"{name}, by {title_of(found.model, found.version)}"
    for number, value in found.analysis.numbers.items():
        typer.echo(f"{number}: {value:.6g}")
    for table_name, table in found.analysis.tables.items():
        columns = dict.fromkeys(table.columns, "left")
        rows = [tuple("" if cell is None else _cell(cell) for cell in row) for row in table.rows]
        print_table(f"{title}: {table_name}", columns, rows)
    if files:
        noun = "file" if len(files) == 1 else "files"
        typer.echo(f"{len(files)} {noun} in {files[0].parent}")


def _cell(cell: str | int | float) -> str:
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)
