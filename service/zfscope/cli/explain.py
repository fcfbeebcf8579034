"""`zfscope explain`: compare explanations of a class by several methods and models."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zfscope.cli import options as opt
from zfscope.cli.analysis import AnalysisRunner, WrittenFiles, analysis, each_photo, picture_line
from zfscope.cli.command import option
from zfscope.cli.faithfulness import Removal, read_parameters
from zfscope.cli.output import cells, print_table
from zfscope.cli.output_folder import Subject, photo_subject
from zfscope.cli.streams import echo
from zfscope.errors import InputError

if TYPE_CHECKING:
    from zfscope.client import Analyzed


def read_methods(text: str) -> list[str]:
    """Read comma-separated methods. Raises InputError for an empty list."""
    methods = opt.split_names(text)
    if not methods:
        raise InputError(
            f"--methods '{text}' names no method; name analyzers such as occlude,project", field="methods"
        )
    return methods


_PARAMETERS = opt.parameters_by_name(
    option(
        "methods",
        Any,
        "Analyzers that explain a class; NAME/VARIANT is one of them with other parameters.  "
        "[default: occlude,project]",
        parser=read_methods,
        metavar="NAME,...",
    ),
    option(
        "method_parameters",
        Any,
        "Parameters by method, as JSON or a JSON file.",
        parser=read_parameters,
        metavar="JSON|FILE",
    ),
    option("label", str | None, "Class to explain.  [default: the most likely class]", metavar="CLASS"),
    option("removal", Removal, "Replacement of removed pixels.", Removal.blur),
    option("step", float | None, "Share of the pixels removed per step.  [default: 0.02]", metavar="SHARE"),
    option("random", int | None, "Number of random orders, 0 for none.  [default: 5]", metavar="N"),
    option("seed", int | None, "Seed of the random orders.  [default: 0]", metavar="N"),
    option("control", bool, "Also measure each method with randomised weights.", False, flags=("--control",)),
)


@analysis("explained", _PARAMETERS, leave_out=("indexes", "model", "version"))
def explain(
    run: AnalysisRunner,
    parameters: dict[str, Any],
    photos: opt.PhotoFiles,
    models: Annotated[
        str,
        typer.Option(
            metavar="NAME[:VERSION],...",
            help="One or two models to explain.  [default: the store's default model]",
        ),
    ] = "",
) -> None:
    """Compare explanations of a class by several methods and models.

    One sheet shows the attributions of all methods over the photo on one scale, with the areas of deletion
    and insertion (see `zfscope faithfulness`), the time, and the rank correlation of every two. A method that
    fails has the reason in its place. With two models, each row has both attributions and their difference,
    and the sheet shows the classes and the strongest projection of both.

    \b
    Examples:
      zfscope explain china.jpg --methods occlude,project
      zfscope explain china.jpg --models zfnet-imagenette,alexnet-imagenette --out both
      zfscope explain china.jpg --methods project,project/guided \\
        --method-parameters '{"project/guided": {"rule": "guided"}}' --control
    """
    named = opt.split_names(models)
    if len(named) > 2:
        raise InputError(f"--models names {len(named)} models; allowed: one or two", field="models")
    options: dict[str, Any] = {}
    if named:
        options["model"], options["version"] = opt.model_reference(named[0], "models")
    if len(named) == 2:
        opt.model_reference(named[1], "models")
        parameters = {**parameters, "other": named[1]}

    def explain_photo(path: Path, photo: bytes, file: Path | None) -> None:
        subject = partial(_subject, path, photo, tuple(named[1:]))
        run.analyze("explain", [photo], parameters, subject, _show, stage="explain", file=file, **options)

    each_photo(photos, explain_photo, as_json=run.as_json)


def _subject(path: Path, photo: bytes, models: tuple[str, ...], _: "Analyzed") -> Subject:
    subject = photo_subject(path, photo)
    return Subject(subject.stem, subject.source, models)


def _show(analyzed: "Analyzed", written: WrittenFiles) -> None:
    tables = analyzed.analysis.tables
    for name in ("classes", "methods", "agreement"):
        if tables[name].rows:
            columns = dict.fromkeys(tables[name].columns, "left")
            print_table(name.capitalize(), columns, cells(tables[name].rows))
    if written:
        echo(picture_line(written))
