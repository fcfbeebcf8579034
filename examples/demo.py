"""A client of the service that shows what ZFNet responded to in two photos, layer by layer (`make demo`).

It starts `zfscope serve` on a free port, sends it photos from the packages scikit-learn and scikit-image,
writes a sheet of pictures for each layer to a folder, and stops the service. With `--models DIR` that
contains SqueezeNet, trained on ImageNet, it shows both networks side by side.
"""

import argparse
import io
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from zfscope.client import Classification, Client, ModelInfo, Projections
from zfscope.errors import NotFound, NotReady, ZfscopeError
from zfscope.files import write_file
from zfscope.images.layout import hstack

LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5")
UNITS = 9
STOP_S = 20

# The second network, its layer beside ZFNet's last one, and the space between the sheets in pixels.
SECOND, SECOND_LAYER = "squeezenet-imagenet", "fire9"
GAP_PX = 24

NEXT = """\
What to try next:
  zfscope classify PHOTO                          classes of your own photo
  zfscope analyze occlude PHOTO --out pictures/   which parts of it the class depends on
  zfscope models import MODEL.onnx --name mine    your own network
  zfscope serve                                   the service, for clients in any language"""

EXPLANATION = f"""\
Each sheet shows the {UNITS} strongest maps of a layer. For each map: its strongest unit projected back to
pixels (grey is zero), the part of the photo in the unit's receptive field, and a control, the same projection
through randomised weights. Structure visible in both comes from the photo and was not learnt."""


@dataclass(frozen=True)
class Sample:
    """A sample photo of an installed package, with a note for the reader."""

    package: str
    file: str
    note: str

    def read(self) -> bytes:
        """Read the photo. Raises NotFound if the package is not installed or does not contain it."""
        try:
            return Path(str(distribution(self.package).locate_file(self.file))).read_bytes()
        except (PackageNotFoundError, OSError) as error:
            raise NotFound(
                f"'{self.file}' not found; install it with: pip install 'zfscope[demo]'"
            ) from error

    @property
    def name(self) -> str:
        """File name of the photo."""
        return Path(self.file).name


SAMPLES = (
    Sample(
        "scikit-learn",
        "sklearn/datasets/images/china.jpg",
        "A pavilion, which is none of ZFNet's ten classes; 'church' is the nearest.",
    ),
    Sample(
        "scikit-image",
        "skimage/data/chelsea.png",
        "A cat, which is none of ZFNet's ten classes.",
    ),
)


def main() -> int:
    """Run the demo; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, default=Path("demo"), help="folder of the pictures (default: demo)"
    )
    parser.add_argument("--models", type=Path, help=f"model store with {SECOND} (default: none)")
    options = parser.parse_args()
    out: Path = options.out
    try:
        out.mkdir(parents=True, exist_ok=True)
        with running_service(out / "service.log") as address, Client(address) as client:
            first = show(client, out)
        show_second(options.models, out, first)
        print(f"{EXPLANATION}\n\n{NEXT}")
    except (ZfscopeError, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2
    return 0


@contextmanager
def running_service(log: Path, *options: str) -> Iterator[str]:
    """Run `zfscope serve` on a free port; yield its address once it is SERVING, and stop it at the end.

    Raises NotReady, with the last line of its log, if it does not start.
    """
    started = time.monotonic()
    zfscope = str(Path(sysconfig.get_path("scripts")) / "zfscope")
    command = [zfscope, "serve", "--listen", "127.0.0.1:0", *options]
    with log.open("w") as errors:
        service = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)  # noqa: S603  (our own program)
    try:
        address = _next_line(service, log).split()[-1]  # zfscope listens on 127.0.0.1:40123
        _next_line(service, log)  # zfscope serves model ...
        print(f"The service listens on {address}; it started in {time.monotonic() - started:.1f} s.\n")
        yield address
    finally:
        _stop(service)


def _next_line(service: "subprocess.Popen[str]", log: Path) -> str:
    assert service.stdout is not None
    line = service.stdout.readline()
    if not line:
        last = (log.read_text().strip() or "no output").splitlines()[-1]
        raise NotReady(f"the service did not start: {last}")
    return line


def _stop(service: "subprocess.Popen[str]") -> None:
    service.send_signal(signal.SIGINT)  # like Ctrl-C; SIGTERM first waits for load balancers
    try:
        service.communicate(timeout=STOP_S)
    except subprocess.TimeoutExpired:
        service.kill()
        service.communicate()


def show(client: Client, out: Path) -> dict[str, Projections]:
    """Classify and project every photo, print a summary, and return the last layer's projections by photo."""
    model, last = client.model(), dict[str, Projections]()
    for sample in SAMPLES:
        photo = sample.read()
        answer = client.classify(photo, top=3)
        height, width = answer.photo_size
        print(f"{sample.name}, {width} x {height} pixels. {sample.note}")
        print(f"  {likely_classes(answer)}")
        for layer in LAYERS:
            result = client.project(photo, layer=layer, top=UNITS, control=True)
            print(f"  {layer}: {describe(result, model, layer)}")
            print(f"    {write_sheet(out, sample, layer, result)}")
            last[sample.name] = result
        print()
    return last


def likely_classes(answer: Classification) -> str:
    """Return a sentence with the most likely classes."""
    classes = ", ".join(f"{score.label} {score.probability:.0%}" for score in answer.classes)
    return f"{answer.model} version {answer.version}: {classes}."


def show_second(models: Path | None, out: Path, first: Mapping[str, Projections]) -> None:
    """Show the second network next to the first one's projections, by photo, if its store is there."""
    if models is None or not (models / SECOND).is_dir():
        print(f"Without {SECOND}, which `zfscope models fetch {SECOND}` downloads (5 MB).\n")
        return
    service = running_service(out / "second.log", "--store", str(models))
    with service as address, Client(address) as client:
        for sample in SAMPLES:
            photo = sample.read()
            answer = client.classify(photo, top=3, model=SECOND)
            result = client.project(photo, layer=SECOND_LAYER, top=UNITS, control=True, model=SECOND)
            print(f"{sample.name}, by a network trained on ImageNet's 1,000 classes.")
            print(f"  {likely_classes(answer)}")
            print(f"    {write_side_by_side(out, sample, first[sample.name], result)}\n")


def write_side_by_side(out: Path, sample: Sample, one: Projections, other: Projections) -> Path:
    """Write the sheets of two networks as one picture; return its path."""
    sheets = [result.sheet.image() for result in (one, other) if result.sheet is not None]
    path = out / f"{Path(sample.name).stem}-side-by-side.png"
    picture = io.BytesIO()
    hstack(sheets, gap=GAP_PX).save(picture, "PNG")
    write_file(path, picture.getvalue())
    return path


def describe(result: Projections, model: ModelInfo, layer: str) -> str:
    """Describe the receptive field of the layer's units, and its position for the strongest one."""
    field = next(info.receptive_field_px for info in model.layers if info.name == layer)
    size = model.preprocessing.crop_px
    strongest, photo = result.projections[0], result.photo_size
    box = strongest.receptive_field.clip(photo)
    return (
        f"receptive field {field} x {field} of {size} x {size} pixels; strongest unit: map {strongest.map}, "
        f"columns {box.x0:.0f} to {box.x1:.0f}, rows {box.y0:.0f} to {box.y1:.0f} of the photo"
    )


def write_sheet(out: Path, sample: Sample, layer: str, result: Projections) -> Path:
    """Write the sheet of a layer; return its path."""
    path = out / f"{Path(sample.name).stem}-{layer}.png"
    assert result.sheet is not None  # pictures are requested by default
    write_file(path, result.sheet.png)
    return path


if __name__ == "__main__":
    sys.exit(main())
