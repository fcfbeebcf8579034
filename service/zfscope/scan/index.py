"""An index, opened: which photos activate a map most, and which maps are dead."""

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
    """What a scan has found. Its manifest says in what, and how.

    records, maps: the Arrow tables `RECORD_COLUMNS` and `MAP_COLUMNS` of each layer, by name. skipped:
    the photos that could not be used, each with the reason.
    """

    name: str
    manifest: IndexManifest
    records_by_layer: Mapping[str, Any]
    maps_by_layer: Mapping[str, Any]
    skipped: tuple[tuple[str, str], ...]

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that are indexed, in the order of evaluation."""
        return tuple(layer.name for layer in self.manifest.origin.layers)

    def records(self, layer: str, map: int) -> tuple[Record, ...]:
        """Return the photos that activate a map most, the strongest first.

        Raises NotFound for a layer that is not indexed, with those that are, and for a map that it lacks.
        """
        table, maps = self._of(layer, self.records_by_layer), len(self._of(layer, self.maps_by_layer))
        if not 0 <= map < maps:
            message = f"no map {map} in layer '{layer}'; maps run from 0 to {maps - 1}"
            raise NotFound(message, field="map")
        kept = len(table) // maps
        return tuple(_record(row) for row in table.slice(map * kept, kept).to_pylist())

    def alive(self, layer: str) -> NDArray[np.int64]:
        """Count the photos in which each map has an activation above 0: (maps,). Raises NotFound."""
        counts: NDArray[np.int64] = self._of(layer, self.maps_by_layer)["alive"].to_numpy()
        return counts

    def strongest_maps(self, layer: str) -> list[int]:
        """Return all maps, by the score of their strongest photo; of equal ones the lower number is first.

        Raises NotFound.
        """
        scores = self._of(layer, self.records_by_layer)["score"].to_numpy()
        best = scores.reshape(len(self.alive(layer)), -1)[:, 0]
        strongest: list[int] = (-best).argsort(kind="stable").tolist()
        return strongest

    def dead_maps(self, layer: str) -> tuple[int, ...]:
        """Return the maps that have no activation above 0 in any photo. Raises NotFound."""
        return tuple(np.flatnonzero(self.alive(layer) == 0).tolist())

    def histogram(self, layer: str) -> NDArray[np.int64]:
        """Count the photos by their largest activation: (maps, bins), the manifest has the bins' edges."""
        column = self._of(layer, self.maps_by_layer)["histogram"]
        return np.array(column.to_pylist(), np.int64)

    def _of(self, layer: str, tables: Mapping[str, Any]) -> Any:
        if layer not in tables:
            message = f"layer '{layer}' is not in index '{self.name}', which has {', '.join(self.layers)}"
            raise NotFound(message, field="layer")
        return tables[layer]


def _record(row: Mapping[str, Any]) -> Record:
    label = row["class"] or ""
    return Record(label=label, **{name: value for name, value in row.items() if name != "class"})
