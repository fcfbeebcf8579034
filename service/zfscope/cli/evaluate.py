"""`zfscope evaluate`: measure the accuracy of a model on labelled photos."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zfscope.cli import options as opt
from zfscope.cli.output import print_json, progress, title_of
from zfscope.cli.photos import PhotosUsed
from zfscope.cli.streams import echo
from zfscope.cli.warn import print_data_warnings
from zfscope.location import find_store

if TYPE_CHECKING:
    from zfscope.store import Model
    from zfscope.training.evaluate import Evaluation


def evaluate(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="Labelled photos: a folder with one subfolder per class, named by the class id; a .tar of "
            "such a folder; or a text or Parquet file that lists photos with their classes.",
        ),
    ],
    model: opt.ModelName = "",
    version: opt.ModelVersion = None,
    ten_crop: opt.TenCrop = False,
    precision: opt.Precision = None,
    store: opt.Store = None,
    as_json: opt.AsJson = False,
) -> None:
    """Measure the top-1 and top-5 accuracy of a model.

    While running, decoded photos take 200 kB each in the temporary directory (TMPDIR).

    \b
    Examples:
      zfscope evaluate photos/val --model zfnet-imagenette
      zfscope evaluate photos/val --model zfnet-imagenette --ten-crop --json
      zfscope evaluate photos/val --precision bfloat16
    """
    from zfscope.store import ModelStore

    loaded = ModelStore(find_store(store)).load(model, version)
    precision = precision or opt.PrecisionName.float32
    measured = measure_accuracy(data, loaded, ten_crop=ten_crop, precision=precision)
    print_data_warnings(measured.warnings)
    accuracy = measured.accuracy
    used = PhotosUsed(accuracy.images, measured.skipped, measured.skipped_files)
    if as_json:
        print_json(
            {"top1": accuracy.top1, "top5": accuracy.top5, "precision": precision.value, **used.as_object()}
        )
        return
    crops = "ten crops" if ten_crop else "the centre crop"
    echo(
        f"{title_of(loaded.name, loaded.version, precision)}, by {crops} of {accuracy.images} photos: "
        f"top-1 accuracy {accuracy.top1:.2f} %, top-5 accuracy {accuracy.top5:.2f} %"
    )
    if measured.skipped or measured.skipped_files:
        echo(f"Measured on {used}.")


def measure_accuracy(
    data: Path, model: "Model", *, ten_crop: bool, precision: str = "float32"
) -> "Evaluation":
    """Measure the accuracy of a model on a folder of photos, with a progress bar.

    Raises InputError for a folder without photos, or with a subfolder that is not a class of the model.
    """
    from zfscope.training.evaluate import evaluate_model

    with tempfile.TemporaryDirectory(prefix="zfscope-") as cache, progress() as bar:
        task = bar.add_task("decoding, then classifying photos", total=None)
        return evaluate_model(
            model,
            data,
            ten_crop=ten_crop,
            precision=precision,
            cache=Path(cache),
            advance=lambda count: bar.advance(task, count),
        )
