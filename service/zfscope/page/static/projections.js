// A grid of tiles of units with their projections. Projections are kept, and asked for once.

import { newestWins, post } from "./api.js";
import { fill } from "./dom.js";
import { reporting } from "./notices.js";
import { state } from "./state.js";
import { unavailable } from "./subject.js";
import { square, unitTile } from "./tiles.js";

const KEPT = 500;
const SMALL = { sheet: false, tile_px: 160 };

/** Return the rules of the backward pass that the address chooses. */
export const rules = () => ({ rule: state().rule, normalisation: state().normalisation });

/** Return a unit as requests name it. */
export function reference({ map, y, x }) {
  return y === null || y === undefined ? { map } : { map, y, x };
}

/** Return a map that forgets its oldest entries. */
export function boundedMap() {
  const entries = new Map();
  return {
    get: (key) => entries.get(key),
    set(key, value) {
      entries.set(key, value);
      if (entries.size > KEPT) entries.delete(entries.keys().next().value);
    },
  };
}

/**
 * Create the tiles of a grid. key: of notices about errors. request: adds photo and model to the members of a request.
 * onPictures: called when pictures have come, to draw them. model: returns the model; without projections, tiles stay without pictures.
 */
export function createProjections(grid, { key, request, onPictures, model }) {
  const pictures = boundedMap();
  const keyOf = (layer, unit) => JSON.stringify([request(), layer.name, reference(unit), rules()]);
  let layer = null;
  let units = [];
  let tiles = [];

  const ask = newestWins(async ({ of, wanted, startedAt }, signal) => {
    const answer = await post("v1/project", request({ layer: of.name, units: wanted.map(({ unit }) => reference(unit)), ...rules(), ...SMALL }), { signal });
    answer.projections.forEach((projection, index) => pictures.set(wanted[index].key, projection.picture));
    onPictures(startedAt);
  }, reporting(key));

  return {
    get units() { return units; },
    get tiles() { return tiles; },
    /** Show units, first without pictures; return false if they are shown already. ranked: whether tiles have ranks. */
    show(shown, found, { ranked = false } = {}) {
      const keys = (of, list) => list.map((unit) => keyOf(of, unit)).join();
      if (tiles.length && layer && keys(layer, units) === keys(shown, found)) return false;
      [layer, units] = [shown, found];
      tiles = found.map((unit, index) => unitTile(layer, unit, { rank: ranked ? index + 1 : null }));
      fill(grid, tiles);
      return true;
    },
    /** Draw the projections, or the patches, that are known, and ask for the others. Return whether all are drawn. */
    draw({ patch = false, startedAt } = {}) {
      if (unavailable("project", model())) return true;
      const name = patch ? "Patch" : "Projection";
      const wanted = [];
      units.forEach((unit, index) => {
        const key_ = keyOf(layer, unit);
        const picture = pictures.get(key_);
        if (picture) tiles[index].show(square(picture, patch ? 1 : 0, 2, `${name} of ${tiles[index].title}`));
        else wanted.push({ unit, key: key_ });
      });
      if (wanted.length) ask({ of: layer, wanted, startedAt });
      return !wanted.length;
    },
    /** Forget the units, so that the next ones are drawn anew; their tiles stay until then. */
    forget() {
      ask.cancel();
      [layer, units, tiles] = [null, [], []];
    },
  };
}
