"""The pages of a gallery: one for each map, one for each layer, and the first."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from itertools import chain

from jinja2 import Environment, PackageLoader, StrictUndefined

from zfscope.gallery.facts import Gallery, MapFact, RecordFact
from zfscope.gallery.look import Kind, picture_file, tile_px
from zfscope.gallery.plan import LayerPlan, Plan
from zfscope.images.tiles import column_count
from zfscope.records import RecordState

Found = Mapping[str, Sequence[MapFact]]
"""What was found of the maps of each layer."""

_STATIC = ("gallery.css", "gallery.js")
_SAMPLES = 6


def picture_files(plan: Plan, found: Found) -> Iterator[str]:
    """Name the pictures of the maps, relative to the gallery."""
    for layer in plan.layers:
        for fact in found[layer.name]:
            for kind in _kinds(fact):
                yield f"{layer.name}/{picture_file(fact.map, kind, layer.framing.size)}"


def pages_of(plan: Plan, gallery: Gallery, found: Found) -> Iterator[tuple[str, bytes]]:
    """Yield all files of a gallery but pictures, by names relative to it; the first page last."""
    for name in _STATIC:
        yield name, (files("zfscope.gallery") / "static" / name).read_bytes()
    names = {label.id: label.name for label in plan.model.labels}
    environment = _environment(plan, gallery, names)
    views = [_LayerView(plan, layer, found[layer.name], names) for layer in plan.layers]
    for view in views:
        for before, fact, after in view.neighbours():
            page = environment.get_template("map.html")
            words = page.render(root="../", layer=view, map=fact, before=before, after=after)
            yield f"{view.name}/{fact.map}.html", words.encode()
        words = environment.get_template("layer.html").render(root="../", layer=view)
        yield f"{view.name}/index.html", words.encode()
    yield "index.html", environment.get_template("index.html").render(root="", layers=views).encode()


@dataclass(frozen=True, eq=False)
class _LayerView:
    """A layer as pages show it. names: what classes are called, where the model knows them."""

    plan: Plan
    layer: LayerPlan
    maps: Sequence[MapFact]
    names: Mapping[str, str]

    @property
    def name(self) -> str:
        return self.layer.name

    @property
    def kind(self) -> str:
        """Term for a map: `map`, or `unit` in a fully connected layer."""
        return "map" if self.plan.model.spec.has_maps(self.name) else "unit"

    @cached_property
    def sees(self) -> str:
        """Description of a unit's receptive field."""
        side, size = self.layer.framing.side, self.layer.framing.size
        if self.layer.framing.is_whole_image:
            return f"the whole picture of {side} × {side} pixels"
        return f"{size} × {size} of {side} × {side} pixels"

    @property
    def tile_px(self) -> int:
        return tile_px(self.layer.framing.size)

    @property
    def columns(self) -> int:
        return column_count(self.plan.top)

    @property
    def rows(self) -> int:
        return -(-self.plan.top // self.columns)

    @property
    def pixelated(self) -> bool:
        """Return whether single pixels are to be seen."""
        return self.tile_px < 16

    @property
    def samples(self) -> Sequence[MapFact]:
        """Return the strongest maps."""
        pictured = [fact for fact in self.maps if fact.pictured]
        return sorted(pictured, key=lambda fact: -(fact.records[0].value or 0))[:_SAMPLES]

    @cached_property
    def classes(self) -> Mapping[str, int]:
        """Number the classes of all photos that are shown, by name."""
        shown = {
            _class_of(record, self.names) for fact in self.maps for record in fact.records if record.seen
        }
        return {name: place for place, name in enumerate(sorted(shown - {""}))}

    def counts(self, fact: MapFact) -> str:
        """Count the photos of each class, by its number: `0:7 3:2`."""
        counted = Counter(_class_of(record, self.names) for record in fact.records if record.seen)
        return " ".join(f"{self.classes[name]}:{count}" for name, count in counted.most_common() if name)

    def title(self, fact: MapFact) -> str:
        """Name a map; a unit of the class scores by its class too."""
        model = self.plan.model
        name, meaning = model.unit_name(self.name, fact.map), model.class_of(self.name, fact.map)
        return f"{name}, {meaning}" if meaning else name

    def file(self, fact: MapFact, kind: Kind) -> str:
        return picture_file(fact.map, kind, self.layer.framing.size)

    def neighbours(self) -> Iterator[tuple[MapFact | None, MapFact, MapFact | None]]:
        """Yield each map with the one before and the one after it."""
        around: list[MapFact | None] = [None, *self.maps, None]
        for place, fact in enumerate(self.maps):
            yield around[place], fact, around[place + 2]

    def lost(self, fact: MapFact) -> Sequence[str]:
        """Name the states of the records that are not as they were, and what they mean."""
        states = dict.fromkeys(record.state for record in chain(fact.records, fact.stops))
        return [f"{state}: {state.meaning}" for state in states if state is not RecordState.OK]


def _kinds(fact: MapFact) -> Iterator[Kind]:
    if fact.pictured:
        yield "projections"
        yield "patches"
    if fact.evolved:
        yield "evolution"


def _environment(plan: Plan, gallery: Gallery, names: Mapping[str, str]) -> Environment:
    """Set the templates up. Whatever is filled in is text: names of photos and classes are anybody's."""
    environment = Environment(
        loader=PackageLoader("zfscope.gallery"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": lambda number: f"{number:,}",
        "strength": lambda value: "" if value is None else f"{value:.3g}",
        "class_name": lambda record: _class_of(record, names),
        "epoch": lambda stop: plan.model.manifest.epoch_label(stop.epoch),
    }
    environment.globals |= {
        "gallery": gallery,
        "manifest": plan.model.manifest,
        "skipped": plan.index.manifest.skipped,
        "rank": plan.index.manifest.origin.rank,
        "tabs": [layer.name for layer in plan.layers],
        "lost_states": [state for state in RecordState if state.lost],
    }
    return environment


def _class_of(record: RecordFact, names: Mapping[str, str]) -> str:
    """Name the class of a photo for people, as the model does where it knows it."""
    label = record.label or ""
    return names.get(label, label)
