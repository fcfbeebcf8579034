"""`zfscope analyze`: run any installed analyzer, with options generated from its parameters."""

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
from zfscope.cli.analysis import AnalysisRunner, WrittenFiles, analysis, each_photo, layer_of
from zfscope.cli.command import completions, make_command, parameter, remote
from zfscope.cli.connect import connect
from zfscope.cli.output import cells, print_lines, print_table, title_of
from zfscope.cli.output_folder import Subject, layer_subject, photos_subject
from zfscope.cli.photos import expand_photos, read_photo
from zfscope.cli.schema import AnalyzerCommand, schema_options
from zfscope.cli.streams import echo
from zfscope.errors import NotFound, ZfscopeError
from zfscope.validation import nearest_name

if TYPE_CHECKING:
    from zfscope.client import Analyzed, AnalyzerInfo, ClientMethods

# Timeout of calls to a service during shell completion, in seconds.
_COMPLETION_S = 3
# Connection options are parsed first, to find the analyzer whose options the rest of the line uses.
_WITH_OTHERS = {"ignore_unknown_options": True, "allow_extra_args": True}


class AnalyzerGroup(TyperGroup):
    """Group with one command per analyzer, generated from its schema."""

    def find_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command of the analyzer named by the first argument. Raises NotFound."""
        raise NotImplementedError

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments before the analyzer's name; show the help if there are none."""
        return super().parse_args(ctx, args or ["--help"])

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        """Return the name and command of an analyzer, and the other arguments. Raises NotFound."""
        try:
            return args[0], self.find_command(ctx, args), args[1:]
        except (ZfscopeError, OSError, ImportError):
            if ctx.resilient_parsing:  # shell completion must not fail; it offers nothing
                return None, None, []
            raise

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """Return the installed analyzers whose names start with a word, without importing them."""
        return completions(ctx, incomplete, dict.fromkeys(sorted(entry_points(group=GROUP).names), ""))


class Analyzers(AnalyzerGroup):
    """Group of the analyzers of this process or of a service."""

    def find_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command of the analyzer named by the first argument. Raises NotFound."""
        listing = make_command(
            _connect_and_list, "analyze", add_help_option=False, context_settings=_WITH_OTHERS
        )
        completing = ctx.resilient_parsing
        with listing.make_context("analyze", [*args], parent=ctx, resilient_parsing=completing) as parsed:
            client, installed = listing.invoke(parsed)
        return analyzer_command(_find_analyzer(installed, args[0]), client)


analyze = typer.Typer(
    cls=Analyzers, rich_markup_mode=None, subcommand_metavar="NAME PHOTO... [--option value]..."
)


@analyze.callback()
def _group_help() -> None:
    """Run any installed analyzer on photos.

    `zfscope analyzers` lists them; `zfscope analyze NAME --help` shows the options of one.

    \b
    Examples:
      zfscope analyze project china.jpg --layer conv4 --top 4 --out seen
      zfscope analyze project china.jpg --server localhost:50051 --json
      zfscope analyze invariance china.jpg --transformations scale --scales 0.5 --scales 1 --scales 2
      zfscope analyze correspond a.jpg b.jpg --parts boxes.json
      zfscope analyze occlude photos/ --out occluded
      zfscope analyze occlude photos/ --precision bfloat16

    Given several photos or a folder, an analyzer of a single photo runs on each; --json then prints one
    object per line, with the photo's path as `file`. Output files start with the photo's name, as in
    china-occlusion.png, and replace those of an earlier result for the same photo.
    """


@remote
def _connect_and_list(
    context: typer.Context,
    out: opt.Out = Path(),  # declared so that an empty value is rejected
    model: opt.ModelName = "",
    precision: opt.Precision = None,
    indexes: opt.Indexes = None,
    store: opt.Store = None,
    server: opt.Server = "",
) -> Any:
    """Return a client, closed with the command of `context`, and its analyzers; no client for completion."""
    if not context.resilient_parsing:
        client = connect(server, store, precision=precision, indexes=indexes)
        context.find_root().with_resource(client)
        return client, client.analyzers(model)
    if server:
        with connect(server, store) as service:
            return None, service.analyzers(model, timeout_s=_COMPLETION_S)
    from zfscope.analysis.description import analyzer_info
    from zfscope.analysis.registry import load_analyzers

    with redirect_stdout(sys.stderr):
        return None, [analyzer_info(registered) for registered in load_analyzers().values()]


def _find_analyzer(installed: "Sequence[AnalyzerInfo]", name: str) -> "AnalyzerInfo":
    known = {info.name: info for info in installed}
    if name not in known:
        nearest = nearest_name(name, tuple(known))
        message = f"analyzer '{name}' not found; available: {', '.join(known)}{nearest}"
        raise NotFound(message, field="analyzer")
    return known[name]


def analyzer_command(info: "AnalyzerInfo", client: "ClientMethods | None") -> Any:
    """Return the command of an analyzer. client: connected client; None connects as the options say."""
    min_photos, max_photos = info.photos
    default = Parameter.empty if min_photos else None
    photos = {"photos": parameter("photos", opt.PhotoFiles, default)} if max_photos else {}
    options = {**photos, **schema_options(info.parameters_schema)}

    @analysis(info.name, options, client=client)
    def command(run: AnalysisRunner, parameters: dict[str, Any]) -> None:
        named = parameters.pop("photos", [])

        def work(paths: Sequence[Path], images: Sequence[bytes], file: Path | None) -> None:
            subject = partial(_subject, paths, images, parameters)
            show = partial(_show, f"{info.name} of {file.name}" if file else info.name)
            run.analyze(info.name, images, parameters, subject, show, stage=info.name, file=file)

        if named and max_photos == 1:
            each_photo(named, lambda path, image, file: work([path], [image], file), as_json=run.as_json)
        else:
            paths = expand_photos(named)
            work(paths, [read_photo(path) for path in paths], None)

    return make_command(command, info.name, cls=AnalyzerCommand, help=info.summary)


def _subject(
    paths: Sequence[Path], photos: Sequence[bytes], parameters: Mapping[str, Any], found: "Analyzed"
) -> Subject:
    """Return the subject of the files: the photos, else the layer if the answer is about one, else none.

    It includes the other models of a comparison.
    """
    layer = layer_of(found) or parameters.get("layer")
    of_layer = layer_subject(layer) if isinstance(layer, str) else Subject("", ())
    subject = photos_subject(paths, photos) or of_layer
    return replace(subject, models=tuple(map(str, parameters.get("others", ()))))


def _show(name: str, analyzed: "Analyzed", written: WrittenFiles) -> None:
    title = f"{name}, by {title_of(analyzed.model, analyzed.version, analyzed.precision)}"
    print_lines([f"{number}: {value:.6g}" for number, value in analyzed.analysis.numbers.items()])
    for table_name, table in analyzed.analysis.tables.items():
        print_table(f"{title}: {table_name}", dict.fromkeys(table.columns, "left"), cells(table.rows))
    if written:
        noun = "file" if len(written) == 1 else "files"
        echo(f"{len(written)} {noun} in {next(iter(written.values())).parent}")
