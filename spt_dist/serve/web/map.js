// Painting on parsing maps, pixel by pixel. These functions change the labels that they are given.

/** @typedef {import("./png.js").LabelMap} LabelMap */

/** Label the pixels whose centres lie within a disc of `diameter` px around a pixel. @param {LabelMap} map */
export function stamp({ labels, size: [height, width] }, column, row, diameter, label) {
  const reach = (diameter - 1) / 2;
  for (let y = Math.max(0, row - reach); y <= Math.min(height - 1, row + reach); y++) {
    for (let x = Math.max(0, column - reach); x <= Math.min(width - 1, column + reach); x++) {
      if ((x - column) ** 2 + (y - row) ** 2 < (diameter / 2) ** 2) labels[y * width + x] = label;
    }
  }
}

/** Stamps from one pixel to another, so close that no gap is left. @param {LabelMap} map */
export function stroke(map, [fromColumn, fromRow], [column, row], diameter, label) {
  const steps = Math.max(1, Math.abs(column - fromColumn), Math.abs(row - fromRow));
  for (let step = 0; step <= steps; step++) {
    const share = step / steps;
    const at = [fromColumn + share * (column - fromColumn), fromRow + share * (row - fromRow)].map(Math.round);
    stamp(map, at[0], at[1], diameter, label);
  }
}

/** Label the whole connected region that a pixel belongs to. @param {LabelMap} map */
export function fill({ labels, size: [height, width] }, column, row, label) {
  const old = labels[row * width + column];
  if (old === label) return;
  const open = [row * width + column];
  while (open.length) {
    const at = open.pop();
    if (labels[at] !== old) continue;
    labels[at] = label;
    const x = at % width;
    if (x > 0) open.push(at - 1);
    if (x < width - 1) open.push(at + 1);
    if (at >= width) open.push(at - width);
    if (at < width * (height - 1)) open.push(at + width);
  }
}

/**
 * The photo's map with what an edit changed: `edited` shows the `window` (top, left, height, width) of the photo at its own
 * size, and where it differs from what `own` has there, its labels are taken over.
 * @param {LabelMap} own @param {LabelMap} edited @param {number[]} window @returns {Uint8Array}
 */
export function takeOver(own, edited, [top, left, height, width]) {
  const labels = own.labels.slice();
  const [rows, columns] = own.size;
  const nearest = (at, from, to) => Math.min(to - 1, Math.floor(((at + 0.5) * to) / from));
  for (let y = Math.max(0, top); y < Math.min(rows, top + height); y++) {
    for (let x = Math.max(0, left); x < Math.min(columns, left + width); x++) {
      const [row, column] = [nearest(y - top, height, edited.size[0]), nearest(x - left, width, edited.size[1])];
      const shown = [top + nearest(row, edited.size[0], height), left + nearest(column, edited.size[1], width)];
      const inside = shown[0] >= 0 && shown[1] >= 0 && shown[0] < rows && shown[1] < columns;
      const before = inside ? own.labels[shown[0] * columns + shown[1]] : 0;
      const label = edited.labels[row * edited.size[1] + column];
      if (label !== before) labels[y * columns + x] = label;
    }
  }
  return labels;
}
