"""Shared part of all analysis commands: run the analysis, write its files, print a table or JSON."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial, wraps
from inspect import Parameter
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from zfscope.cli import options as opt
from zfscope.cli.command import command_parameters, remote, with_parameters
from zfscope.cli.connect import connect
from zfscope.cli.output import print_json, print_warnings, progress, warnings_json
from zfscope.cli.output_folder import (
    OutputFolder,
    Subject,
    layer_subject,
    model_id,
    npy,
    open_output,
    picture_file,
)
from zfscope.cli.photos import expand_photos, is_single_photo, process_photos, read_photo
from zfscope.text import safe_name

if TYPE_CHECKING:
    from zfscope.client import Activations, Analyzed, ClientMethods, Projections


A = TypeVar("A", bound="Activations | Analyzed | Projections")
# Options passed on to the client's call.
_CALL_OPTIONS = ("model", "version", "tensors")
# Paths of the written files, keyed by their names without the subject's prefix.
WrittenFiles = Mapping[str, Path]


@dataclass(frozen=True)
class ResultView(Generic[A]):
    """Presentation of a result: its subject, files, JSON object and printed lines."""

    subject: Callable[[A], Subject]
    contents: Callable[[A], Mapping[str, bytes]]
    as_object: Callable[[A, WrittenFiles], Mapping[str, Any]]
    show: Callable[[A, WrittenFiles], None]


def contents(analyzed: "Analyzed") -> dict[str, bytes]:
    """Return the files of a result by name: pictures as PNG, tensors as .npy."""
    analysis = analyzed.analysis
    pictures = {picture_file(picture.name): picture.png for picture in analysis.pictures}
    return pictures | {f"{safe_name(name)}.npy": npy(tensor) for name, tensor in analysis.tensors.items()}


def as_object(analyzed: "Analyzed", written: WrittenFiles) -> dict[str, Any]:
    """Convert an analyzer's result to a JSON object that lists files by path."""
    analysis = analyzed.analysis
    return {
        "model": analyzed.model,
        "version": analyzed.version,
        "precision": analyzed.precision,
        "numbers": dict(analysis.numbers),
        "tables": {name: table.records() for name, table in analysis.tables.items()},
        "files": [str(path) for path in written.values()],
        "warnings": warnings_json(analyzed.warnings),
    }


@dataclass(frozen=True)
class AnalysisRunner:
    """Runner that analyzes, writes the files and prints the result.

    options: arguments of each call of the client.
    """

    client: "ClientMethods"
    folder: OutputFolder
    as_json: bool
    options: Mapping[str, Any]

    def analyze(
        self,
        analyzer: str,
        photos: Sequence[bytes],
        parameters: Mapping[str, Any],
        subject: "Callable[[Analyzed], Subject]",
        show: "Callable[[Analyzed, WrittenFiles], None]",
        *,
        stage: str,
        file: Path | None = None,
        more: Mapping[str, Any] = MappingProxyType({}),
        **options: Any,
    ) -> None:
        """Run an analyzer.

        more: further members of the JSON object. options: arguments of this call, overriding the runner's.
        stage, file: see `run`.
        """
        call = partial(self.client.analyze, analyzer, photos, parameters, **{**self.options, **options})
        view = ResultView(
            subject, contents, lambda analyzed, written: {**as_object(analyzed, written), **more}, show
        )
        self.run(call, view, stage=stage, file=file)

    def run(
        self, call: Callable[..., A], view: ResultView[A], *, stage: str = "", file: Path | None = None
    ) -> None:
        """Run a call of the client and present its result; its model is added to the subject's models.

        call: accepts `progress`. stage: title of the progress bar, empty for none. file: path of the photo if
        the command has several.
        """
        result = _run_with_progress(call, stage) if stage else call()
        subject = view.subject(result)
        models = (model_id(result.model, result.version), *subject.models)
        written = self.folder.write(replace(subject, models=models), view.contents(result))
        if self.as_json:
            print_json({**({"file": str(file)} if file else {}), **view.as_object(result, written)})
        else:
            print_warnings(result.warnings, prefix=f"{file}: " if file else "")
            view.show(result, written)


def analysis(
    out: str,
    parameters: Mapping[str, Parameter],
    *,
    leave_out: Collection[str] = (),
    client: "ClientMethods | None" = None,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that turns a function of an `AnalysisRunner` and parameters into a command.

    The function also receives the options that it declares itself, common ones included.

    out: default output folder. parameters: options keyed by the analyzer's parameters. leave_out: common
    options to omit. client: client to use; None connects as the options say.
    """
    common = [each for each in _common(out) if each.name not in leave_out]

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        own = [each for each in command_parameters(function) if each.name not in ("run", "parameters")]
        names = {each.name for each in own}

        @wraps(function)
        def command(**values: Any) -> None:
            raw = {name: values.pop(each.name) for name, each in parameters.items()}
            passed = {name: opt.option_value(value) for name, value in raw.items() if value is not None}
            options: dict[str, Any] = {name: values[name] for name in _CALL_OPTIONS if name in values}
            with ExitStack() as stack:
                connected = client or stack.enter_context(
                    connect(
                        values["server"],
                        values["store"],
                        precision=values["precision"],
                        indexes=values.get("indexes"),
                    )
                )
                folder = stack.enter_context(open_output(values["out"]))
                run = AnalysisRunner(connected, folder, values["as_json"], options)
                function(run, passed, **{name: values[name] for name in names})

        added = [each for each in common if each.name not in names]
        return remote(with_parameters(command, *own, *parameters.values(), *added))

    return decorate


def _common(out: str) -> list[Parameter]:
    """Return the options common to all analysis commands."""

    def options(
        tensors: opt.Tensors = False,
        out: opt.Out = Path(out),
        indexes: opt.Indexes = None,
        model: opt.ModelName = "",
        version: opt.ModelVersion = None,
        precision: opt.Precision = None,
        store: opt.Store = None,
        server: opt.Server = "",
        as_json: opt.AsJson = False,
    ) -> None: ...

    return command_parameters(options)


def _run_with_progress(call: Callable[..., A], stage: str) -> A:
    with progress() as bar:
        task = bar.add_task(stage, total=100)
        return call(
            progress=lambda report: bar.update(task, completed=int(100 * report.fraction)),
            partial_results=False,
        )


def layer_of(found: "Analyzed") -> str:
    """Return the layer of an answer about a single layer, from its tables; empty for other answers."""
    named = {
        row["layer"]
        for table in found.analysis.tables.values()
        if "layer" in table.columns
        for row in table.records()
    }
    return str(named.pop()) if len(named) == 1 else ""


def subject_of_layer(found: "Analyzed") -> Subject:
    """Return the subject of an answer about a single layer."""
    return layer_subject(layer_of(found))


def picture_line(written: WrittenFiles) -> str:
    """Return a line with the path of the figure, which is the first file of an analysis."""
    return f"Figure: {next(iter(written.values()))}"


def each_photo(
    named: Sequence[Path], work: Callable[[Path, bytes, Path | None], None], *, as_json: bool
) -> None:
    """Call `work` with path, bytes and file for each photo; see `process_photos`.

    file: the path again if there are several photos, None for a single one.
    """
    if is_single_photo(named):
        work(named[0], read_photo(named[0]), None)
    else:
        process_photos(expand_photos(named), lambda path, photo: work(path, photo, path), as_json=as_json)
