"""`zfscope analyze`: any analyzer that is installed, with the options that its parameters make."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from functools import partial
from importlib.metadata import entry_points
from inspect import Parameter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

from zfscope.analysis.reserved import GROUP
from zfscope.cli import options as opt
from zfscope.cli.analysis import Analyses, Written, analysis, each_photo
from zfscope.cli.command import completions, make_command, parameter, remote
from zfscope.cli.connect import connect
from zfscope.cli.output import cells, print_lines, print_table, title_of
from zfscope.cli.output_folder import Subject, about_layer, about_photos
from zfscope.cli.photos import listed, read_photo
from zfscope.cli.schema import AnalyzerCommand, options_of
from zfscope.cli.streams import echo
from zfscope.errors import NotFound, ZfscopeError

if TYPE_CHECKING:
    from zfscope.client import Analyzed, AnalyzerInfo, ClientMethods

# Time limit of a service's answer to shell completion.
_COMPLETION_S = 3
# The options that name the analyzers are known before those of an analyzer are.
_WITH_OTHERS = {"ignore_unknown_options": True, "allow_extra_args": True}


class Analyzers(TyperGroup):
    """The commands of analyzers: each is made from its schema, in this process or of a service."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words before the name of an analyzer; without any, show the help."""
        return super().parse_args(ctx, args or ["--help"])

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        """Return the command of the analyzer that the first word names. Raises NotFound."""
        listing = make_command(_list, "analyze", add_help_option=False, context_settings=_WITH_OTHERS)
        try:
            completing = ctx.resilient_parsing
            with listing.make_context("analyze", [*args], parent=ctx, resilient_parsing=completing) as parsed:
                zfscope, installed = listing.invoke(parsed)
            return args[0], _command(_known(installed, args[0]), zfscope), args[1:]
        except (ZfscopeError, OSError, ImportError):
            if ctx.resilient_parsing:  # shell completion has nothing to offer
                return None, None, []
            raise

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """Return the installed analyzers whose names begin with a word; none of them is imported."""
        return completions(ctx, incomplete, dict.fromkeys(sorted(entry_points(group=GROUP).names), ""))


analyze = typer.Typer(
    cls=Analyzers, rich_markup_mode=None, subcommand_metavar="NAME PHOTO... [--option value]..."
)


@analyze.callback()
def _about() -> None:
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


@remote
def _list(
    context: typer.Context,
    out: opt.Out = Path(),  # known too, so that an empty one is refused
    model: opt.ModelName = "",
    indexes: opt.Indexes = None,
    store: opt.Store = None,
    server: opt.Server = "",
) -> Any:
    """Return a client, which the command of `context` closes, and its analyzers; for completion no client."""
    if not context.resilient_parsing:
        zfscope = connect(server, store, indexes=indexes)
        context.find_root().with_resource(zfscope)
        return zfscope, zfscope.analyzers(model)
    if server:
        with connect(server, store) as service:
            return None, service.analyzers(model, timeout_s=_COMPLETION_S)
    from zfscope.analysis.description import analyzer_info
    from zfscope.analysis.registry import load_analyzers

    with redirect_stdout(sys.stderr):
        return None, [analyzer_info(found) for found in load_analyzers().values()]


def _known(installed: "Sequence[AnalyzerInfo]", name: str) -> "AnalyzerInfo":
    known = {info.name: info for info in installed}
    if name not in known:
        raise NotFound(f"no analyzer '{name}'; there are {', '.join(known)}", field="analyzer")
    return known[name]


def _command(info: "AnalyzerInfo", zfscope: "ClientMethods") -> Any:
    """Return the command of an analyzer. zfscope: where it runs, already connected."""
    fewest, most = info.photos
    default = Parameter.empty if fewest else None
    photos = {"photos": parameter("photos", opt.PhotoFiles, default)} if most else {}
    options = {**photos, **options_of(info.parameters_schema)}

    @analysis(info.name, options, zfscope=zfscope)
    def command(run: Analyses, parameters: dict[str, Any]) -> None:
        named = parameters.pop("photos", [])

        def work(paths: Sequence[Path], images: Sequence[bytes], file: Path | None) -> None:
            about = _subject(info, paths, images, parameters)
            show = partial(_show, f"{info.name} of {file.name}" if file else info.name)
            run.analyze(info.name, images, parameters, lambda _: about, show, stage=info.name, file=file)

        if named and most == 1:
            each_photo(named, lambda path, image, file: work([path], [image], file), as_json=run.as_json)
        else:
            paths = listed(named)
            work(paths, [read_photo(path) for path in paths], None)

    return make_command(command, info.name, cls=AnalyzerCommand, help=info.summary)


def _subject(
    info: "AnalyzerInfo", paths: Sequence[Path], photos: Sequence[bytes], parameters: Mapping[str, Any]
) -> Subject:
    """Return what the files are about: the photos, or else the layer, where the analyzer has one.

    Other models that results are compared with belong to it.
    """
    schema = info.parameters_schema.get("properties", {}).get("layer", {})
    layer = parameters.get("layer", schema.get("default"))
    of_layer = about_layer(layer) if isinstance(layer, str) else Subject("", ())
    subject = about_photos(paths, photos) or of_layer
    return replace(subject, models=tuple(map(str, parameters.get("others", ()))))


def _show(name: str, found: "Analyzed", written: Written) -> None:
    title = f"{name}, by {title_of(found.model, found.version)}"
    print_lines([f"{number}: {value:.6g}" for number, value in found.analysis.numbers.items()])
    for table_name, table in found.analysis.tables.items():
        print_table(f"{title}: {table_name}", dict.fromkeys(table.columns, "left"), cells(table.rows))
    if written:
        noun = "file" if len(written) == 1 else "files"
        echo(f"{len(written)} {noun} in {next(iter(written.values())).parent}")
