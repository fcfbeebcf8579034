"""The contact sheet of a run: one page with the pictures of all photos."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from zfscope.bulk.manifest import PICTURE_FOLDER, SHEET, RunManifest
from zfscope.bulk.parts import PartFolder, StoredPhoto, StoredPicture
from zfscope.bulk.tables import photo_cells
from zfscope.datasets import DataSet
from zfscope.templates import template_environment


@dataclass(frozen=True)
class _PhotoView:
    """Template variables of a photo. label: its class, empty if it has none."""

    path: str
    label: str
    pictures: Sequence[StoredPicture]
    numbers: Mapping[str, float]
    reason: str


def write_sheet(folder: Path, manifest: RunManifest, parts: PartFolder, data: DataSet) -> None:
    """Write the contact sheet of a run to its folder."""
    environment = template_environment("zfscope.bulk")
    environment.filters["short"] = lambda number: f"{number:.4g}"
    template = environment.get_template("sheet.html")
    style = (files("zfscope") / "web" / "zfscope.css").read_text(encoding="utf-8")
    skipped = (view for view in _views(parts, data) if view.reason)
    page = template.stream(
        run=manifest, photos=_views(parts, data), skipped=skipped, pictures=PICTURE_FOLDER, style=style
    )
    page.enable_buffering(64)
    page.dump(str(folder / SHEET), encoding="utf-8")


def _views(parts: PartFolder, data: DataSet) -> Iterator[_PhotoView]:
    return (_view(record, data) for record in parts.records())


def _view(record: StoredPhoto, data: DataSet) -> _PhotoView:
    about = photo_cells(record.photo, data)
    return _PhotoView(about["path"], about["class"] or "", record.pictures, record.numbers, record.reason)
