"""The door of all commands that analyze: run an analysis, write its files, print it as a table or as JSON."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial, wraps
from inspect import Parameter
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from zfscope.cli import options as opt
from zfscope.cli.command import parameters_of, remote, taking
from zfscope.cli.connect import connect
from zfscope.cli.output import print_json, print_warnings, progress, warnings_json
from zfscope.cli.output_folder import OutputFolder, Subject, model_id, npy, open_output, plain
from zfscope.cli.photos import for_each, is_single, listed, read_photo

if TYPE_CHECKING:
    from zfscope.client import Analyzed, ClientMethods, Projections


A = TypeVar("A", bound="Analyzed | Projections")
# The options that an analysis passes to its client.
_OF_CALLS = ("model", "version", "tensors")
# The files of an answer, by the names that they have without the prefix of their subject.
Written = Mapping[str, Path]


@dataclass(frozen=True)
class View(Generic[A]):
    """What a command makes of an answer: what it is about, files, a JSON object, lines for people."""

    subject: Callable[[A], Subject]
    contents: Callable[[A], Mapping[str, bytes]]
    as_object: Callable[[A, Written], Mapping[str, Any]]
    show: Callable[[A, Written], None]


def contents(found: "Analyzed") -> dict[str, bytes]:
    """Return the contents of files by name: pictures as PNG, tensors as .npy."""
    seen = found.analysis
    pictures = {f"{plain(picture.name)}.png": picture.png for picture in seen.pictures}
    return pictures | {f"{plain(name)}.npy": npy(tensor) for name, tensor in seen.tensors.items()}


def as_object(found: "Analyzed", written: Written) -> dict[str, Any]:
    """Return what an analyzer found as a JSON object; files by their paths."""
    seen = found.analysis
    return {
        "model": found.model,
        "version": found.version,
        "numbers": dict(seen.numbers),
        "tables": {name: table.records() for name, table in seen.tables.items()},
        "files": [str(path) for path in written.values()],
        "warnings": warnings_json(found.warnings),
    }


@dataclass(frozen=True)
class Analyses:
    """Runs the analyses of a command, writes their files and prints them. options: of each call."""

    zfscope: "ClientMethods"
    folder: OutputFolder
    as_json: bool
    options: Mapping[str, Any]

    def analyze(
        self,
        analyzer: str,
        photos: Sequence[bytes],
        parameters: Mapping[str, Any],
        subject: "Callable[[Analyzed], Subject]",
        show: "Callable[[Analyzed, Written], None]",
        *,
        stage: str,
        file: Path | None = None,
        more: Mapping[str, Any] = MappingProxyType({}),
        **options: Any,
    ) -> None:
        """Run any analyzer.

        more: further members of the JSON object. options: of this call. For the others see `run`.
        """
        call = partial(self.zfscope.analyze, analyzer, photos, parameters, **{**self.options, **options})
        view = View(subject, contents, lambda found, written: {**as_object(found, written), **more}, show)
        self.run(call, view, stage=stage, file=file)

    def run(
        self, call: Callable[..., A], view: View[A], *, stage: str = "", file: Path | None = None
    ) -> None:
        """Run an analysis of the client; its model is added to those of the subject.

        call: takes `progress`. stage: the title of the progress bar, empty for none. file: the photo, where
        the command has several.
        """
        found = _watched(call, stage) if stage else call()
        about = view.subject(found)
        models = (model_id(found.model, found.version), *about.models)
        written = self.folder.write(replace(about, models=models), view.contents(found))
        if self.as_json:
            print_json({**({"file": str(file)} if file else {}), **view.as_object(found, written)})
        else:
            print_warnings(found.warnings, prefix=f"{file}: " if file else "")
            view.show(found, written)


def analysis(
    out: str,
    parameters: Mapping[str, Parameter],
    *,
    leave_out: Collection[str] = (),
    zfscope: "ClientMethods | None" = None,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that makes a command of a function of `Analyses` and the parameters that were given.

    out: the folder to write to by default. parameters: options by the names of what they set. leave_out:
    common options that the command does not have; those that the function declares are passed to it too.
    zfscope: the client, None for the one that the options name.
    """
    common = [each for each in _common(out) if each.name not in leave_out]

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        own = [each for each in parameters_of(function) if each.name not in ("run", "parameters")]
        names = {each.name for each in own}

        @wraps(function)
        def command(**values: Any) -> None:
            taken = {name: values.pop(each.name) for name, each in parameters.items()}
            given = {name: opt.plain(value) for name, value in taken.items() if value is not None}
            options: dict[str, Any] = {name: values[name] for name in _OF_CALLS if name in values}
            with ExitStack() as stack:
                client = zfscope or stack.enter_context(
                    connect(values["server"], values["store"], indexes=values.get("indexes"))
                )
                folder = stack.enter_context(open_output(values["out"]))
                run = Analyses(client, folder, values["as_json"], options)
                function(run, given, **{name: values[name] for name in names})

        added = [each for each in common if each.name not in names]
        return remote(taking(command, *own, *parameters.values(), *added))

    return decorate


def _common(out: str) -> list[Parameter]:
    """Return the options that all analyses have."""

    def options(
        tensors: opt.Tensors = False,
        out: opt.Out = Path(out),
        indexes: opt.Indexes = None,
        model: opt.ModelName = "",
        version: opt.ModelVersion = None,
        store: opt.Store = None,
        server: opt.Server = "",
        as_json: opt.AsJson = False,
    ) -> None: ...

    return parameters_of(options)


def _watched(call: Callable[..., A], stage: str) -> A:
    with progress() as bar:
        task = bar.add_task(stage, total=100)
        return call(progress=lambda report: bar.update(task, completed=int(100 * report.fraction)))


def picture_line(written: Written) -> str:
    """Return where the figure of an analysis is: the first of its files."""
    return f"All of it in one picture: {next(iter(written.values()))}"


def each_photo(
    named: Sequence[Path], work: Callable[[Path, bytes, Path | None], None], *, as_json: bool
) -> None:
    """Run `work` with a photo, or with each of several, which is then its `file` too; see `for_each`."""
    if is_single(named):
        work(named[0], read_photo(named[0]), None)
    else:
        for_each(listed(named), lambda path, photo: work(path, photo, path), as_json=as_json)
