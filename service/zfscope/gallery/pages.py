"""Pages of a gallery: an overview, a page per layer, and a page per map."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from itertools import chain

from jinja2 import Environment

from zfscope.gallery.facts import Gallery, MapFact, RecordFact
from zfscope.gallery.inspect import PictureKind, picture_file, tile_px
from zfscope.gallery.plan import GalleryPlan, LayerPlan
from zfscope.images.tiles import column_count
from zfscope.records import RecordState
from zfscope.templates import template_environment

# The facts of the maps, by layer.
FactsByLayer = Mapping[str, Sequence[MapFact]]

# Files of all pages, by folder of the package zfscope: those of web/ are shared with the live page.
_STATIC = {"web": ("zfscope.css", "tiles.js"), "gallery/static": ("gallery.css", "gallery.js")}
# Number of maps per layer on the overview.
_SAMPLES = 6


def picture_files(plan: GalleryPlan, facts: FactsByLayer) -> Iterator[str]:
    """Yield the paths of all pictures, relative to the gallery."""
    for layer in plan.layers:
        for fact in facts[layer.name]:
            for kind in _kinds(fact):
                yield f"{layer.name}/{picture_file(fact.map, kind, layer.frame.size)}"


def render_pages(plan: GalleryPlan, gallery: Gallery, facts: FactsByLayer) -> Iterator[tuple[str, bytes]]:
    """Yield the path and contents of each file of a gallery except pictures; the overview comes last."""
    for folder, names in _STATIC.items():
        for name in names:
            yield name, (files("zfscope") / folder / name).read_bytes()
    labels = {label.id: label.name for label in plan.model.labels}
    environment = _environment(plan, gallery, labels)
    views = [_LayerView(plan, layer, facts[layer.name], labels) for layer in plan.layers]
    for view in views:
        for before, fact, after in view.neighbours():
            page = environment.get_template("map.html")
            text = page.render(root="../", layer=view, fact=fact, before=before, after=after)
            yield f"{view.name}/{fact.map}.html", text.encode()
        text = environment.get_template("layer.html").render(root="../", layer=view)
        yield f"{view.name}/index.html", text.encode()
    yield "index.html", environment.get_template("index.html").render(root="", layers=views).encode()


@dataclass(frozen=True, eq=False)
class _LayerView:
    """Template variables of a layer. names: class names of the model, by class id."""

    plan: GalleryPlan
    layer: LayerPlan
    maps: Sequence[MapFact]
    names: Mapping[str, str]

    @property
    def name(self) -> str:
        return self.layer.name

    @property
    def kind(self) -> str:
        """Noun for a map: `map`, or `unit` in a fully connected layer."""
        return "map" if self.plan.model.spec.has_maps(self.name) else "unit"

    @cached_property
    def receptive_field(self) -> str:
        """Description of a unit's receptive field."""
        side, size = self.layer.frame.side, self.layer.frame.size
        if self.layer.frame.is_whole_image:
            return f"the whole image, {side} × {side} pixels"
        return f"{size} × {size} of {side} × {side} pixels"

    @property
    def tile_px(self) -> int:
        return tile_px(self.layer.frame.size)

    @property
    def columns(self) -> int:
        return column_count(self.plan.top)

    @property
    def rows(self) -> int:
        return -(-self.plan.top // self.columns)

    @property
    def pixelated(self) -> bool:
        """Whether tiles are so small that they are enlarged without smoothing."""
        return self.tile_px < 16

    @property
    def samples(self) -> Sequence[MapFact]:
        """The maps with the strongest activations, for the overview."""
        pictured = [fact for fact in self.maps if fact.pictured]
        return sorted(pictured, key=lambda fact: -(fact.records[0].value or 0))[:_SAMPLES]

    @cached_property
    def classes(self) -> Mapping[str, int]:
        """Number of each class among the photos shown, by class name."""
        shown = {
            _class_of(record, self.names) for fact in self.maps for record in fact.records if record.has_view
        }
        return {name: index for index, name in enumerate(sorted(shown - {""}))}

    def counts(self, fact: MapFact) -> str:
        """Return the count of a map's photos per class number, most frequent first, such as `0:7 3:2`."""
        counted = Counter(_class_of(record, self.names) for record in fact.records if record.has_view)
        return " ".join(f"{self.classes[name]}:{count}" for name, count in counted.most_common() if name)

    def title(self, fact: MapFact) -> str:
        """Return the name of a map; for a unit of the class scores, with its class."""
        model = self.plan.model
        name, class_name = model.unit_name(self.name, fact.map), model.class_of(self.name, fact.map)
        return f"{name}, {class_name}" if class_name else name

    def file(self, fact: MapFact, kind: PictureKind) -> str:
        return picture_file(fact.map, kind, self.layer.frame.size)

    def neighbours(self) -> Iterator[tuple[MapFact | None, MapFact, MapFact | None]]:
        """Yield each map with its predecessor and successor."""
        padded: list[MapFact | None] = [None, *self.maps, None]
        for index, fact in enumerate(self.maps):
            yield padded[index], fact, padded[index + 2]

    def state_notes(self, fact: MapFact) -> Sequence[str]:
        """Return a note on each state other than OK among a map's records."""
        states = dict.fromkeys(record.state for record in chain(fact.records, fact.epochs))
        return [f"{state}: {state.meaning}" for state in states if state is not RecordState.OK]


def _kinds(fact: MapFact) -> Iterator[PictureKind]:
    """Yield the kinds of pictures of a map."""
    if fact.pictured:
        yield "projections"
        yield "patches"
    if fact.evolved:
        yield "evolution"


def _environment(plan: GalleryPlan, gallery: Gallery, names: Mapping[str, str]) -> Environment:
    """Return the template environment."""
    environment = template_environment("zfscope.gallery")
    environment.filters |= {
        "strength": lambda value: "" if value is None else f"{value:.3g}",
        "class_name": lambda record: _class_of(record, names),
        "epoch": lambda fact: plan.model.manifest.epoch_label(fact.epoch),
    }
    environment.globals |= {
        "gallery": gallery,
        "manifest": plan.model.manifest,
        "skipped": plan.index.manifest.skipped,
        "rank": plan.index.manifest.origin.rank,
        "tabs": [layer.name for layer in plan.layers],
        "marked_states": [state for state in RecordState if state.lost],
    }
    return environment


def _class_of(record: RecordFact, names: Mapping[str, str]) -> str:
    """Return the class name of a photo, or the label itself if the model does not have it."""
    label = record.label or ""
    return names.get(label, label)
