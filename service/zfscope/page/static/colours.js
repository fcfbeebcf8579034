// Colour maps for values: viridis as in the service's figures, and blue to red for differences.

const VIRIDIS = [[68, 1, 84], [72, 40, 120], [62, 74, 137], [49, 104, 142], [38, 130, 142], [31, 158, 137], [53, 183, 121], [109, 205, 89], [180, 222, 44], [253, 231, 37]];
const DIFFERENCE = [[33, 102, 172], [103, 169, 207], [209, 229, 240], [247, 247, 247], [253, 219, 199], [239, 138, 98], [178, 24, 43]];

function colour(stops, share) {
  const position = Math.min(Math.max(share, 0), 1) * (stops.length - 1);
  const index = Math.min(Math.floor(position), stops.length - 2);
  return stops[index].map((from, channel) => from + (stops[index + 1][channel] - from) * (position - index));
}

/** Return the lowest and highest of some values. */
export function range(values) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

/** Draw values (rows, columns) into a canvas of that size, from dark for `low` to yellow for `high`. */
export function drawHeat(canvas, { shape, values }, [low, high]) {
  draw(canvas, shape, values, VIRIDIS, (value) => (high > low ? (value - low) / (high - low) : 0.5));
}

/** Draw differences: blue below zero, white at zero, red above. */
export function drawDifference(canvas, { shape, values }, limit) {
  draw(canvas, shape, values, DIFFERENCE, (value) => (limit ? 0.5 + value / limit / 2 : 0.5));
}

function draw(canvas, [rows, columns], values, stops, share) {
  Object.assign(canvas, { width: columns, height: rows });
  const context = canvas.getContext("2d");
  const image = context.createImageData(columns, rows);
  const table = Array.from({ length: 256 }, (_, index) => colour(stops, index / 255));
  for (let index = 0; index < rows * columns; index += 1) {
    const level = Math.round(255 * Math.min(Math.max(share(values[index]), 0), 1));
    image.data.set([...table[level], 255], 4 * index);
  }
  context.putImageData(image, 0, 0);
}

/** Draw pixels (rows, columns, 3) at an offset of a larger tensor. */
export function drawPixels(canvas, rows, columns, values, offset) {
  Object.assign(canvas, { width: columns, height: rows });
  const context = canvas.getContext("2d");
  const image = context.createImageData(columns, rows);
  for (let index = 0; index < rows * columns; index += 1) {
    image.data.set([values[offset + 3 * index], values[offset + 3 * index + 1], values[offset + 3 * index + 2], 255], 4 * index);
  }
  context.putImageData(image, 0, 0);
}
