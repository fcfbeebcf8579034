"""`zfscope run`: run an analyzer on every photo of a data set, with options generated from its parameters."""

import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import replace
from inspect import Parameter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zfscope.choices import runtime_for
from zfscope.cli import options as opt
from zfscope.cli.analyze import AnalyzerGroup
from zfscope.cli.command import command_parameters, make_command, with_parameters
from zfscope.cli.forward import ForwardOptions, check_ray
from zfscope.cli.output import Speed, print_json, progress, title_of
from zfscope.cli.photos import sentence, skipped_files_json
from zfscope.cli.schema import AnalyzerCommand, schema_options
from zfscope.cli.streams import echo, reserve_stdout
from zfscope.cli.warn import print_data_warnings
from zfscope.errors import InputError
from zfscope.location import find_store

if TYPE_CHECKING:
    from zfscope.analysis.registry import RegisteredAnalyzer, Registry
    from zfscope.bulk import PhotoAnalyzer, RunManifest
    from zfscope.bulk.manifest import RunWarning
    from zfscope.cancellation import Cancellation
    from zfscope.datasets import DataSet


class RunAnalyzers(AnalyzerGroup):
    """Group with one command per analyzer that takes one photo, generated from its schema."""

    def find_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command of the analyzer named by the first argument.

        Raises NotFound, and InputError for an analyzer that does not take one photo.
        """
        from zfscope.analysis.registry import load_analyzers

        with redirect_stdout(sys.stderr):
            registry = load_analyzers()
        registered = registry.registered(args[0])
        if not _takes_one(registered):
            raise InputError(_refusal(registered, registry), field="analyzer")
        return run_command(registered)


run = typer.Typer(cls=RunAnalyzers, rich_markup_mode=None, subcommand_metavar="NAME DATA [--option value]...")


@run.callback()
def _group_help() -> None:
    """Run an analyzer on every photo of a data set.

    `zfscope analyzers` lists them; `zfscope run NAME --help` shows the options of one.

    \b
    Examples:
      zfscope run occlude photos/val --out occluded
      zfscope run activations photos.tar --layer conv5 --out active --pictures
      zfscope run project photos.parquet --layer conv4 --out projected --tensors
      zfscope run occlude /shared/photos --out occluded --engine ray --address auto

    Numbers and tables of all photos are written to one Parquet file, readable with pandas and DuckDB, tensors
    to .npy files, and pictures to PNG files with a contact sheet. Photos that cannot be analyzed are listed
    with the reason. Repeat the command to resume an interrupted run; the files are the same, byte for byte.
    """


def _takes_one(registered: "RegisteredAnalyzer") -> bool:
    fewest, most = registered.analyzer.photos
    return fewest <= 1 <= most


def _refusal(registered: "RegisteredAnalyzer", registry: "Registry") -> str:
    fewest, most = registered.analyzer.photos
    count = "no photos" if not most else f"{fewest} to {most} photos" if fewest < most else f"{most} photos"
    others = ", ".join(name for name, each in registry.items() if _takes_one(each))
    return (
        f"analyzer '{registered.name}' takes {count}; `zfscope run` analyzes one photo at a time: use one of "
        f"{others}, or `zfscope analyze {registered.name}`"
    )


def run_command(registered: "RegisteredAnalyzer") -> Any:
    """Return the command of an analyzer."""
    options = schema_options(registered.analyzer.params.model_json_schema())

    def command(**values: Any) -> None:
        raw = {field: values.pop(each.name) for field, each in options.items()}
        parameters = {field: opt.option_value(value) for field, value in raw.items() if value is not None}
        reserve_stdout()  # analyzers and Ray may print
        _run(registered, parameters, values)

    data, *others = run_options()
    with_parameters(command, data, *options.values(), *others)
    return make_command(command, registered.name, cls=AnalyzerCommand, help=registered.analyzer.summary)


def run_options() -> list[Parameter]:
    """Return the arguments and options that are the same for every analyzer."""

    def options(
        data: Annotated[
            Path,
            typer.Argument(
                metavar="DATA",
                help="Photos: a folder, optionally with one subfolder per class; a .tar of such a folder; or "
                "a text or Parquet file that lists photos, optionally with their classes.",
                show_default=False,
            ),
        ],
        out: Annotated[
            Path,
            typer.Option(
                metavar="DIR", help="Folder for the results; a new or empty one.", show_default=False
            ),
        ],
        pictures: Annotated[
            bool, typer.Option("--pictures", help="Also write pictures as .png files, with a contact sheet.")
        ] = False,
        tensors: opt.Tensors = False,
        model: opt.ModelName = "",
        version: opt.ModelVersion = None,
        engine: opt.Engine = opt.EngineName.local,
        address: opt.RayAddress = "",
        threads: Annotated[
            int | None,
            typer.Option(
                min=1,
                metavar="N",
                help="Photos analyzed at a time in this process, each on one core.  [default: the number of "
                "processors]",
            ),
        ] = None,
        runtime: Annotated[
            opt.RuntimeName | None,
            typer.Option(help="Runtime of the forward pass.  [default: onnx, or torch for bfloat16]"),
        ] = None,
        device: opt.IndexDevice = opt.DeviceName.cpu,
        precision: opt.Precision = None,
        torchserve: opt.TorchServeAddress = "",
        store: opt.Store = None,
        as_json: opt.AsJson = False,
    ) -> None: ...

    return command_parameters(options)


def _run(registered: "RegisteredAnalyzer", parameters: dict[str, Any], options: Mapping[str, Any]) -> None:
    """Analyze the photos and print a summary. options: values of `run_options`."""
    from zfscope.bulk import analyze_photos
    from zfscope.cancellation import Cancellation
    from zfscope.datasets import open_data
    from zfscope.datasets.names import similar_classes
    from zfscope.parallel import create_engine

    others = _other_analyzers(registered, parameters)
    cancel = Cancellation()
    engine = create_engine(
        options["engine"], address=options["address"], threads=options["threads"], stopping=cancel.cancel
    )
    forward = _forward_options(options)
    photos = open_data(options["data"])
    print_data_warnings(similar_classes(photos.classes))
    work = _photo_analyzer(registered, parameters, options, forward, others, cancel)
    with progress(Speed()) as bar:
        task = bar.add_task(registered.name, total=len(photos))

        def show(done: int, total: int) -> None:
            bar.update(
                task, completed=done, description=registered.name if done < total else "writing results"
            )

        result = analyze_photos(work, photos, options["out"], engine=engine, progress=show)
    _print(result, photos, options["out"], as_json=options["as_json"])


def _forward_options(options: Mapping[str, Any]) -> ForwardOptions:
    precision = options["precision"]
    runtime = options["runtime"] or runtime_for(precision)
    check_ray(options["engine"], runtime, options["device"])
    return ForwardOptions(
        runtime, options["device"], precision or opt.PrecisionName.float32, options["torchserve"]
    )


def _other_analyzers(registered: "RegisteredAnalyzer", parameters: dict[str, Any]) -> tuple[str, ...]:
    """Return the names of the analyzers that one runs. Raises InputError and NotFound for its parameters."""
    from zfscope.analysis.registry import load_analyzers
    from zfscope.analysis.run import read_params
    from zfscope.analysis.subanalysis import analyzer_names, check_subanalyses, declared

    analyzer = registered.analyzer
    params = read_params(analyzer, parameters)
    if not declared(analyzer, params):
        return ()
    installed = load_analyzers()
    check_subanalyses(installed, analyzer, params, photos=1)
    return analyzer_names(installed, analyzer, params)


def _photo_analyzer(
    registered: "RegisteredAnalyzer",
    parameters: dict[str, Any],
    options: Mapping[str, Any],
    forward: ForwardOptions,
    others: tuple[str, ...],
    cancel: "Cancellation",
) -> "PhotoAnalyzer":
    """Return the function that analyzes photos, with the model loaded. others: analyzers that it runs."""
    from zfscope.bulk import AnalysisTask, PhotoAnalyzer, SingleModelHost
    from zfscope.store import ModelStore

    store = ModelStore(find_store(options["store"]))
    model = store.load(options["model"], options["version"])
    model = replace(model, weights=model.weights.on_device(forward.device))
    host = SingleModelHost(model, store, forward.creator(), registered.name, registered.package, others)
    task = AnalysisTask(parameters, pictures=options["pictures"], tensors=options["tensors"])
    return PhotoAnalyzer(host, task, cancel)


def _print(result: "RunManifest", photos: "DataSet", out: Path, *, as_json: bool) -> None:
    origin = result.origin
    if as_json:
        summary = {
            "folder": str(out),
            "analyzer": origin.analyzer,
            "model": origin.model.name,
            "version": origin.model.version,
            "precision": origin.precision.value,
            "images": result.images,
            "skipped": result.skipped,
            "passed_over": skipped_files_json(photos.skipped_files),
            "tensors": {name: each.model_dump() for name, each in result.tensors.items()},
            "pictures": result.pictures,
            "warnings": [warning.model_dump() for warning in result.warnings],
        }
        print_json(summary)
        return
    print_data_warnings(map(_warning, result.warnings))
    skipped = f"{result.skipped:,} could not be analyzed, see skipped.parquet" if result.skipped else ""
    title = title_of(origin.model.name, origin.model.version, origin.precision)
    used = sentence(result.images, skipped, photos.skipped_files)
    echo(f"{origin.analyzer}, by {title}: {used}. Results written to {out}")


def _warning(warning: "RunWarning") -> str:
    count = "1 photo" if warning.images == 1 else f"{warning.images:,} photos"
    return f"{count}, first '{warning.first}': {warning.message}"
