"""An open index: the photos that activate each feature map most, and the dead maps."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zfscope.errors import NotFound
from zfscope.records import Record
from zfscope.scan.manifest import IndexManifest


@dataclass(frozen=True, eq=False)
class Index:
    """The result of a scan; `manifest.origin` describes its inputs.

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
        if layer not in tables:
            message = f"layer '{layer}' is not in index '{self.name}'; available: {', '.join(self.layers)}"
            raise NotFound(message, field="layer")
        return tables[layer]


def _record(row: Mapping[str, Any]) -> Record:
    label = row["class"] or ""
    return Record(label=label, **{name: value for name, value in row.items() if name != "class"})
