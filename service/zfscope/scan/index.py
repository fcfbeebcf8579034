"""An open index: the photos that activate each feature map most, and the dead maps."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from zfscope.errors import NotFound
from zfscope.networks.lookup import MAX_LISTED, complete_name, join_names
from zfscope.records import Record
from zfscope.scan.manifest import IndexManifest
from zfscope.validation import nearest_name


@dataclass(frozen=True, eq=False)
class Index:
    """The result of a scan; `manifest.origin` describes its inputs.

    Methods accept a layer by its name or by a suffix that is unique in the index, see `NetworkSpec.layer`.

    records_by_layer, maps_by_layer: Arrow tables with `RECORD_COLUMNS` and `MAP_COLUMNS`, by layer name.
    skipped: (path, reason) of each photo that could not be used.
    """

    name: str
    manifest: IndexManifest
    records_by_layer: Mapping[str, Any]
    maps_by_layer: Mapping[str, Any]
    skipped: tuple[tuple[str, str], ...]

    @property
    def layers(self) -> tuple[str, ...]:
        """Indexed layers, in the order of evaluation."""
        return tuple(layer.name for layer in self.manifest.origin.layers)

    def records(self, layer: str, map: int) -> tuple[Record, ...]:
        """Return the photos that activate a map most, strongest first.

        Raises NotFound for a layer that is not indexed, listing those that are, and for a map that does not
        exist.
        """
        table, maps = self._table(layer, self.records_by_layer), len(self._table(layer, self.maps_by_layer))
        if not 0 <= map < maps:
            message = f"layer '{layer}' has no map {map}; allowed: 0 to {maps - 1}"
            raise NotFound(message, field="map")
        kept = len(table) // maps
        return tuple(_record(row) for row in table.slice(map * kept, kept).to_pylist())

    def records_of_file(self, blake2b: str) -> tuple[Record, ...]:
        """Return one record of each photo whose file has this hash; several photos may have equal files."""
        records: dict[str, Record] = {}
        for table in self.records_by_layer.values():
            rows = table.filter(pc.equal(table["blake2b"], blake2b)).to_pylist()
            for record in map(_record, rows):
                records.setdefault(record.path, record)
        return tuple(records.values())

    def alive(self, layer: str) -> NDArray[np.int64]:
        """Return the number of photos in which each map has an activation above 0, shape (maps,).

        Raises NotFound for a layer that is not indexed.
        """
        counts: NDArray[np.int64] = self._table(layer, self.maps_by_layer)["alive"].to_numpy()
        return counts

    def strongest_maps(self, layer: str) -> list[int]:
        """Return all maps sorted by the score of their strongest photo, descending; ties by number.

        Raises NotFound for a layer that is not indexed.
        """
        scores = self._table(layer, self.records_by_layer)["score"].to_numpy()
        best = scores.reshape(len(self.alive(layer)), -1)[:, 0]
        strongest: list[int] = (-best).argsort(kind="stable").tolist()
        return strongest

    def dead_maps(self, layer: str) -> tuple[int, ...]:
        """Return the maps without an activation above 0 in any photo. Raises NotFound as `alive` does."""
        return tuple(np.flatnonzero(self.alive(layer) == 0).tolist())

    def histogram(self, layer: str) -> NDArray[np.int64]:
        """Return the histograms of photos' largest activations, shape (maps, bins).

        The edges of the bins are `manifest.histogram_edges`. Raises NotFound as `alive` does.
        """
        column = self._table(layer, self.maps_by_layer)["histogram"]
        return np.array(column.to_pylist(), np.int64)

    def _table(self, layer: str, tables: Mapping[str, Any]) -> Any:
        full = complete_name(self.layers, layer)
        if full is None:
            available = join_names(self.layers, self.layers[:MAX_LISTED])
            message = f"layer '{layer:.80}' is not in index '{self.name}'; available: {available}"
            raise NotFound(f"{message}{nearest_name(layer, self.layers)}", field="layer")
        return tables[full]


def _record(row: Mapping[str, Any]) -> Record:
    label = row["class"] or ""
    return Record(label=label, **{name: value for name, value in row.items() if name != "class"})
