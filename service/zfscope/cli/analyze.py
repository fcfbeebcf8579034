"""`zfscope analyze`: any analyzer that is installed, with the options that its parameters make."""

import os
from argparse import SUPPRESS, Namespace
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zfscope.analysis.reserved import RESERVED
from zfscope.cli.access import FILES, TLS, accessing, option_of
from zfscope.cli.command import check_not_empty
from zfscope.cli.connect import connect
from zfscope.cli.output import (
    print_json,
    print_lines,
    print_table,
    print_warnings,
    progress,
    title_of,
    warnings_json,
)
from zfscope.cli.output_folder import (
    OutputFolder,
    Subject,
    about_layer,
    about_photos,
    model_id,
    npy,
    open_output,
    plain,
)
from zfscope.cli.photos import for_each, is_single, listed, print_failed, read_photo
from zfscope.cli.schema import Parser, add_options
from zfscope.cli.streams import echo

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from zfscope.client import Analyzed, AnalyzerInfo, ClientMethods


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
      zfscope analyze occlude photos/ --out occluded

    An analyzer of one photo is run for each of several, or of a folder; with --json each is an object a line,
    with the photo's path as `file`. The files of a photo begin with its name, as in china-occlusion.png, and
    those of an earlier result for the same photo are replaced.
    """
    given = words or ["--help"]
    if given[0] in ("-h", "--help"):
        echo(context.get_help())
        return
    common = ("server", "store", "indexes", "out", "model", *FILES)
    check_not_empty(given, [option_of(name) for name in common], others=True)
    server = _value_of("--server", given)
    store = _value_of("--store", given) or os.environ.get("ZFSCOPE_STORE")
    indexes = _value_of("--indexes", given)
    access = {name: _value_of(option_of(name), given) for name in FILES} | {"tls": "--tls" in given}
    with (
        accessing(access),
        connect(
            server or "", Path(store) if store else None, indexes=Path(indexes) if indexes else None
        ) as zfscope,
    ):
        installed = zfscope.analyzers(_value_of("--model", given) or "")
        known = {found.name: found for found in installed}
        chosen = _parse(_known(known, given[0]), given[1:])
        info = known[given[0]]
        together = is_single(chosen.photos) or not chosen.photos or info.photos[1] != 1
        paths = chosen.photos if is_single(chosen.photos) else listed(chosen.photos)
        photos = [read_photo(path) for path in paths] if together else []
        with open_output(chosen.out) as folder:
            call = _Call(zfscope, info, chosen, folder)
            if together:
                call.run(paths, photos)
            else:
                failed = print_failed if chosen.json else None
                for_each(paths, lambda path, photo: call.run([path], [photo], of_several=True), failed=failed)


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
    common.add_argument("--indexes", default=SUPPRESS, metavar="DIR", help="The directory of indexes.")
    common.add_argument("--server", default=SUPPRESS, metavar="HOST:PORT", help="Ask a running service.")
    common.add_argument("--tls", action="store_true", default=SUPPRESS, help=TLS)
    for name, meaning in FILES.items():
        common.add_argument(option_of(name), default=SUPPRESS, metavar="FILE", help=meaning)
    common.add_argument("--json", action="store_true", help="Print one JSON object, for programs.")
    chosen: Namespace = parser.parse_args(words)
    return chosen


def _parts(chosen: Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """Part what is about the call from the analyzer's own parameters."""
    about = {name: getattr(chosen, name) for name in ("model", "version", "tensors")}
    parameters = {name: value for name, value in vars(chosen).items() if name not in RESERVED}
    return about, parameters


@dataclass(frozen=True, eq=False)
class _Call:
    """A call of an analyzer as a command line has it, for some photos at a time."""

    zfscope: "ClientMethods"
    info: "AnalyzerInfo"
    chosen: Namespace
    folder: OutputFolder

    def run(self, paths: "Sequence[Path]", photos: "Sequence[bytes]", *, of_several: bool = False) -> None:
        """Run the analyzer on photos, write what it found, and print it."""
        name, as_json = self.info.name, self.chosen.json
        about, parameters = _parts(self.chosen)
        with progress() as bar:
            task = bar.add_task(name, total=100)
            found = self.zfscope.analyze(
                name,
                photos,
                parameters,
                progress=lambda told: bar.update(task, completed=int(100 * told.fraction)),
                **about,
            )
        files = write(self.folder, self._subject(paths, photos, parameters), found)
        if as_json:
            print_json(({"file": str(paths[0])} if of_several else {}) | as_object(found, files))
        else:
            print_warnings(found.warnings, prefix=f"{paths[0]}: " if of_several else "")
            _print(f"{name} of {paths[0].name}" if of_several else name, found, files)

    def _subject(
        self, paths: "Sequence[Path]", photos: "Sequence[bytes]", parameters: "Mapping[str, Any]"
    ) -> Subject | None:
        """Return what the files are about: the photos, or else the layer, where the analyzer has one.

        Other models that results are compared with belong to it.
        """
        schema = self.info.parameters_schema.get("properties", {}).get("layer", {})
        layer = parameters.get("layer", schema.get("default"))
        subject = about_photos(paths, photos) or (about_layer(layer) if isinstance(layer, str) else None)
        others = parameters.get("others")
        return replace(subject, models=tuple(map(str, others))) if subject and others else subject


def write(folder: OutputFolder, subject: Subject | None, found: "Analyzed") -> list[Path]:
    """Write pictures as PNG, and tensors as .npy, into a folder; return the files.

    subject: None for names without a prefix. Models that it names are added to the one of the answer.
    """
    analysis, about = found.analysis, subject or Subject("", ())
    about = replace(about, models=(model_id(found.model, found.version), *about.models))
    contents = {f"{plain(picture.name)}.png": picture.png for picture in analysis.pictures}
    contents |= {f"{plain(name)}.npy": npy(tensor) for name, tensor in analysis.tensors.items()}
    return list(folder.write(about, contents).values())


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
    print_lines([f"{number}: {value:.6g}" for number, value in found.analysis.numbers.items()])
    for table_name, table in found.analysis.tables.items():
        columns = dict.fromkeys(table.columns, "left")
        rows = [tuple("" if cell is None else _cell(cell) for cell in row) for row in table.rows]
        print_table(f"{title}: {table_name}", columns, rows)
    if files:
        noun = "file" if len(files) == 1 else "files"
        echo(f"{len(files)} {noun} in {files[0].parent}")


def _cell(cell: str | int | float) -> str:
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)
