"""`zfscope faithfulness`: measure how faithful an explanation is."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zfscope.cli import options as opt
from zfscope.cli.activations import parse_box
from zfscope.cli.analysis import AnalysisRunner, WrittenFiles, analysis, picture_line
from zfscope.cli.command import option
from zfscope.cli.output import print_table, title_of
from zfscope.cli.output_folder import Subject, photos_subject
from zfscope.cli.photos import expand_photos, naming_photos, read_photo
from zfscope.cli.schema import file_as_base64, json_or_file
from zfscope.cli.streams import echo
from zfscope.errors import InputError

if TYPE_CHECKING:
    from zfscope.client import Analyzed


class Removal(StrEnum):
    """Replacement of removed pixels."""

    blur = "blur"
    mean = "mean"
    grey = "grey"


class ClassValue(StrEnum):
    """Class score to follow."""

    probability = "probability"
    logit = "logit"


def read_parameters(text: str) -> Any:
    """Read parameters as JSON or from a JSON file. Raises InputError."""
    parameters = _translated(json_or_file, text, "method_parameters")
    if not isinstance(parameters, dict):
        raise InputError(f"'{text:.80}' is not a JSON object", field="method_parameters")
    return parameters


def read_npy(name: str) -> str:
    """Read a file as base64. Raises InputError."""
    return str(_translated(file_as_base64, name, "attribution"))


def read_mask(name: str) -> str:
    """Read a file as base64. Raises InputError."""
    return str(_translated(file_as_base64, name, "masks"))


def _translated(read: Any, text: str, field: str) -> Any:
    try:
        return read(text)
    except ValueError as error:
        raise InputError(str(error), field=field) from error


_PARAMETERS = opt.parameters_by_name(
    option("method", str | None, "Analyzer that explains a class.  [default: occlude]", metavar="NAME"),
    option(
        "method_parameters",
        Any,
        "Parameters of that analyzer, as JSON or a JSON file.",
        parser=read_parameters,
        metavar="JSON|FILE",
    ),
    option(
        "attribution",
        Any,
        "Attribution to measure instead of a method's: a .npy file (rows, columns) of the network's input.",
        parser=read_npy,
        metavar="FILE",
    ),
    option(
        "labels",
        list[str] | None,
        "Class of the photo; repeat it for several photos.  [default: the most likely class]",
        flags=("--label",),
        metavar="CLASS",
    ),
    option("removal", Removal, "Replacement of removed pixels.", Removal.blur),
    option("step", float | None, "Share of the pixels removed per step.  [default: 0.02]", metavar="SHARE"),
    option("value", ClassValue, "Class score to follow.", ClassValue.probability),
    option("random", int | None, "Number of random orders, 0 for none.  [default: 5]", metavar="N"),
    option("seed", int | None, "Seed of the random orders.  [default: 0]", metavar="N"),
    option(
        "control",
        bool | None,
        "Also measure the attribution of randomised weights.  [default: control, unless the model is opaque]",
    ),
    option(
        "boxes",
        list[Any] | None,
        "Box around the object in photo pixels, for the pointing game; may be repeated.",
        flags=("--box",),
        parser=parse_box,
        metavar="X0,Y0,X1,Y1",
    ),
    option(
        "masks",
        list[Any] | None,
        "Mask of the object, an image of the photo's size, for the pointing game; may be repeated.",
        flags=("--mask",),
        parser=read_mask,
        metavar="FILE",
    ),
)


@analysis("faithfulness", _PARAMETERS, leave_out=("indexes",))
def faithfulness(run: AnalysisRunner, parameters: dict[str, Any], photos: opt.PhotoFiles) -> None:
    """Measure how faithful an explanation is.

    Remove the pixels in the order of an attribution, the highest first, and insert them in the same order:
    the area under the class score measures how well the attribution ranks them. Random orders and the
    attribution of the network with randomised weights are measured, too. With several photos, the table
    shows means and standard deviations.

    \b
    Examples:
      zfscope faithfulness china.jpg
      zfscope faithfulness photos/ --method project --method-parameters '{"rule": "guided"}' --json
      zfscope faithfulness china.jpg --box 80,20,310,200 --no-control
      zfscope faithfulness china.jpg --attribution map.npy --server localhost:50051
    """
    paths = expand_photos(photos)
    images = [read_photo(path) for path in paths]
    given = {name: value for name, value in parameters.items() if value not in ([], ())}
    with naming_photos(paths):
        run.analyze(
            "faithfulness",
            images,
            given,
            partial(_subject, paths, images),
            _show,
            stage="faithfulness",
            more={"photos": [str(path) for path in paths]},
        )


def _subject(paths: Sequence[Path], images: Sequence[bytes], _: "Analyzed") -> Subject:
    subject = photos_subject(paths, images)
    assert subject, "the command requires a photo"
    return subject


def _show(analyzed: "Analyzed", written: WrittenFiles) -> None:
    means = {row["measure"]: row for row in analyzed.analysis.tables["summary"].records()}
    photos = analyzed.analysis.tables["photos"].records()
    rows = [
        (
            kind,
            _mean(means, f"{kind}_area"),
            _mean(means, "random_area"),
            _mean(means, f"control_{kind}_area"),
            better,
        )
        for kind, better in (("deletion", "lower"), ("insertion", "higher"))
    ]
    subject = f"{len(photos)} photos" if len(photos) > 1 else f"'{photos[0]['label']}'"
    title = f"{subject}, by {title_of(analyzed.model, analyzed.version, analyzed.precision)}: areas"
    columns = {"curve": "left"} | dict.fromkeys(("attribution", "random", "control"), "right")
    print_table(title, columns | {"better": "left"}, rows)
    if "maximum_inside" in means:
        echo(_pointing_line(photos[0]))
    if written:
        echo(picture_line(written))


def _pointing_line(photo: Mapping[str, Any]) -> str:
    """Return the line of the pointing game: what is inside the boxes and masks of the object."""
    known = photo["share_inside"] is not None
    share = f"{photo['share_inside']:.1%} of the positive attribution" if known else "no positive attribution"
    inside = "inside" if photo["maximum_inside"] else "outside"
    return f"Object: {photo['area_inside']:.1%} of the pixels, {share}; the highest attribution is {inside}"


def _mean(means: Mapping[str, Mapping[str, Any]], measure: str) -> str:
    """Return a mean with its deviation over the photos; empty if no photo has the measure."""
    if measure not in means:
        return ""
    row = means[measure]
    deviation = f" \u00b1 {row['deviation']:.3g}" if row["deviation"] is not None else ""
    return f"{row['mean']:.3g}{deviation}"
